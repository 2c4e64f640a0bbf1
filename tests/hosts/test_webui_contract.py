"""What we send fits the real servers' own openapi.json; what they were recorded to answer becomes the right thing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from faulty_webui import openapi, recorded

from modiste.core.errors import InputError
from modiste.hosts import errors
from modiste.hosts.address import base_url
from modiste.hosts.connection import Answer
from modiste.hosts.errors import ApiMissing, HostError, RequestRefused, WrongResult
from modiste.hosts.lora_proof import effective, without
from modiste.hosts.request import GenerationRequest, LoraRef
from modiste.hosts.webui.capability import Capability
from modiste.hosts.webui.catalogue import Checkpoint, loras_of
from modiste.hosts.webui.credentials import credentials
from modiste.hosts.webui.payload import payload_of
from modiste.hosts.webui.responses import read_json, refuse, server_words
from modiste.hosts.webui.result import Txt2ImgResult

SERVERS = ("a1111", "a1111-with-page", "forge")
ALL = [(server, name) for server in ("a1111", "forge") for name in recorded(server)]


def request(**changes) -> GenerationRequest:
    drawing = dict(prompt="a red floral maxi dress, studio photo", negative_prompt="blurry", seed=42, steps=2)
    return GenerationRequest(**{**drawing, **dict(cfg_scale=5, width=64, height=64, sampler="Euler"), **changes})


# ── what we send ──


def faults(value: Any, schema: dict, schemas: dict, at: str = "") -> list[str]:
    """What a JSON value breaks of an OpenAPI schema, of the part of it that FastAPI writes."""
    if "$ref" in schema:
        return faults(value, schemas[schema["$ref"].rpartition("/")[2]], schemas, at)
    if choices := schema.get("anyOf") or schema.get("allOf"):
        found = [faults(value, choice, schemas, at) for choice in choices]
        return [] if not all(found) or not found else found[0]
    kinds = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}
    kind = schema.get("type")
    if kind == "null":
        return [] if value is None else [f"{at} is not null"]
    if kind and (not isinstance(value, kinds[kind]) or isinstance(value, bool) and kind != "boolean"):
        return [f"{at} is {value!r}, no {kind}"]
    found = [f"{at}.{name} is missing" for name in schema.get("required", ()) if name not in value]
    if isinstance(value, dict) and (known := schema.get("properties")):
        found += [f"{at}.{name} is unknown" for name in value if name not in known]
        found += [
            each
            for name in value
            if name in known
            for each in faults(value[name], known[name], schemas, f"{at}.{name}")
        ]
    if isinstance(value, list) and "items" in schema:
        found += [
            each
            for place, item in enumerate(value)
            for each in faults(item, schema["items"], schemas, f"{at}[{place}]")
        ]
    return found


def body_faults(server: str, path: str, body: Any) -> list[str]:
    document = openapi(server)
    sent = document["paths"][path]["post"].get("requestBody")
    if sent is None:
        return [] if body == {} else [f"{path} takes nothing"]
    return faults(body, sent["content"]["application/json"]["schema"], document["components"]["schemas"], path)


@pytest.mark.parametrize("server", SERVERS)
def test_every_picture_we_ask_for_fits_the_servers_own_description(server):
    lora = LoraRef(name="brand", strength=0.8)
    for asked in (request(), request(scheduler="Karras", clip_skip=2), request(loras=(lora,), checkpoint="x")):
        payload = payload_of(asked, "tiny-sd15-a.safetensors [99502ed0e1]", "task(modiste-1)")
        assert body_faults(server, "/sdapi/v1/txt2img", payload) == []
        known = openapi(server)["components"]["schemas"]["Options"]
        assert faults(payload["override_settings"], known, {}, "options") == []
        Capability.read(openapi(server), "http://x").refuse_unfit(payload, "http://x")


@pytest.mark.parametrize("server", SERVERS)
def test_the_other_calls_fit_too_and_their_routes_exist(server):
    for path in ("/sdapi/v1/interrupt", "/sdapi/v1/refresh-loras", "/sdapi/v1/refresh-checkpoints"):
        assert body_faults(server, path, {}) == []
    paths = openapi(server)["paths"]
    for path in ("samplers", "schedulers", "sd-models", "loras", "options", "progress"):
        assert "get" in paths[f"/sdapi/v1/{path}"]
    if "/internal/progress" in paths:
        assert body_faults(server, "/internal/progress", {"id_task": "task(x)", "live_preview": False}) == []


def test_the_checker_itself_finds_what_is_wrong():
    payload = payload_of(request(), None, "")
    assert body_faults("a1111", "/sdapi/v1/txt2img", {**payload, "steps": "many"})
    assert body_faults("forge", "/sdapi/v1/txt2img", {**payload, "steps": "many"})
    assert body_faults("forge", "/sdapi/v1/txt2img", {**payload, "samplr_name": "Euler"})


def test_the_payload_says_all_that_a_global_option_would_decide_otherwise():
    asked = request(scheduler="Karras", clip_skip=2, loras=(LoraRef(name="brand-1a2b", strength=0.75),))
    assert payload_of(asked, "model.safetensors", "task(modiste-1)") == {
        "prompt": "a red floral maxi dress, studio photo <lora:brand-1a2b:0.75>",
        "negative_prompt": "blurry",
        "styles": [],
        "seed": 42,
        "subseed_strength": 0,
        "steps": 2,
        "cfg_scale": 5.0,
        "width": 64,
        "height": 64,
        "sampler_name": "Euler",
        "batch_size": 1,
        "n_iter": 1,
        "restore_faces": False,
        "tiling": False,
        "enable_hr": False,
        "send_images": True,
        "save_images": False,
        "override_settings": {"CLIP_stop_at_last_layers": 2, "sd_model_checkpoint": "model.safetensors"},
        "override_settings_restore_afterwards": True,
        "force_task_id": "task(modiste-1)",
        "scheduler": "Karras",
    }
    with pytest.raises(RequestRefused, match="a:b"):
        payload_of(request(loras=(LoraRef(name="a:b"),)), None, "")


def test_a_field_or_a_number_that_the_server_would_drop_or_change_is_refused():
    old = openapi()
    del old["components"]["schemas"]["StableDiffusionProcessingTxt2Img"]["properties"]["scheduler"]
    with pytest.raises(RequestRefused, match="'scheduler'"):
        Capability.read(old, "http://x").refuse_unfit(payload_of(request(scheduler="Karras"), None, ""), "http://x")
    strict = openapi("forge")
    width = strict["components"]["schemas"]["StableDiffusionProcessingTxt2Img"]["properties"]["width"]
    width["anyOf"][0].update(multipleOf=64, maximum=256)
    for wide in (72, 320):
        with pytest.raises(RequestRefused, match="width: at most 256, a multiple of 64"):
            Capability.read(strict, "http://x").refuse_unfit(payload_of(request(width=wide), None, ""), "http://x")


def test_a_server_without_the_api_is_told_from_one_that_is_no_webui():
    page = openapi("a1111-with-page")
    page["paths"] = {"/config": {}, "/internal/progress": {}}
    with pytest.raises(ApiMissing, match="without its API.*--api"):
        Capability.read(page, "http://x")
    for stranger in ({"paths": {}}, [], None, "hello"):
        with pytest.raises(ApiMissing, match="no WebUI.*--url"):
            Capability.read(stranger, "http://x")


# ── what they answer ──

EXPECTED = {
    "auth_401_none": errors.AccessDenied,
    "auth_401_post_txt2img": errors.AccessDenied,
    "auth_401_wrong": errors.AccessDenied,
    "img2img_404": RequestRefused,
    "img2img_500_b64": RequestRefused,
    "img2img_b64": RequestRefused,
    "img2img_dataurl_charset": HostError,
    "img2img_empty_list": HostError,
    "internal_pending": ApiMissing,
    "internal_progress": ApiMissing,
    "nan": errors.NotANumber,
    "options_500_ckpt": HostError,
    "options_unknown_key": HostError,
    "options_unknown": HostError,
    "override_badtype": HostError,
    "override_unknown": HostError,
    "route_404": ApiMissing,
    "404_route": ApiMissing,
    "route_405": ApiMissing,
    "txt2img_422_alwayson": RequestRefused,
    "txt2img_422_script": RequestRefused,
    "txt2img_422_type": RequestRefused,
    "422_script": RequestRefused,
    "422_type": RequestRefused,
    "txt2img_500_after_bad_option": HostError,
    "txt2img_badjson": RequestRefused,
    "txt2img_null_prompt": HostError,
    "500_null_prompt": HostError,
    "txt2img_steps_0": HostError,
    "500_steps0": HostError,
    "txt2img_width_0": HostError,
}
# 200, and something else was drawn than was asked.
REPLACED = {
    "txt2img_badsampler_200": "used sampler 'DPM.. 2M' although 'Nope' was asked.*/samplers",
    "txt2img_bad_scheduler": "used schedule 'Automatic' although 'Nope' was asked.*/schedulers",
    "txt2img_width_65": "used size '64×64' although '65×64' was asked",
    "override_ckpt_missing": "used model 'random-sd15' although 'nope' was asked.*/sd-models",
}


def answer_of(record: dict, picture: str) -> Answer:
    """As it came over the wire; pictures that were left out of a record are those of txt2img_200, of the same size."""
    body = record["body"]
    if isinstance(body, dict) and body.get("images"):
        body = {**body, "images": [picture if image == "(picture)" else image for image in body["images"]]}
    where = f"{record['method']} http://x{record['path']}"
    return Answer(where, record["status"], {"Content-Type": record["content_type"]}, json.dumps(body).encode())


@pytest.mark.parametrize(("server", "name"), ALL)
def test_every_recorded_answer_becomes_the_right_result_or_the_right_error(server, name):
    records = recorded(server)
    record = records[name]
    answer = answer_of(record, records["txt2img_200"]["body"]["images"][0])
    if record["status"] != 200:
        with pytest.raises(HostError) as caught:
            read_json(answer)
        assert type(caught.value) is EXPECTED[name]
        assert caught.value.where == answer.url and (caught.value.to_try or type(caught.value) is RequestRefused)
        return
    document = read_json(answer)
    if record["path"] != "/sdapi/v1/txt2img":
        assert document == record["body"]
        return
    asked = record["json"]
    drawn = Txt2ImgResult.read(document, answer.url)
    wanted = request(prompt=asked["prompt"], steps=asked["steps"], cfg_scale=asked.get("cfg_scale", 7))
    wanted = wanted.model_copy(
        update={
            "sampler": asked["sampler_name"],
            "scheduler": asked.get("scheduler", "Automatic"),
            "width": asked["width"],
            "clip_skip": asked.get("override_settings", {}).get("CLIP_stop_at_last_layers", 1),
        }
    )
    file = asked.get("override_settings", {}).get("sd_model_checkpoint")
    checkpoint = file and Checkpoint.read({"title": file, "model_name": "nope", "filename": f"/srv/{file}"})
    if name in REPLACED:
        with pytest.raises(WrongResult, match=REPLACED[name]):
            drawn.refuse_replaced(wanted, checkpoint)
        return
    drawn.refuse_replaced(wanted, checkpoint)
    used = drawn.used(())
    assert drawn.image.mode == "RGB" and (used.width, used.height) == (64, 64)
    assert (used.seed, used.sampler, used.checkpoint) == (42, "Euler", drawn.info["sd_model_name"])
    assert used.backend.startswith("Forge f2" if server == "forge" else "WebUI 1.10.1")


def test_all_records_are_spoken_for():
    failed = {name for server, name in ALL if recorded(server)[name]["status"] != 200}
    assert failed == set(EXPECTED)
    assert set(REPLACED) < {name for _, name in ALL} - failed


def test_the_servers_words_and_the_next_step_are_in_the_message():
    answers = {name: answer_of(record, "") for name, record in recorded().items()}

    def message(name: str) -> str:
        with pytest.raises(HostError) as caught:
            refuse(answers[name])
        return str(caught.value)

    assert "Incorrect username or password" in message("auth_401_wrong")
    assert "MODISTE_WEBUI_AUTH" in message("auth_401_none")
    assert "body.steps: value is not a valid integer" in message("txt2img_422_type")
    assert "Script 'no such script' not found" in message("txt2img_422_script")
    assert "ZeroDivisionError: integer division or modulo by zero" in message("txt2img_steps_0")
    assert "--no-half-vae" in message("nan") and "--api" in message("route_404")
    assert server_words(answer_of(recorded("forge")["500_steps0"], "")) == (
        "ZeroDivisionError",
        "integer division or modulo by zero",
    )


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, b'{"error": "OutOfMemoryError", "detail": "", "errors": "CUDA out of memory."}', errors.OutOfMemory),
        (500, b'{"error": "RuntimeError", "message": "CUDA error: out of memory"}', errors.OutOfMemory),
        (
            500,
            b'{"error": "RuntimeError", "errors": "DefaultCPUAllocator: can\'t allocate memory"}',
            errors.OutOfMemory,
        ),
        (500, b"<html>Internal Server Error</html>", HostError),
        (500, b"", HostError),
        (502, b"<html>", errors.UnknownOutcome),
        (504, b"<html>", errors.UnknownOutcome),
        (524, b"", errors.UnknownOutcome),
        (429, b"", errors.HostBusy),
        (503, b"", errors.HostBusy),
        (403, b"<html>", errors.AccessDenied),
        (200, b"<html><title>Login</title>", errors.UnreadableAnswer),
        (200, b'{"images": ["aaaa', errors.UnreadableAnswer),
    ],
)
def test_what_was_not_recorded_is_told_apart_by_status_and_name(status, body, kind):
    with pytest.raises(HostError) as caught:
        read_json(Answer("POST http://x/sdapi/v1/txt2img", status, {}, body))
    assert type(caught.value) is kind


@pytest.mark.parametrize(("said", "seconds"), [("7", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("", None)])
def test_a_busy_server_says_how_long(said, seconds):
    with pytest.raises(errors.HostBusy) as caught:
        refuse(Answer("POST http://x", 429, {"Retry-After": said}, b""))
    assert caught.value.retry_after_s == seconds


def test_answers_that_are_no_pictures_are_unreadable():
    info = json.dumps({"all_seeds": [1], "index_of_first_image": 0})
    for document in (
        None,
        [],
        {},
        {"images": ["x"]},
        {"images": ["x"], "info": "{"},
        {"images": [1], "info": info},
        {"images": ["%%%"], "info": info},
        {"images": ["QUJD"], "info": info},
        {"images": ["QUJD"], "info": json.dumps({"all_seeds": []})},
    ):
        with pytest.raises(errors.UnreadableAnswer):
            Txt2ImgResult.read(document, "http://x")
    for images in ([], None):
        with pytest.raises(errors.Interrupted, match="0 pictures came for 1 seeds"):
            Txt2ImgResult.read({"images": images, "info": info}, "http://x")


# ── names ──


def test_a_checkpoint_is_known_by_every_name_that_the_server_takes():
    item = {
        "title": "sub/brand.safetensors [99502ed0e1]",
        "model_name": "sub_brand",
        "hash": "99502ed0e1",
        "sha256": "99502ed0e1ff",
        "filename": "C:\\webui\\models\\Stable-diffusion\\sub\\brand.safetensors",
    }
    found = Checkpoint.read(item)
    assert found.name == "brand" and found.hash == "99502ed0e1"
    for name in ("sub/brand.safetensors", "sub/brand.safetensors [99502ed0e1]", "sub_brand", "brand", "99502ed0e1"):
        assert name in found.names
    for server in ("a1111", "forge"):
        (item,) = recorded(server)["get_sd-models"]["body"]
        assert Checkpoint.read(item).name == "random-sd15" and Checkpoint.read(item).hash is None


def test_loras_are_found_in_fields_and_prompt_and_taken_out_again():
    asked = request(
        prompt="a dress <lora:one:0.5>, <lora:two:0> silk", loras=(LoraRef(name="three"), LoraRef(name="one"))
    )
    assert loras_of(asked) == ["three", "one", "two"] and effective(asked) == ["three", "one"]
    assert loras_of(without(asked, "one")) == ["three", "two"]
    assert without(request(prompt="a dress <lora:a.b:1>"), "a.b").prompt == "a dress"


# ── addresses ──


def test_addresses_are_of_this_machine_unless_said_otherwise():
    assert base_url("http://127.0.0.1:7860/") == "http://127.0.0.1:7860"
    assert base_url("localhost:7860/sd/") == "http://localhost:7860/sd"
    assert base_url("http://[::1]:7860") == "http://[::1]:7860"
    for remote in (
        "http://192.168.1.2:7860",
        "https://gpu.example.com",
        "http://127.0.0.1.example.com",
        "http://0.0.0.0:1",
    ):
        with pytest.raises(InputError, match="another machine.*--allow-remote"):
            base_url(remote)
        assert base_url(remote, allow_remote=True) == remote


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1", "file:///etc/passwd", "http://", "http://127.0.0.1:99999", "http://127.0.0.1/?a=b"]
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(InputError, match="not the address"):
        base_url(url)


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(InputError, match="MODISTE_WEBUI_AUTH") as caught:
        base_url("http://user:geheim@127.0.0.1:7860")
    assert "geheim" not in str(caught.value) and "127.0.0.1:7860" in str(caught.value)


def test_credentials_come_from_the_environment():
    assert credentials({}) is None
    assert credentials({"MODISTE_WEBUI_AUTH": "user:pass:word"}) == ("user", "pass:word")
    with pytest.raises(InputError, match="user:password"):
        credentials({"MODISTE_WEBUI_AUTH": "geheim"})
