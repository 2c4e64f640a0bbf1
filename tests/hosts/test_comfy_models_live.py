"""Models beyond Stable Diffusion 1, 2 and XL in a real ComfyUI: every template as it stands, and files judged there.

MODISTE_COMFYUI names the checkout; tests/comfy_live.py has the rest. SD 3.5 is drawn with random weights, tiny.
FLUX, Z-Image and Qwen-Image are not: their classes fix a width of 3072 or 3840 and text encoders of 4 to 8 billion
parameters, so the server checks their graphs with empty files in the places of the real ones.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_sd35
from comfy_live import Comfy, serving

from modiste.cli.app import main
from modiste.hosts.comfy.host import ComfyHost
from modiste.hosts.comfy.workflow import Workflow, template_names
from modiste.hosts.errors import RequestRefused
from modiste.hosts.request import GenerationRequest, LoraRef

ROOT = Path(__file__).parents[2]
SD35 = "sd3.5_large_fp8_scaled.safetensors"
SMALL = ["--preset", "mini", "--width", "64", "--height", "64", "--steps", "2"]
# CFG and sampling by nodes of their own, and the LoRA where the user's own loader stands.
BY_PARTS = {
    "4": ("CheckpointLoaderSimple", {"ckpt_name": SD35}, "model"),
    "5": (
        "LoraLoaderModelOnly",
        {"model": ["4", 0], "lora_name": "x", "strength_model": 1.0},
        "{lora} {lora_strength}",
    ),
    "6": ("CLIPTextEncode", {"text": "", "clip": ["4", 1]}, "{prompt}"),
    "7": ("CLIPTextEncode", {"text": "watermark", "clip": ["4", 1]}, "fixed negative"),
    "8": ("CFGGuider", {"model": ["5", 0], "positive": ["6", 0], "negative": ["7", 0], "cfg": 4.0}, "{cfg_scale}"),
    "9": ("RandomNoise", {"noise_seed": 0}, "{seed}"),
    "10": ("KSamplerSelect", {"sampler_name": "euler"}, "{sampler}"),
    "11": ("BasicScheduler", {"model": ["5", 0], "scheduler": "simple", "steps": 9, "denoise": 1.0}, "{steps}"),
    "12": ("EmptySD3LatentImage", {"width": 96, "height": 96, "batch_size": 1}, "{width} {height}"),
    "13": (
        "SamplerCustomAdvanced",
        {"noise": ["9", 0], "guider": ["8", 0], "sampler": ["10", 0], "sigmas": ["11", 0], "latent_image": ["12", 0]},
        "",
    ),
    "14": ("VAEDecode", {"samples": ["13", 0], "vae": ["4", 2]}, ""),
    "15": ("SaveImage", {"images": ["14", 0], "filename_prefix": "mine"}, "{picture}"),
}

pytestmark = [pytest.mark.comfyui, pytest.mark.slow]
if not os.environ.get("MODISTE_COMFYUI"):
    pytest.skip("MODISTE_COMFYUI is not set", allow_module_level=True)


@pytest.fixture(scope="module")
def comfy(tmp_path_factory) -> Iterator[Comfy]:
    base = tmp_path_factory.mktemp("comfyui") / "base"
    (base / "custom_nodes").mkdir(parents=True)
    (base / "models" / "loras").mkdir(parents=True)
    for name in template_names():
        for part in Workflow.read(name).graph.values():
            for model in part["_meta"].get("models", ()):
                place = base / "models" / model["directory"] / model["name"]
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
    tiny_sd35.make_checkpoint(base / "models" / "checkpoints" / SD35)
    with serving(base) as server:
        yield server


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for photo in sorted((ROOT / "examples" / "photos").glob("*.jpg"))[:3]:
        shutil.copy(photo, folder)
    return folder


@pytest.fixture(scope="module")
def loras(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("loras")
    for step, size in ((100, 0.3), (200, 1.0)):
        tiny_sd35.make_lora(folder / f"brand-step{step:08d}.safetensors", size, step)
    alien = tiny_sd35.make_lora(folder / "another-model.safetensors", 1.0, 7)
    tensors = {name.replace("joint_blocks", "double_blocks"): value for name, value in read(alien).items()}
    tiny_sd35.write_tensors(tensors, alien, {})
    return folder


def read(file: Path) -> dict:
    from modiste.trainer.lora.file import read_tensors

    return read_tensors(file)[0]


def run(*words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert not ended.value.code


def judged(comfy: Comfy, workflow: str, loras: Path, photos: Path, out: Path) -> dict:
    drawer = ["--host", "comfy", "--url", comfy.url, "--workflow", workflow]
    drawer += ["--lora-dir", str(comfy.base / "models" / "loras")]
    few = ["--seeds", "2", "--choosing-seeds", "1", "--photos", str(photos), "--out", str(out)]
    run("judge", str(loras), *few, *drawer, *SMALL)
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


# ── templates ──


@pytest.mark.parametrize("name", template_names())
def test_the_server_takes_a_template_as_it_stands_and_knows_every_name_in_it(comfy, name):
    host = ComfyHost(comfy.url, workflow=name)
    request = GenerationRequest(prompt="a red dress", seed=3, **host.describe().drawing)
    host.check(request)
    graph = host._catalogue.graph_of(request.model_copy(update={"width": 64, "height": 64, "steps": 1}))
    assert {part["class_type"] for part in graph.values()} <= comfy.info.keys()
    prompt_id, refusal = comfy.queue(graph)
    assert prompt_id, refusal
    comfy.call("/queue", {"delete": [prompt_id]})
    wrong = json.loads(json.dumps(graph))
    wrong["sampler"]["inputs"]["sampler_name"] = "eular"
    assert "eular" in comfy.queue(wrong)[1], "a name that is wrong is seen"


def test_sd_3_5_draws_through_its_template_and_a_lora_changes_the_picture(comfy, loras):
    for file in loras.glob("brand*.safetensors"):
        shutil.copy(file, comfy.base / "models" / "loras")
    host = ComfyHost(comfy.url, workflow="sd3.5")
    drawing = {**host.describe().drawing, "width": 64, "height": 64, "steps": 2}
    request = GenerationRequest(prompt="a red dress", seed=3, **drawing)
    worn = request.model_copy(update={"loras": (LoraRef(name="brand-step00000200"),)})
    half = request.model_copy(update={"loras": (LoraRef(name="brand-step00000200", strength=0.4),)})
    bare, again, full, weaker = (result.image.tobytes() for result in host.generate([request, request, worn, half]))
    assert bare == again and len({bare, full, weaker}) == 3
    with pytest.raises(RequestRefused, match="brand-step00000300"):
        host.check(request.model_copy(update={"loras": (LoraRef(name="brand-step00000300"),)}))


# ── a foreign workflow ──


def test_files_of_another_model_are_judged_through_the_users_own_graph(comfy, loras, photos, tmp_path):
    graph = {
        node: {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}
        for node, (kind, inputs, title) in BY_PARTS.items()
    }
    (tmp_path / "mine.json").write_text(json.dumps(graph), encoding="utf-8")
    report = judged(comfy, str(tmp_path / "mine.json"), loras, photos, tmp_path / "out")
    rows = {row["label"]: row for row in report["rows"]}
    assert rows["another-model"]["standing"] == "changes nothing" and "same picture" in rows["another-model"]["reason"]
    assert all(rows[f"brand-step00000{step}00"]["pictures"] for step in (1, 2))
    assert report["settings"]["cfg_scale"] == 4.0 and report["settings"]["sampler"] == "euler", "the graph's own"
    assert report["settings"]["steps"] == 2 and report["settings"]["workflow"], "what was asked for, and which graph"
    assert report["gains"][0]["over"] == "base" and report["base"]["attributes"]
    kept = 1 if report["verdict"]["decision"] == "keep" else 0
    copies = [file.name for file in (comfy.base / "models" / "loras").glob("*-*-*")]
    assert len(copies) == kept, "of the copies that were drawn with, one is worth keeping at most"


def test_judge_and_prompt_search_work_through_a_template_by_its_name(comfy, loras, photos, tmp_path):
    report = judged(comfy, "sd3.5", loras, photos, tmp_path / "judged")
    assert report["settings"]["cfg_scale"] == 4.0 and report["pictures"] > 20
    photo = str(sorted(photos.glob("*.jpg"))[0])
    where = ["--host", "comfy", "--url", comfy.url, "--workflow", "sd3.5", "--out", str(tmp_path / "found")]
    run("prompt", photo, "--budget", "8", "--seed", "0", "--no-learn", *where, *SMALL)
    found = json.loads((tmp_path / "found" / "report.json").read_text(encoding="utf-8"))
    assert found["images"][0]["generations"] >= 8 and found["host"]["workflow"]
    log = comfy.log.read_text(encoding="utf-8", errors="replace")
    assert "model_type FLOW" in log, "what was drawn with is Stable Diffusion 3's kind"
