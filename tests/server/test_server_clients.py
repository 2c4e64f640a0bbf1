"""Requests of real clients, from their sources (tests/data/webui_clients.json), end to end over HTTP."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import Path

import pytest
import requests
from listening import listening
from PIL import Image

from modiste.server.app import make_app
from modiste.server.lora_folder import LoraFolder
from modiste.server.picture_routes import read_infotext
from modiste.server.resize import filled

CLIENTS = json.loads((Path(__file__).parents[1] / "data" / "webui_clients.json").read_text(encoding="utf-8"))
SMALL = {"steps": 2, "width": 64, "height": 64}  # in place of what the clients ask for, so that drawing takes no time


class Looking:
    """Says what a picture shows, as a preset's tagger does."""

    def caption(self, image: Image.Image) -> str:
        return f"a dress of {image.width} pixels"

    def tags(self, image: Image.Image) -> str:
        return "dress, red"


@pytest.fixture(scope="module")
def url(host):
    with listening(make_app(host, LoraFolder(None), interrogator=Looking())) as address:
        yield f"{address}/sdapi/v1"


def png(width: int = 64, height: int = 64, colour=(200, 30, 30), text: str = "") -> str:
    from PIL.PngImagePlugin import PngInfo

    data, texts = BytesIO(), PngInfo()
    if text:
        texts.add_text("parameters", text)
    Image.new("RGB", (width, height), colour).save(data, "PNG", pnginfo=texts)
    return base64.b64encode(data.getvalue()).decode()


def opened(encoded: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(encoded)))


def body_of(client: dict) -> dict:
    body = client["body"] | SMALL
    if client["body"]["width"] % 8:
        body |= {"width": 70, "height": 70}
    if client["path"] == "img2img":
        body["init_images"] = ["data:image/png;base64," + png()]
        body["steps"] = 4
    return body


@pytest.mark.parametrize("client", CLIENTS, ids=[client["client"] for client in CLIENTS])
def test_a_real_clients_requests_are_answered_with_its_picture(client, url):
    for name in client["lists"]:
        assert requests.get(f"{url}/{name}", timeout=60).status_code == 200, name
    for name in client.get("posts", ()):
        assert requests.post(f"{url}/{name}", json="", timeout=60).status_code == 200, name
    if client.get("posts_options"):
        options = requests.get(f"{url}/options", timeout=60).json() | {"sd_model_checkpoint": "tiny-sd"}
        assert requests.post(f"{url}/options", json=options, timeout=60).status_code == 200
    body = body_of(client)
    sent = {"data": json.dumps(body)} if client.get("without_content_type") else {"json": body}
    answer = requests.post(f"{url}/{client['path']}", **sent, timeout=120)
    assert answer.status_code == 200, answer.text[:500]
    info = json.loads(answer.json()["info"])
    assert len(answer.json()["images"]) == body.get("batch_size", 1)
    assert opened(answer.json()["images"][0]).size == (64, 64) == (info["width"], info["height"])
    assert {warning.partition(":")[0] for warning in info.get("warnings", [])} == set(client["warned"])


def test_a_strict_server_refuses_what_the_other_ignores(host):
    with listening(make_app(host, LoraFolder(None), strict=True)) as address:
        for body, word in (
            ({"save_images": True}, "save_images"),
            ({"url": "http://127.0.0.1"}, "url"),
            ({"width": 65}, "multiples of 8"),
            ({"styles": ["house"]}, "house"),
        ):
            answer = requests.post(f"{address}/sdapi/v1/txt2img", json=SMALL | body, timeout=60)
            assert answer.status_code == 422 and word in answer.json()["detail"] and "strict" in answer.text
        assert requests.post(f"{address}/sdapi/v1/txt2img", json=SMALL, timeout=60).status_code == 200


def test_hires_fix_draws_small_and_then_over_the_enlarged_picture(url):
    drawing = SMALL | {"prompt": "a red dress", "seed": 3, "denoising_strength": 0.5}
    asked = drawing | {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "Lanczos", "hr_second_pass_steps": 2}
    small, large, again = (
        requests.post(f"{url}/txt2img", json=body, timeout=120).json() for body in (drawing, asked, asked)
    )
    assert opened(large["images"][0]).size == (128, 128) and large["images"] == again["images"]
    enlarged = opened(small["images"][0]).resize((128, 128), Image.Resampling.LANCZOS)
    assert opened(large["images"][0]).tobytes() != enlarged.tobytes()
    assert "Hires resize: 128x128, Hires steps: 2, Hires upscaler: Lanczos" in json.loads(large["info"])["infotexts"][0]


def test_the_whole_picture_is_kept_where_it_is_to_be_filled_up():
    image = Image.new("RGB", (64, 32), (10, 20, 30))
    image.paste((200, 0, 0), (0, 0, 64, 1))
    whole = filled(image, (64, 64))
    assert whole.size == (64, 64) and whole.crop((0, 16, 64, 48)).tobytes() == image.tobytes()
    assert whole.getpixel((30, 3)) == (200, 0, 0) and whole.getpixel((30, 60)) == (10, 20, 30)


# ── pictures that are there already ──


def test_png_info_reads_what_was_written_into_a_picture(url):
    drawn = requests.post(f"{url}/txt2img", json=SMALL | {"prompt": "a (red:1.2) dress", "seed": 5}, timeout=60).json()
    told = requests.post(f"{url}/png-info", json={"image": drawn["images"][0]}, timeout=60).json()
    assert told["info"] == json.loads(drawn["info"])["infotexts"][0] == told["items"]["parameters"]
    assert told["parameters"]["Prompt"] == "a (red:1.2) dress" and told["parameters"]["Seed"] == "5"
    bare = requests.post(f"{url}/png-info", json={"image": "data:image/png;base64," + png()}, timeout=60).json()
    assert bare == {"info": "", "items": {}, "parameters": {}}
    assert requests.post(f"{url}/png-info", json={"image": "AAAA"}, timeout=60).status_code == 422


def test_an_infotext_is_read_field_by_field():
    text = (
        'a dress\nof silk\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, Lora hashes: "a: 1, b: 2", Size: 64x64'
    )
    assert read_infotext(text) == {
        "Prompt": "a dress\nof silk",
        "Negative prompt": "blurry",
        "Steps": "20",
        "Sampler": "Euler a",
        "Lora hashes": "a: 1, b: 2",
        "Size": "64x64",
    }
    assert read_infotext("only words") == {"Prompt": "only words", "Negative prompt": ""}


def test_interrogate_gives_a_caption_or_tags(url):
    for model, caption in (("clip", "a dress of 96 pixels"), ("deepdanbooru", "dress, red")):
        answer = requests.post(f"{url}/interrogate", json={"image": png(96), "model": model}, timeout=60)
        assert answer.json() == {"caption": caption}
    assert requests.post(f"{url}/interrogate", json={"image": png(), "model": "other"}, timeout=60).status_code == 404


def test_the_extras_resize_and_say_what_they_are_not(url):
    grown = {"image": png(64, 32), "upscaling_resize": 2, "upscaler_1": "Lanczos"}
    answer = requests.post(f"{url}/extra-single-image", json=grown, timeout=60).json()
    assert opened(answer["image"]).size == (128, 64)
    fitted = {"upscaler_1": "Nearest", "resize_mode": 1, "upscaling_resize_w": 100, "upscaling_resize_h": 100}
    files = [{"data": png(64, 32), "name": "a.png"}, {"data": png(), "name": "b.png"}]
    answer = requests.post(f"{url}/extra-batch-images", json=fitted | {"imageList": files}, timeout=60).json()
    assert [opened(image).size for image in answer["images"]] == [(100, 100), (100, 100)]
    for change, status in (({"upscaler_1": "R-ESRGAN 4x+"}, 400), ({"gfpgan_visibility": 1}, 422)):
        answer = requests.post(f"{url}/extra-single-image", json=grown | change, timeout=60)
        assert answer.status_code == status and "here" in answer.json()["detail"]
    names = [item["name"] for item in requests.get(f"{url}/upscalers", timeout=60).json()]
    assert names == ["None", "Lanczos", "Nearest"]


def test_the_page_of_the_routes_is_there_for_docs_alone(host, url):
    root = url.removesuffix("/sdapi/v1")
    assert [requests.get(f"{root}/{path}", timeout=60).status_code for path in ("docs", "redoc")] == [404, 404]
    assert requests.get(f"{root}/internal/ping", timeout=60).json() == {}
    with listening(make_app(host, LoraFolder(None), docs=True)) as address:
        assert requests.get(f"{address}/docs", timeout=60).status_code == 200
