"""Our server to A1111's clients: a client of the registry drives it; fields, answers and errors are a real server's."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
from io import BytesIO
from pathlib import Path

import pytest
import requests
from listening import listening
from lora_samples import random_lora
from PIL import Image, ImageChops

from modiste.core.errors import InputError
from modiste.hosts.address import is_loopback
from modiste.hosts.local import LocalHost
from modiste.hosts.request import GenerationRequest
from modiste.server.app import make_app
from modiste.server.guard import read_users
from modiste.server.lora_folder import LoraFolder
from modiste.server.requests import sampler_and_scheduler
from modiste.server.serving import listen_on

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "a1111_api.json").read_text(encoding="utf-8"))
DRAWING = {"prompt": "a red dress", "width": 64, "height": 64, "steps": 3, "seed": 7, "cfg_scale": 4}


@pytest.fixture(scope="module")
def host(folder):
    return LocalHost(str(folder), device="cpu")


@pytest.fixture(scope="module")
def lora_dir(folder, tmp_path_factory):
    """A LoRA that changes the tiny model a lot, in a folder of folders."""
    import torch
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from peft import LoraConfig, get_peft_model_state_dict

    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    torch.manual_seed(0)
    unet.add_adapter(LoraConfig(r=4, lora_alpha=16, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    to = tmp_path_factory.mktemp("loras")
    layers = get_peft_model_state_dict(unet)
    StableDiffusionPipeline.save_lora_weights(to / "brands", unet_lora_layers=layers, weight_name="Maison.safetensors")
    return to


@pytest.fixture(scope="module")
def url(host, lora_dir):
    with listening(make_app(host, LoraFolder(lora_dir), names=("127.0.0.1",))) as address:
        yield f"{address}/sdapi/v1"


def ask(url: str, **changes) -> requests.Response:
    return requests.post(f"{url}/txt2img", json=DRAWING | changes, timeout=60)


def drawn(url: str, **changes) -> dict:
    answer = ask(url, **changes)
    assert answer.status_code == 200, answer.text
    return answer.json() | {"info": json.loads(answer.json()["info"])}


def picture(encoded: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(encoded)))


# ── a client that many use ──


@pytest.fixture
def client(url):
    import webuiapi

    return webuiapi.WebUIApi(port=int(url.split(":")[2].partition("/")[0]), sampler="Euler", steps=3)


def test_webuiapi_draws_from_words(client, host):
    answer = client.txt2img(prompt="a red dress", seed=7, width=64, height=64, cfg_scale=4, batch_size=2, n_iter=2)
    assert answer.info["all_seeds"] == [7, 8, 9, 10] and len(answer.images) == 4
    ours = [
        result.image.tobytes()
        for result in host.generate(
            [
                GenerationRequest(
                    prompt="a red dress", seed=seed, width=64, height=64, steps=3, cfg_scale=4, sampler="Euler"
                )
                for seed in range(7, 11)
            ]
        )
    ]
    assert [image.tobytes() for image in answer.images] == ours
    assert "a red dress\nSteps: 3, Sampler: Euler, " in answer.image.info["parameters"]


def test_webuiapi_draws_from_a_picture(client):
    start = Image.new("RGB", (96, 64), (200, 30, 30))
    drawing = dict(images=[start], prompt="a blue dress", seed=1, steps=10, width=64, height=64)
    little, much = (client.img2img(**drawing, denoising_strength=strength) for strength in (0.2, 1.0))
    assert little.image.size == (64, 64) and little.info["denoising_strength"] == 0.2
    assert "Denoising strength: 0.2" in little.info["infotexts"][0]
    assert little.image.tobytes() != much.image.tobytes()
    assert little.parameters["init_images"] is None  # as a real server: they would be sent back again


@pytest.fixture(scope="module")
def looks():
    """A picture of 96 × 80 pixels whose colours differ everywhere, and a mask, white in its middle."""
    start = Image.merge("RGB", [Image.linear_gradient("L").rotate(turn).resize((96, 80)) for turn in (0, 90, 180)])
    mask = Image.new("L", start.size)
    mask.paste(255, (24, 16, 72, 64))
    return start, mask


def parts_that_changed(drawn: Image.Image, start: Image.Image) -> tuple[bool, bool]:
    """Whether the middle and whether anything farther from it than the mask's blur has other colours."""
    edge = Image.new("RGB", start.size)
    edge.paste((255, 255, 255), (10, 2, 86, 78))
    outside = [Image.composite(edge, image, edge.convert("L")).tobytes() for image in (drawn, start)]
    middle = [image.crop((44, 36, 52, 44)).tobytes() for image in (drawn, start)]
    return middle[0] != middle[1], outside[0] != outside[1]


def test_webuiapi_draws_what_its_mask_marks_and_gets_the_rest_back_as_it_was(client, looks):
    start, mask = looks
    drawing = dict(images=[start], mask_image=mask, prompt="a blue dress", seed=1, steps=6, width=64, height=64)
    drawn = client.img2img(**drawing)
    assert drawn.image.size == start.size and parts_that_changed(drawn.image, start) == (True, False)
    text = "Mask blur: 4, Inpaint area: Only masked, Masked area padding: 0, Masked content: fill"
    assert text in drawn.info["infotexts"][0] and drawn.parameters["mask"] is None
    assert drawn.image.tobytes() == client.img2img(**drawing).image.tobytes()
    clear = Image.new("RGBA", start.size, (9, 9, 9, 0))
    clear.putalpha(mask)
    assert client.img2img(**drawing | {"mask_image": clear}).image.tobytes() == drawn.image.tobytes()
    around = client.img2img(**drawing, inpainting_mask_invert=1)
    assert parts_that_changed(around.image, start) == (False, True)
    assert "Mask mode: Inpaint not masked" in around.info["infotexts"][0]
    padded, kept = client.img2img(**drawing, inpaint_full_res_padding=16), client.img2img(**drawing, inpainting_fill=1)
    assert len({each.image.tobytes() for each in (drawn, padded, kept)}) == 3
    assert parts_that_changed(padded.image, start) == parts_that_changed(kept.image, start) == (True, False)


def test_a_mask_over_the_whole_picture_draws_at_the_requests_size(client, looks):
    start, mask = looks[0].resize((64, 64)), Image.new("L", (64, 64))
    mask.paste(255, (24, 24, 40, 40))
    drawing = dict(images=[start], mask_image=mask, mask_blur=0, seed=1, steps=6, width=96, height=96)
    drawn = client.img2img(**drawing, inpaint_full_res=False).image
    changed = ImageChops.difference(drawn, start.resize((96, 96))).getbbox()
    assert drawn.size == (96, 96) and changed is not None
    assert 34 <= min(changed) <= 38 and 58 <= max(changed) <= 62  # 36 … 60, as far as resizing softens the mask


def test_masks_that_can_not_be_honoured_are_refused_with_the_reason(url, looks):
    def encoded(image: Image.Image) -> str:
        data = BytesIO()
        image.save(data, "PNG")
        return base64.b64encode(data.getvalue()).decode()

    start, mask = map(encoded, looks)
    for change, word in (
        ({"mask": encoded(Image.new("L", (96, 80)))}, "nothing to draw"),
        ({"inpainting_fill": 2}, "inpainting_fill"),
        ({"mask_round": False}, "mask_round"),
        ({"mask_blur": -1}, "mask_blur"),
        ({"mask": "AAAA"}, "Invalid encoded image"),
        ({"latent_mask": mask}, "latent_mask"),
        ({"init_images": [encoded(Image.new("RGB", (3000, 16)))]}, "3000"),
    ):
        body = DRAWING | {"init_images": [start], "mask": mask} | change
        answer = requests.post(f"{url}/img2img", json=body, timeout=30)
        assert answer.status_code == 422 and word in answer.json()["detail"], answer.text


def test_webuiapi_reads_models_samplers_loras_and_progress(client):
    assert client.util_get_model_names() == [client.util_get_current_model()]
    assert {"Euler", "DPM++ 2M"} <= set(client.util_get_sampler_names())
    assert {"karras", "automatic"} <= set(client.util_get_scheduler_names())
    client.util_set_model("tiny")
    client.util_wait_for_ready()
    assert client.get_progress()["progress"] == 0 and client.interrupt() == {}
    assert [lora["name"] for lora in client.get_loras()] == ["Maison"]
    assert client.get_scripts() == {"txt2img": [], "img2img": []} and client.refresh_checkpoints() is None


def test_webuiapi_shows_who_it_is(host):
    import webuiapi

    with listening(make_app(host, LoraFolder(None), {"ann": "secret:word"})) as address:
        port = int(address.rpartition(":")[2])
        samplers = webuiapi.WebUIApi(port=port, username="ann", password="secret:word").util_get_sampler_names()
        assert "Euler" in samplers  # the client takes a refusal's JSON for an answer
        for auth, recorded in ((None, "401 none"), (("ann", "secret"), "401 wrong"), (("bob", ""), "401 wrong")):
            answer = requests.get(f"{address}/sdapi/v1/loras", auth=auth, timeout=10)
            assert [answer.status_code, answer.json()] == list(RECORDED["answers"][recorded].values())
        assert requests.get(f"{address}/openapi.json", timeout=10).ok


# ── fields and answers as a real server's ──


def types_of(schema: dict) -> str:
    """The JSON type of a field, without its null."""
    if "anyOf" in schema:
        return next(one["type"] for one in schema["anyOf"] if one.get("type") != "null")
    return schema.get("type", "")


@pytest.mark.parametrize("name", RECORDED["schemas"])
def test_every_field_has_the_name_type_and_default_of_a_real_servers_openapi(name, url):
    schemas = requests.get(url.replace("/sdapi/v1", "/openapi.json"), timeout=10).json()["components"]["schemas"]
    ours, theirs = schemas[name]["properties"], RECORDED["schemas"][name]
    assert ours.keys() == theirs.keys()
    for field, schema in theirs.items():
        assert types_of(ours[field]) == schema["type"], field
        if "default" in schema:
            assert ours[field].get("default") == schema["default"], field
    assert set(RECORDED["required"][name]) <= set(schemas[name].get("required", []))


def shape(document):
    """Keys and types, without values; None fits everything."""
    if isinstance(document, dict):
        return {key: shape(value) for key, value in document.items()}
    if isinstance(document, list):
        return [shape(document[0])] if document else []
    return (
        "number" if isinstance(document, (int, float)) and not isinstance(document, bool) else type(document).__name__
    )


def fits(ours, theirs) -> bool:
    if "NoneType" in (ours, theirs):
        return True
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and ours.keys() == theirs.keys() and all(fits(ours[k], theirs[k]) for k in ours)
    if isinstance(theirs, list):
        return isinstance(ours, list) and (not ours or not theirs or fits(ours[0], theirs[0]))
    return ours == theirs


@pytest.mark.parametrize("kind", ["txt2img", "img2img"])
def test_an_answer_has_the_keys_and_types_of_a_recorded_one(kind, url):
    start = base64.b64encode(green_png()).decode()
    body = DRAWING | ({"init_images": [start]} if kind == "img2img" else {})
    ours, theirs = requests.post(f"{url}/{kind}", json=body, timeout=60).json(), RECORDED["answers"][kind]["body"]
    assert fits(shape(ours), shape(theirs))
    info, recorded = json.loads(ours["info"]), json.loads(theirs["info"])
    recorded["extra_generation_params"] = info["extra_generation_params"]
    assert fits(shape(info), shape(recorded)), (info, recorded)
    assert info.keys() == recorded.keys() and len(info["infotexts"]) == len(info["all_seeds"])


def green_png() -> bytes:
    data = BytesIO()
    Image.new("RGB", (64, 64), (10, 200, 90)).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize("path", ["samplers", "schedulers", "sd-models", "loras"])
def test_a_list_has_items_with_the_keys_of_the_recorded_ones(path, url):
    ours, theirs = requests.get(f"{url}/{path}", timeout=10).json(), RECORDED["answers"][path]["body"]
    assert ours and ours[0].keys() == theirs[0].keys()


def test_progress_interrupt_and_refresh_answer_as_recorded(url):
    progress = requests.get(f"{url}/progress", params={"skip_current_image": "true"}, timeout=10).json()
    assert fits(shape(progress), shape(RECORDED["answers"]["progress"]["body"]))
    for path in ("interrupt", "refresh-loras"):
        assert requests.post(f"{url}/{path}", timeout=10).json() == RECORDED["answers"][path]["body"]


# ── refusals ──


def test_wrong_requests_get_the_error_bodies_of_a_real_server(url):
    recorded = RECORDED["answers"]
    bad = requests.post(f"{url}/txt2img", json=DRAWING | {"steps": "many"}, timeout=10)
    assert bad.status_code == 422 and bad.json()["detail"][0]["loc"] == recorded["422"]["body"]["detail"][0]["loc"]
    assert {"loc", "msg", "type"} <= bad.json()["detail"][0].keys()
    for path, body, name in (
        ("img2img", DRAWING, "404 init"),
        ("txt2img", DRAWING | {"script_name": "no such script"}, "422 script"),
        ("nope", {}, "404"),
    ):
        answer = requests.post(f"{url}/{path}", json=body, timeout=10)
        assert [answer.status_code, answer.json()] == list(recorded[name].values())
    assert requests.get(f"{url}/txt2img", timeout=10).json() == recorded["405"]["body"]
    answer = requests.post(f"{url}/img2img", json=DRAWING | {"init_images": ["%%%notbase64"]}, timeout=10)
    assert answer.status_code == 422 and answer.json()["detail"].startswith("Invalid encoded image")


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"sampler_name": "Eular"}, 400, "did you mean 'Euler'"),
        ({"scheduler": "Karas"}, 400, "did you mean 'Karras'"),
        ({"sampler_name": "Euler", "scheduler": "nope"}, 400, "scheduler"),
        ({"override_settings": {"sd_model_checkpoint": "other"}}, 400, "tiny-sd"),
        ({"prompt": "a dress <lora:maison:0.5>"}, 400, "did you mean 'Maison'"),
        ({"prompt": "a dress <lora:Maison:9>"}, 422, "strength"),
        ({"prompt": "a dress <lora:Maison:x>"}, 422, "strength"),
        ({"prompt": "a dress <hypernet:Maison:1>"}, 422, "<lora:name:strength>"),
        ({"width": 60}, 422, "width"),
        ({"steps": 0}, 422, "steps"),
        ({"prompt": None}, 422, "prompt"),
        ({"negativ_prompt": "blurry"}, 422, "did you mean 'negative_prompt'"),
        ({"enable_hr": True}, 422, "denoising_strength"),
        ({"enable_hr": True, "denoising_strength": 0.5, "hr_upscaler": "Latent"}, 400, "Lanczos"),
        ({"sampler": "DDIM"}, 422, "sampler_name"),
        ({"clip_skip": 2}, 422, "CLIP_stop_at_last_layers"),
        ({"restore_faces": True}, 422, "restore_faces"),
        ({"sampler_name": "Euler", "s_churn": 5}, 422, "s_churn"),
        ({"override_settings": {"sd_vae": "kl-f8.safetensors"}}, 422, "sd_vae"),
        ({"seed": 2**80}, 422, "4294967295"),
        ({"seed": -2}, 422, "seed"),
        ({"batch_size": -1, "n_iter": -1}, 422, "at least 1"),
        ({"subseed_strength": 0.5}, 422, "subseed_strength"),
        ({"sampler_name": "DDIM", "eta": 1.0}, 422, "eta"),
        ({"alwayson_scripts": {"ADetailer": {"args": [True]}}}, 422, "ADetailer"),
        ({"override_settings": {"eta_noise_seed_delta": 1}}, 422, "eta_noise_seed_delta"),
        ({"override_settings": {"CLIP_stop_at_last_layers": "two"}}, 422, "clip_skip"),
        ({"n_iter": 0}, 422, "n_iter"),
        ({"batch_size": 500}, 422, "128"),
    ],
)
def test_what_a_real_server_would_replace_in_silence_is_refused(change, status, word, url):
    answer = ask(url, **change)
    assert answer.status_code == status and word in answer.text, answer.text


def test_global_settings_are_kept_and_a_refusal_bricks_nothing(url):
    for change in ({"CLIP_stop_at_last_layers": "two"}, {"sd_model_checkpoint": "nope"}, {"no_such_key": 1}):
        assert requests.post(f"{url}/options", json=change, timeout=10).status_code == 400
    title = requests.get(f"{url}/options", timeout=10).json()["sd_model_checkpoint"]
    assert requests.post(f"{url}/options", json={"sd_model_checkpoint": title}, timeout=10).json() is None
    assert drawn(url)["info"]["clip_skip"] == 1


def test_pictures_that_are_bombs_urls_or_too_many_are_refused(url):
    bomb = BytesIO()
    Image.new("1", (20000, 20000)).save(bomb, "PNG")
    one = base64.b64encode(green_png()).decode()
    for images, status in (
        ([base64.b64encode(bomb.getvalue()).decode()], 422),
        (["http://127.0.0.1/a.png"], 422),
        ([{"not": "text"}], 422),
        ([one] * 3, 422),
    ):
        answer = requests.post(f"{url}/img2img", json=DRAWING | {"init_images": images}, timeout=30)
        assert answer.status_code == status, answer.text


# ── what changes a picture ──


def test_seed_minus_one_is_drawn_by_lot_and_told(url):
    first, second = (drawn(url, seed=-1) for _ in range(2))
    assert first["info"]["seed"] != second["info"]["seed"] and first["images"] != second["images"]
    again = drawn(url, seed=first["info"]["all_seeds"][0])
    assert picture(again["images"][0]).tobytes() == picture(first["images"][0]).tobytes()


def test_a_lora_in_the_prompt_is_worn_with_its_strength_and_stays_in_the_infotext(url):
    bare, half, whole, again = (
        drawn(url, prompt=f"a red dress{tag}") for tag in ("", "<lora:Maison:0.5>", "<lora:Maison>", "")
    )
    pixels = [picture(one["images"][0]).tobytes() for one in (bare, half, whole, again)]
    assert len(set(pixels)) == 3 and pixels[0] == pixels[3]
    assert "<lora:Maison:0.5>" in half["info"]["infotexts"][0] and half["info"]["prompt"].endswith("<lora:Maison:0.5>")


def test_a_new_lora_file_is_there_at_once(tmp_path):
    loras = LoraFolder(tmp_path)
    assert loras.listed() == []
    from modiste.trainer.lora.file import write_lora

    write_lora(random_lora("sd1", "lora"), tmp_path / "new.safetensors", {"ss_output_name": "Brand"})
    assert [(one["name"], one["alias"]) for one in loras.listed()] == [("new", "Brand")]
    (tmp_path / "torn.safetensors").write_bytes(b"no safetensors")
    assert [one["metadata"] for one in loras.listed()][1] == {}


@pytest.mark.parametrize(
    ("sampler", "scheduler", "read"),
    [
        ("DPM++ 2M Karras", None, ("DPM++ 2M", "Karras")),
        ("Euler", "sgm_uniform", ("Euler", "SGM Uniform")),
        ("Euler a", "automatic", ("Euler a", "Automatic")),
        ("DPM++ 2M SDE Exponential", "Karras", ("DPM++ 2M SDE", "Exponential")),
    ],
)
def test_samplers_and_schedules_are_read_as_a1111_reads_them(sampler, scheduler, read):
    assert sampler_and_scheduler(sampler, scheduler) == read


def test_clip_skip_and_sampler_of_one_request_are_gone_in_the_next(url):
    before = drawn(url)["images"]
    changed = drawn(url, sampler_name="Heun", override_settings={"CLIP_stop_at_last_layers": 2})
    assert changed["info"]["clip_skip"] == 2 and changed["images"] != before
    assert drawn(url)["images"] == before
    assert drawn(url, send_images=False)["images"] == []


# ── jobs ──


def test_progress_is_told_and_an_interrupt_ends_the_running_job_alone(host):
    seen, stopped = [], threading.Event()
    with listening(make_app(host, LoraFolder(None))) as address:
        url = f"{address}/sdapi/v1"
        tell = host.on_step

        def step(done: int, steps: int, pictures: int) -> None:
            if done == 2 and not stopped.is_set():
                seen.append(requests.get(f"{url}/progress", timeout=10).json())
                requests.post(f"{url}/interrupt", timeout=10)
                stopped.set()
            tell(done, steps, pictures)

        host.on_step = step
        answer = drawn(url, steps=20, n_iter=8)
        assert answer["images"] == [] == answer["info"]["all_seeds"]
        state = seen[0]["state"]
        assert (state["job_count"], state["sampling_step"], state["sampling_steps"]) == (8, 1, 20)
        assert 0 < seen[0]["progress"] < 1 and seen[0]["eta_relative"] > 0
        assert len(drawn(url)["images"]) == 1


def test_a_failing_drawing_is_a_500_with_its_type_and_the_next_one_works(host, monkeypatch):
    from modiste.hosts.errors import OutOfMemory

    with listening(make_app(host, LoraFolder(None))) as address:
        url = f"{address}/sdapi/v1"
        for error, name in ((OutOfMemory("too little memory"), "OutOfMemoryError"), (ZeroDivisionError("x"), None)):
            with monkeypatch.context() as patch:
                patch.setattr(host, "_prepare", lambda requests, start, error=error: (_ for _ in ()).throw(error))
                answer = ask(url)
            assert answer.status_code == 500 and answer.json()["error"] == (name or type(error).__name__)
            assert answer.json().keys() == RECORDED["answers"]["500"]["body"].keys()
        assert drawn(url)["images"]


# ── who may ask ──


def test_foreign_pages_names_and_large_bodies_are_turned_away(url):
    for headers, status in (
        ({"Origin": "https://example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "modiste.example.com"}, 403),
        ({"Content-Length": str(65 * 2**20)}, 413),
    ):
        request = requests.Request("POST", f"{url}/interrupt", headers=headers).prepare()
        request.headers.update(headers)
        assert requests.Session().send(request, timeout=10).status_code == status, headers
    own = requests.post(f"{url}/interrupt", headers={"Origin": url.removesuffix("/sdapi/v1")}, timeout=10)
    assert own.status_code == 200


def test_users_and_addresses_are_read():
    assert read_users("ann:a, bob:b:c") == {"ann": "a", "bob": "b:c"} and read_users("") == {}
    for wrong in ("ann", "ann:", ":a"):
        with pytest.raises(InputError, match="user:password"):
            read_users(wrong)
    assert all(map(is_loopback, ("127.0.0.1", "localhost", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "10.0.0.1", "127.example.org")))


def test_a_taken_port_is_told_before_anything_is_loaded():
    with listen_on("127.0.0.1", 0) as taken, pytest.raises(InputError, match="another --port"):
        listen_on("127.0.0.1", taken.getsockname()[1])


def test_what_a_mask_leaves_black_takes_no_notice_of_the_prompt(host):
    first = GenerationRequest(prompt="", seed=1, steps=3, width=64, height=64, sampler="Euler")
    start, mask = Image.new("RGB", (64, 64), (200, 30, 30)), Image.new("L", (64, 64))
    mask.paste(255, (0, 32, 64, 64))
    for masked, same in ((mask.point([0] * 256), True), (mask, False)):
        two = [first, first.model_copy(update={"prompt": "a red dress"})]
        images = [result.image.tobytes() for result in host.redraw(start, 1.0, two, masked)]
        assert (images[0] == images[1]) is same


def test_redrawing_nothing_is_refused(host):
    from modiste.hosts.errors import RequestRefused

    with pytest.raises(RequestRefused, match="none of 3 steps"):
        start = Image.new("RGB", (64, 64))
        list(host.redraw(start, 0.1, [GenerationRequest(prompt="", seed=1, steps=3, width=64, height=64)]))


def test_ctrl_c_ends_a_busy_server_after_the_step_it_is_at(tmp_path):
    harness = Path(__file__).parents[2] / "harness.py"
    command = [sys.executable, harness, "serve", "--preset", "mini", "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, encoding="utf-8") as process:
        url = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())[0] + "/sdapi/v1"
        answers = []
        long = DRAWING | {"steps": 1000, "n_iter": 128}
        clients = [threading.Thread(target=lambda: answers.append(ask(url, **long))) for _ in range(3)]
        for client in clients:
            client.start()
        while not requests.get(f"{url}/progress", timeout=60).json()["state"]["sampling_step"]:
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        for client in clients:
            client.join()
    assert sorted(answer.status_code for answer in answers) == [200, 503, 503], [a.text[:300] for a in answers]


def test_the_command_serves_the_embedded_model_until_it_is_interrupted(tmp_path):
    harness = Path(__file__).parents[2] / "harness.py"
    command = [sys.executable, harness, "serve", "--preset", "mini", "--port", "0", "--device", "cpu"]
    environ = os.environ | {"MODISTE_API_AUTH": "ann:secret"}
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stderr=subprocess.PIPE, encoding="utf-8") as process:
        line = process.stderr.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert address, line + process.stderr.read()
        models = requests.get(f"{address[0]}/sdapi/v1/sd-models", auth=("ann", "secret"), timeout=30).json()
        assert models[0]["model_name"] == "sd"
        assert requests.get(f"{address[0]}/sdapi/v1/sd-models", timeout=30).status_code == 401
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
