"""The nodes in a real ComfyUI on the CPU: schemas, example workflows, Cancel and resume, LoRAs, bad inputs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comfy_live import CHECKPOINT, PUBLISHED, Comfy, api_prompt, furnish, serving
from PIL import Image
from safetensors.torch import save_file

from modiste.cli.app import main
from modiste.nodes.choices import TRAINED
from modiste.runs.pictures import read_origin

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "data" / "comfy_object_info.json"
OF_THE_MACHINE = ("options", "default")  # of lists that show what this server has
LISTS = ("sampler_name", "scheduler", "checkpoint", "encoder", "vocabulary", "folder", "lora_name")
TINY = dict(steps=1, width=64, height=64, sampler_name="euler", scheduler="normal")
SMALL = dict(TINY, encoder="mini")
TRY_OUT = dict(folder="photos", encoder="mini", checkpoint="mini (embedded)")

# A pack without nodes that looks into the host's process: how many of our models are open, and all parameters there.
PROBE = """
import gc
import torch
from aiohttp import web
from server import PromptServer
NODE_CLASS_MAPPINGS = {}

@PromptServer.instance.routes.get("/probe")
async def probe(request):
    gc.collect()
    things = gc.get_objects()
    held = {p.data_ptr(): p.numel() * p.element_size() for p in things if type(p) is torch.nn.Parameter}
    opened = sum(type(thing).__name__ == "VisionModels" for thing in things)
    return web.json_response({"opened": opened, "parameter_bytes": sum(held.values())})
"""

pytestmark = [pytest.mark.comfyui, pytest.mark.slow]


@pytest.fixture(scope="module")
def comfy(tmp_path_factory) -> Iterator[Comfy]:
    base = tmp_path_factory.mktemp("comfyui") / "base"
    furnish(base)
    (base / "custom_nodes" / "probe").mkdir()
    (base / "custom_nodes" / "probe" / "__init__.py").write_text(PROBE, encoding="utf-8")
    with serving(base, packs=["probe"]) as server:
        yield server


def same_everywhere(info: dict[str, Any]) -> dict[str, Any]:
    found = json.loads(json.dumps(info))
    for node in found.values():
        for part in node["input"].values():
            for name, spec in part.items():
                if name in LISTS:
                    spec[1] = {key: value for key, value in spec[1].items() if key not in OF_THE_MACHINE}
        node["python_module"] = "custom_nodes.modiste"
    return found


def as_far_as(recorded: Any, listed: Any) -> Any:
    """What is listed without the keys that newer ComfyUIs add to every node and input."""
    if isinstance(recorded, dict) and isinstance(listed, dict):
        return {key: as_far_as(recorded[key], value) for key, value in listed.items() if key in recorded}
    if isinstance(recorded, list) and isinstance(listed, list) and len(recorded) == len(listed):
        return [as_far_as(*pair) for pair in zip(recorded, listed, strict=True)]
    return listed


def test_the_server_lists_the_nodes_as_recorded(comfy):
    """MODISTE_RECORD=1 records them anew."""
    listed = {name: about for name, about in sorted(comfy.info.items()) if name.startswith("Modiste")}
    if os.environ.get("MODISTE_RECORD"):
        GOLDEN.write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    recorded = same_everywhere(json.loads(GOLDEN.read_text(encoding="utf-8")))
    assert as_far_as(recorded, same_everywhere(listed)) == recorded
    assert "IMPORT FAILED" not in "".join(line for line in comfy.log.read_text().splitlines() if "modiste" in line)


# ── the workflows that come along ──


def reduced(prompt: dict[str, Any], lora: str) -> dict[str, Any]:
    """The same graph for a small machine: 64 pixels, few steps; checkpoint and encoder are the template's."""
    instead = {
        "ModisteLoadPhotos": dict(limit=2),
        "ModisteLoraTrainer": dict(steps=2, resolution=64, rank=2, config=json.dumps(LEAN)),
        "ModistePromptSearch": dict(TINY, budget=5, strategies="sentence"),
        "ModisteCompare": dict(TINY, pictures=1, strengths="1.0"),
        "EmptyLatentImage": dict(width=64, height=64, batch_size=1),
        "KSampler": dict(steps=1),
    }
    for node in prompt.values():
        node["inputs"] |= instead.get(node["class_type"], {})
        if node["inputs"].get("lora_name") == TRAINED[1]:  # one that fits this checkpoint
            node["inputs"]["lora_name"] = lora
    return prompt


LEAN = {
    "batch_size": 1,
    "precision": "bf16",
    "learning_rate": 0.01,
    "data": {"held_out_least": 1},
    "validation": {"timesteps": 1, "most": 1, "pictures": 0},
}


@pytest.fixture(scope="module")
def trained(comfy) -> dict[str, Any]:
    """Three steps on the checkpoint of the graph, with what core's own nodes make of the outputs."""
    rest = {"data": LEAN["data"], "validation": {"timesteps": 1, "most": 1}}
    save_lora = next(name for name in ("SaveLoRA", "SaveLoRANode") if name in comfy.info)  # newer, older ComfyUIs
    steps = dict(steps=3, resolution=64, learning_rate=0.01, config=json.dumps(rest), model=["1", 0], encoder="mini")
    done = comfy.run(
        {
            "1": comfy.node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
            "6": comfy.node("ModisteTrainingOptions", rank=4, alpha=2.0, batch_size=1, precision="bf16", pictures=0),
            "2": comfy.node(
                "ModisteLoraTrainer", folder="photos", trigger="vesper", name="live", options=["6", 0], **steps
            ),
            "3": comfy.node("LossGraphNode", loss=["2", 2], filename_prefix="loss"),
            "4": comfy.node(save_lora, lora=["2", 0], prefix="loras/saved"),
            "5": comfy.node("PreviewAny", source=["2", 5]),
        }
    )
    assert done.end == "success", done.message
    return {**done.outputs["2"]["modiste_training"][0], "outputs": done.outputs, "events": done.events}


@pytest.mark.parametrize("file", sorted((ROOT / "example_workflows").glob("*.json")), ids=lambda file: file.stem)
def test_an_example_workflow_runs_to_its_end(comfy, trained, file):
    graph = json.loads(file.read_text(encoding="utf-8"))
    done = comfy.run(reduced(api_prompt(graph, comfy.info), trained["file"]))
    assert done.end == "success" and done.outputs, done.message
    shown = {key for output in done.outputs.values() for key in output}
    assert any(key.startswith("modiste_") for key in shown)
    notices = {text for output in done.outputs.values() for text in output.get("modiste_notice", ())}
    if any(node["type"] in ("ModisteTagger", "ModisteScorer") for node in graph["nodes"]):
        said = {line for notice in notices for line in notice.split("\n")}
        encoder = {line for line in said if line.startswith("fashion-clip is not on this machine")}
        assert len(encoder) == 1, "the default encoder is what a template has"
        assert all("NO_GARMENT" in line for line in said - encoder), "random weights draw no garment"
    json.dumps(done.outputs, allow_nan=False)


LACKING = {  # what a new host lacks, by template, and the line that says so
    "caption-and-train-a-lora": ("photos", "there is no folder 'nowhere'"),
    "compare-base-and-tuned": ("photos", "there is no folder 'nowhere'"),
    "which-lora": ("photos", "there is no folder 'nowhere'"),
    "search-a-prompt": (PUBLISHED, "Value not in list: ckpt_name"),
    "tag-prompt-generate-score": (PUBLISHED, "Value not in list: ckpt_name"),
    "worn-photo-to-garment-words": ("example.png", "Invalid image file: nowhere"),
}


@pytest.mark.parametrize("name", LACKING)
def test_a_template_whose_files_are_not_there_is_refused_in_a_line_before_anything_runs(comfy, name):
    graph = json.loads((ROOT / "example_workflows" / f"{name}.json").read_text(encoding="utf-8"))
    prompt = api_prompt(graph, comfy.info)
    lacking, message = LACKING[name]
    for node in prompt.values():
        node["inputs"] |= {key: "nowhere" for key, value in node["inputs"].items() if value == lacking}
    done = comfy.run(prompt)
    assert done.end == "refused" and message in done.message, done.message
    assert len(done.message) < 400 and "Traceback" not in done.message


def test_the_hosts_own_free_memory_releases_what_the_tagger_held(comfy):
    tagger = comfy.node("ModisteTagger", images=["7", 0], encoder="mini", threshold=0.01)
    graph = {"7": comfy.node("ModisteLoadPhotos", folder="photos", limit=2), "2": tagger}
    assert comfy.run(graph).end == "success"
    held = comfy.call("/probe")[1]
    comfy.call("/free", {"unload_models": False})
    assert comfy.call("/probe")[1]["opened"] == held["opened"] == 1
    assert comfy.call("/free", {"unload_models": True})[0] == 200
    released = comfy.call("/probe")[1]
    assert released["opened"] == 0 and released["parameter_bytes"] < held["parameter_bytes"]
    tagger["inputs"]["threshold"] = 0.02  # not from the host's cache
    assert comfy.run(graph).outputs["2"]["modiste_tags"], "and the next run opens them again"
    assert comfy.call("/probe")[1]["opened"] == 1
    for nonsense in ("nonsense", []):
        comfy.call("/free", nonsense)
    assert comfy.call("/queue")[0] == 200 and comfy.call("/probe")[1]["opened"] == 1


def test_without_fashionclip_the_default_encoder_is_the_embedded_one_and_every_node_says_so(comfy):
    graph = {
        "7": comfy.node("ModisteLoadPhotos", folder="photos", limit=2),
        "2": comfy.node("ModisteTagger", images=["7", 0]),
        "3": comfy.node("ModisteScorer", images=["7", 0], reference=["7", 0]),
        "4": comfy.node("PreviewAny", source=["3", 4]),
        "5": comfy.node("ModisteCaptionDataset", folder="uncaptioned", images=["7", 0], trigger="ves\nper"),
        "6": comfy.node("PreviewAny", source=["5", 3]),
    }
    notice = "fashion-clip is not on this machine: the embedded encoder mini reads the pictures"
    done = comfy.run(graph)
    assert done.end == "success", done.message
    texts = [done.outputs[node]["modiste_notice"][0] for node in ("2", "3")]
    texts += [done.outputs[node]["text"][0] for node in ("4", "6")]
    assert all(text.startswith(notice) and "models/fashion_clip" in text for text in texts)
    assert [text.startswith(notice) for node, text in done.shown if node in ("2", "3", "5")] == [True] * 3
    captions = [file.read_text() for file in (comfy.base / "input" / "uncaptioned").glob("*.txt")]
    assert captions and all("ves per" in caption and len(caption.splitlines()) == 1 for caption in captions)
    again = comfy.run({name: graph[name] for name in "72"})
    assert again.outputs["2"]["modiste_notice"] == done.outputs["2"]["modiste_notice"], "of a cached result too"


# ── training ──


def test_what_three_steps_trained_is_listed_at_once_and_core_nodes_take_it(comfy, trained):
    assert trained["file"] in comfy.call("/models/loras")[1] and trained["file"].startswith("live-")
    assert trained["outputs"]["3"]["images"] and (comfy.base / "output" / "loras" / trained["file"]).is_file()
    assert "all 192 modules load in ComfyUI" in trained["outputs"]["5"]["text"][0]
    ready = [event["data"] for event in trained["events"] if event["type"] == "modiste.lora_ready"]
    assert [one["file"] for one in ready] == [trained["file"]] and ready[0]["node"] == "2"


def test_what_the_form_says_is_what_was_trained_and_a_contradiction_to_the_json_is_refused(comfy, trained):
    config = json.loads((comfy.base / "output" / "modiste" / trained["run"] / "config.json").read_text())
    assert (config["network"]["rank"], config["network"]["alpha"], config["validation"]["pictures"]) == (4, 2.0, 0)
    assert (config["precision"], config["batch_size"], config["steps"]) == ("bf16", 1, 3)
    form = {"6": comfy.node("ModisteTrainingOptions", rank=4)}
    trainer = comfy.node("ModisteLoraTrainer", options=["6", 0], config='{"network": {"rank": 8}}', **TRY_OUT)
    done = comfy.run({**form, "2": trainer})
    assert done.end == "error" and "network.rank is 4 in Training Options and 8 in config" in done.message


def test_a_loader_puts_all_of_the_file_on_and_the_picture_changes(comfy, trained):
    before = comfy.log.read_text(errors="replace")

    def drawn(strength: float) -> bytes:
        done = comfy.run(
            {
                "1": comfy.node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
                "2": comfy.node(
                    "LoraLoader",
                    model=["1", 0],
                    clip=["1", 1],
                    lora_name=trained["file"],
                    strength_model=strength,
                    strength_clip=strength,
                ),
                "3": comfy.node("CLIPTextEncode", clip=["2", 1], text="vesper dress"),
                "4": comfy.node("EmptyLatentImage", width=64, height=64, batch_size=1),
                "5": comfy.node(
                    "KSampler", model=["2", 0], positive=["3", 0], negative=["3", 0], latent_image=["4", 0], steps=2
                ),
                "6": comfy.node("VAEDecode", samples=["5", 0], vae=["1", 2]),
                "7": comfy.node("PreviewImage", images=["6", 0]),
            }
        )
        assert done.end == "success", done.message
        return comfy.picture(done.outputs["7"]["images"][0])

    assert drawn(0.0) != drawn(4.0)
    said = comfy.log.read_text(errors="replace").removeprefix(before)
    assert "lora key not loaded" not in said and "NOT LOADED" not in said


def test_cancel_stops_within_a_step_keeps_a_checkpoint_and_queueing_again_goes_on(comfy):
    wish = {"steps": 60, "config": json.dumps({"validation": {"every": 30, "pictures": 1}, "save_every": 1000})}
    prompt = {"2": comfy.node("ModisteLoraTrainer", name="cancelled", seed=1, **TRY_OUT, **wish)}
    steps: list[int] = []

    def cancel(event: dict[str, Any]) -> None:
        if event["type"] == "modiste.training" and event["data"]["stage"] == "train" and event["data"]["done"] == 5:
            steps.append(event["data"]["done"])
            comfy.call("/interrupt", {})

    first = comfy.run(prompt, cancel)
    assert first.end == "interrupted" and steps
    state = comfy.call("/modiste/runs")[1]["runs"][0]
    assert state["state"] == "stopped" and state["title"] == "cancelled" and state["node"] == "2"
    run = state["run"]
    kept = sorted((comfy.base / "output" / "modiste" / run / "checkpoints").iterdir())
    assert [int(one.name.removeprefix("step-")) for one in kept] <= [7], "the step under way, and the one it began"
    stopped_at = comfy.call(f"/modiste/runs/{run}")[1]["losses"][-1][0]

    second = comfy.run(prompt)
    assert second.end == "success", second.message
    heard = [event["data"] for event in second.events if event["type"] == "modiste.training"]
    assert min(one["done"] for one in heard if one["loss"] is not None) > stopped_at - 1, "it went on, not anew"
    assert any(one["sample"] for one in heard) and second.previews, "pictures on the way"
    assert any(one["eta_s"] for one in heard) and any(one["held_out"] for one in heard)
    shown = comfy.call(f"/modiste/runs/{run}")[1]
    done = [step for step, _ in shown["losses"]]
    assert shown["state"] == "done" and done == list(range(1, len(done) + 1))
    assert comfy.picture(shown["samples"][0]["url"])


def test_the_same_options_again_are_answered_from_what_is_trained(comfy):
    prompt = {"2": comfy.node("ModisteLoraTrainer", name="twice", steps=2, config=json.dumps(LEAN), **TRY_OUT)}
    first = comfy.run(prompt).outputs["2"]["modiste_training"][0]
    again = comfy.run({"9": prompt["2"], "8": comfy.node("PreviewAny", source=["9", 3])})
    assert again.outputs["9"]["modiste_training"][0] == first
    assert not [event for event in again.events if event["type"] == "modiste.training"]
    assert again.outputs["8"]["text"] == [first["file"]]


def test_judge_loras_draws_the_files_of_a_folder_with_the_graphs_model_and_names_the_one_that_does_not_fit(comfy):
    folder = comfy.base / "models" / "loras" / "judged"
    folder.mkdir(parents=True)
    query = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    names = {"brand-000001": query, "brand-000002": query, "other": "lora_unet_double_blocks_0_img_attn_qkv"}
    for at, (name, module) in enumerate(names.items()):
        generator = torch.Generator().manual_seed(at)
        down, up = (torch.randn(shape, generator=generator) for shape in ((2, 640), (640, 2)))
        save_file({f"{module}.lora_down.weight": down, f"{module}.lora_up.weight": up}, folder / f"{name}.safetensors")
    models = dict(model=["1", 0], clip=["1", 1], vae=["1", 2])
    prompt = {
        "1": comfy.node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "7": comfy.node("ModisteLoadPhotos", folder="photos", limit=2),
        "2": comfy.node(
            "ModisteJudgeLoras",
            loras="judged/",
            references=["7", 0],
            names=["7", 2],
            pictures=1,
            trigger="vesper",
            **models,
            **SMALL,
        ),
        "3": comfy.node("PreviewAny", source=["2", 5]),
        "4": comfy.node("PreviewImage", images=["2", 3]),
        "5": comfy.node("PreviewAny", source=["2", 0]),
    }
    done = comfy.run(prompt)
    assert done.end == "success", done.message
    [told], [best] = done.outputs["3"]["text"], done.outputs["5"]["text"]
    assert "– other: changes nothing, 0 pictures" in told and best.startswith(("judged/brand-", "judged\\brand-"))
    grid = Image.open(BytesIO(comfy.picture(done.outputs["4"]["images"][0])))
    assert grid.size == (2 * 264 - 8, 4 * 264 - 8), "two photos, and a row for each of three files"
    report = Path(told.rpartition("all of it: ")[2]).with_name("report.json")
    judged = json.loads(report.read_text(encoding="utf-8"))
    assert all("vesper" in reference["prompt"] for reference in judged["references"])
    assert [row["epoch"] for row in judged["rows"]] == [1, 2, None] and judged["host"]["checkpoint"] == CHECKPOINT
    reasons = {row["label"]: row["reason"] for row in judged["rows"]}
    assert "none of its 1 modules fits a layer" in reasons["other"]


def test_a_search_draws_what_ksampler_draws_of_the_same_prompt_and_seed(comfy):
    loader = {"1": comfy.node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT)}
    links = dict(
        model=["1", 0], clip=["1", 1], vae=["1", 2], reference=["7", 0], budget=5, strategies="sentence", seed=3
    )
    photo = comfy.node("ModisteLoadPhotos", folder="photos", limit=1)
    done = comfy.run({**loader, "7": photo, "2": comfy.node("ModistePromptSearch", **links, **SMALL)})
    assert done.end == "success", done.message
    runs = (comfy.base / "output" / "modiste").glob("search-*/report.json")
    report = max(runs, key=lambda file: file.stat().st_mtime)
    found = json.loads(report.read_text(encoding="utf-8"))
    photo = found["images"][0]
    assert done.outputs["2"]["modiste_search"][0]["prompt"] == photo["optimized_prompt"]
    drawing = {name: SMALL[name] for name in ("steps", "sampler_name", "scheduler")}
    latent = comfy.node("EmptyLatentImage", width=64, height=64, batch_size=1)
    sampler = dict(model=["1", 0], positive=["3", 0], negative=["4", 0], latent_image=["5", 0], cfg=7.0, **drawing)
    again = comfy.run(
        {
            **loader,
            "3": comfy.node("CLIPTextEncode", clip=["1", 1], text=photo["optimized_prompt"]),
            "4": comfy.node("CLIPTextEncode", clip=["1", 1], text=photo["negative_prompt"]),
            "5": latent,
            "6": comfy.node("KSampler", seed=found["seeds"]["confirm"][0], **sampler),
            "8": comfy.node("VAEDecode", samples=["6", 0], vae=["1", 2]),
            "9": comfy.node("PreviewImage", images=["8", 0]),
        }
    )
    ours = np.asarray(Image.open(report.parent / photo["pictures"]["winner"][0]).convert("RGB"), int)
    theirs = np.asarray(Image.open(BytesIO(comfy.picture(again.outputs["9"]["images"][0]))).convert("RGB"), int)
    assert np.abs(ours - theirs).max() <= 1, "ComfyUI's preview cuts off where ours rounds"


def sampled(folder: Path) -> dict[str, set[tuple]]:
    """(steps, cfg, sampler, schedule, LoRAs) of the pictures of a run that choose, and of those that prove."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    found: dict[str, set[tuple]] = {"search": set(), "confirm": set()}
    for file in (folder / "images").rglob("*.png"):
        asked = read_origin(file).request
        kind = next(kind for kind in found if asked["seed"] in report["images"][0]["seeds"][kind])
        loras = tuple(lora["name"] for lora in asked["loras"])
        found[kind].add((asked["steps"], asked["cfg_scale"], asked["sampler"], asked["scheduler"], *loras))
    return found


def test_with_search_steps_what_chooses_is_drawn_in_fewer_steps_than_what_proves(comfy):
    photo = comfy.node("ModisteLoadPhotos", folder="photos", limit=1)
    links = dict(model=["1", 0], clip=["1", 1], vae=["1", 2], reference=["7", 0], budget=5, strategies="sentence")
    few = dict(SMALL, steps=3, search_steps=1, seed=6, scheduler="karras")
    search = comfy.node("ModistePromptSearch", **links, **few)
    done = comfy.run({"1": comfy.node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT), "7": photo, "2": search})
    assert done.end == "success", done.message
    reports = (comfy.base / "output" / "modiste").glob("search-*/report.json")
    drawn = sampled(max(reports, key=lambda file: file.stat().st_mtime).parent)
    assert drawn == {"search": {(1, 3.5, "euler", "Uniform")}, "confirm": {(3, 7.0, "euler", "Automatic")}}


def test_a_distilled_lora_of_the_server_draws_what_the_command_s_search_chooses_by(comfy, tmp_path, capsys):
    def prompt(out: str) -> int:
        small = ["--width", "64", "--height", "64", "--steps", "2", "--search-steps", "1", "--budget", "8"]
        server = ["--host", "comfy", "--url", comfy.url, "--checkpoint", CHECKPOINT, "--search-lora", "fast-sd15"]
        photo = str(comfy.base / "input" / "photos" / "look-01.jpg")
        with pytest.raises(SystemExit) as ended:
            main(["prompt", photo, "--preset", "mini", "--no-learn", *small, *server, "--out", str(tmp_path / out)])
        return ended.value.code or 0

    assert prompt("without") == 2 and not (tmp_path / "without").exists()
    assert "`modiste get fast-sd15 --to FOLDER`" in " ".join(capsys.readouterr().err.split())
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    weights = {f"{layer}.lora_down.weight": torch.randn(4, 320), f"{layer}.lora_up.weight": torch.randn(320, 4)}
    (comfy.base / "models" / "loras").mkdir(exist_ok=True)
    save_file(weights, comfy.base / "models" / "loras" / "fast-sd15.safetensors")
    before = comfy.call("/history")[1].keys()
    assert prompt("with") == 0
    drawn = sampled(tmp_path / "with")
    assert {(steps, cfg, sampler, *loras) for steps, cfg, sampler, _, *loras in drawn["search"]} == {
        (1, 1.5, "LCM", "fast-sd15")
    }
    assert {(steps, *loras) for steps, _, _, _, *loras in drawn["confirm"]} == {(2,)}
    graphs = [entry["prompt"][2] for name, entry in comfy.call("/history")[1].items() if name not in before]
    samplers = {
        (part["inputs"]["sampler_name"], part["inputs"]["scheduler"], "lora-0" in graph)
        for graph in graphs
        for part in graph.values()
        if part["class_type"] == "KSampler"
    }
    assert ("lcm", "sgm_uniform", True) in samplers and len(samplers) == 2
    assert "lora key not loaded" not in comfy.log.read_text(errors="replace")


def test_with_the_aspect_photo_a_search_draws_in_the_photo_s_shape(comfy):
    loader = {"1": comfy.node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT)}
    links = dict(model=["1", 0], clip=["1", 1], vae=["1", 2])
    cut = {
        "7": comfy.node("ModisteLoadPhotos", folder="photos", limit=1),
        "8": comfy.node(
            "ImageScale", image=["7", 0], width=64, height=128, upscale_method="nearest-exact", crop="center"
        ),
    }
    searched = dict(links, reference=["8", 0], budget=5, strategies="sentence", seed=4, aspect="photo")
    size = dict(SMALL, width=128, height=128)
    shape = {"3": comfy.node("GetImageSize", image=["2", 2]), "4": comfy.node("PreviewAny", source=["3", 0])}
    shape["5"] = comfy.node("PreviewAny", source=["3", 1])
    done = comfy.run({**loader, **cut, "2": comfy.node("ModistePromptSearch", **searched, **size), **shape})
    assert done.end == "success", done.message
    width, height = (int(done.outputs[node]["text"][0]) for node in ("4", "5"))
    assert width < height and 0.5 <= width / height < 0.7


def test_candidates_are_drawn_one_by_one_by_any_sampler_and_judged_by_pictures_alone(comfy):
    sampler = dict(model=["1", 0], positive=["4", 0], negative=["5", 0], latent_image=["6", 0], steps=1, seed=["3", 2])
    done = comfy.run(
        {
            "1": comfy.node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
            "7": comfy.node("ModisteLoadPhotos", folder="photos", limit=1),
            "2": comfy.node("ModisteTagger", images=["7", 0], encoder="mini"),
            "3": comfy.node("ModistePromptCandidates", tags=["2", 0], strategies="all_tags, sentence", pictures=2),
            "4": comfy.node("CLIPTextEncode", clip=["1", 1], text=["3", 0]),
            "5": comfy.node("CLIPTextEncode", clip=["1", 1], text=["3", 1]),
            "6": comfy.node("EmptyLatentImage", width=64, height=64, batch_size=1),
            "8": comfy.node("KSampler", **sampler),
            "9": comfy.node("VAEDecode", samples=["8", 0], vae=["1", 2]),
            "10": comfy.node("ModisteJudge", images=["9", 0], reference=["7", 0], labels=["3", 3], encoder="mini"),
            "11": comfy.node("PreviewAny", source=["10", 4]),
            "12": comfy.node("PreviewAny", source=["10", 0]),
            "13": comfy.node("PreviewImage", images=["10", 1]),
        }
    )
    assert done.end == "success", done.message
    report, best = (done.outputs[node]["text"][0] for node in ("11", "12"))
    assert "of sentence over all_tags on 2 pairs of pictures" in report and best in ("all_tags", "sentence")
    assert len(done.outputs["13"]["images"]) == 2, "the two pictures of the label to use"


# ── ten bad inputs and more ──

PHOTOS = {"7": ("ModisteLoadPhotos", dict(folder="photos", limit=2))}
SEARCH = dict(reference=["7", 0], model=["1", 0], clip=["1", 1], vae=["1", 2], encoder="mini")
BAD = {
    "a folder that leads out": (("ModisteLoraTrainer", dict(TRY_OUT, folder="../x")), "leads out of"),
    "a folder that is not there": (("ModisteLoraTrainer", dict(TRY_OUT, folder="nope")), "there is no folder 'nope'"),
    "an empty folder": (("ModisteLoraTrainer", dict(TRY_OUT, folder="empty")), "no photos here"),
    "no photos at all": (("ModisteLoraTrainer", dict(TRY_OUT, folder="")), "there are no photos"),
    "a folder and images": (("ModisteLoraTrainer", dict(TRY_OUT, images=["7", 0])), "both a folder and images"),
    "a config that is no JSON": (("ModisteLoraTrainer", dict(TRY_OUT, config="{")), "config is no JSON"),
    "an unknown field": (("ModisteLoraTrainer", dict(TRY_OUT, config='{"stepz": 3}')), "stepz"),
    "a checkpoint that leads out": (("ModisteLoraTrainer", dict(TRY_OUT, checkpoint="../x")), "x"),
    "no model behind the graph": (
        ("ModisteLoraTrainer", dict(TRY_OUT, checkpoint="checkpoint of the graph")),
        "connect a model",
    ),
    "not a number": (("ModisteTagger", dict(images=["7", 0], encoder="mini", threshold=math.nan)), "threshold is nan"),
    "the wrong type": (("ModisteTagger", dict(images=["7", 1], encoder="mini")), "mismatch"),
    "a label that there is not": (("ModisteTagger", dict(images=["7", 0], encoder="mini", pin="colour:x")), "no label"),
    "an encoder that is not here": (
        ("ModisteTagger", dict(images=["7", 0], encoder="fashion-clip")),
        "models/fashion_clip/fashion-clip",
    ),
    "a group that there is not": (("ModisteTagger", dict(images=["7", 0], encoder="mini", groups="hat")), "no group"),
    "a field of another part": (("ModisteLoraTrainer", dict(TRY_OUT, config='{"rank": 8}')), "'network.rank'"),
    "a name of 300 letters": (("ModisteLoraTrainer", dict(TRY_OUT, folder="a" * 300)), "at most 255 bytes"),
    "a trigger of two parts": (("ModisteLoraTrainer", dict(TRY_OUT, trigger="a, b")), "holds the caption_separator"),
    "a resolution between": (("ModisteLoraTrainer", dict(TRY_OUT, resolution=100)), "resolution 100 is no multiple"),
    "a caption that is no text": (
        ("ModisteLoraTrainer", dict(TRY_OUT, folder="binary")),
        "binary data, no text: control character",
    ),
    "captions that nobody can write": (
        ("ModisteLoraTrainer", dict(TRY_OUT, folder="wordless", encoder="fashion-clip")),
        "models/fashion_clip/fashion-clip",
    ),
    "a folder that is nearly there": (("ModisteLoadPhotos", dict(folder="photoz")), "did you mean 'photos'?"),
    "no folder": (
        ("ModisteLoadPhotos", dict(folder="")),
        "was named; there are binary, photos",
    ),
    "an empty folder to load": (("ModisteLoadPhotos", dict(folder="empty")), "no photos here"),
    "a strategy that is nearly one": (
        ("ModistePromptSearch", dict(SEARCH, strategies="sentense")),
        "did you mean 'sentence'?",
    ),
    "a sampler that there is not": (
        ("ModistePromptSearch", dict(SEARCH, sampler_name="eular")),
        "sampler_name: the list has no 'eular'; did you mean 'euler'?",
    ),
    "as many steps for the search as for the proof": (
        ("ModistePromptSearch", dict(SEARCH, steps=8, search_steps=8)),
        "8 steps for the search are not fewer than the 8 that prove",
    ),
    "fewer search steps than none": (
        ("ModistePromptSearch", dict(SEARCH, search_steps=-1)),
        "search_steps is -1, not between 1 and 150",
    ),
    "no steps": (("ModistePromptSearch", dict(SEARCH, steps=0)), "steps is 0, not between 1 and 150"),
    "a recipe that there is not": (("ModisteLoraTrainer", dict(TRY_OUT, recipe="quik")), "did you mean 'quick'?"),
    "an encoder of no list": (
        ("ModisteScorer", dict(images=["7", 0], reference=["7", 0], encoder="minni")),
        "did you mean 'mini'?",
    ),
    "a checkpoint that is nearly there": (
        ("ModisteLoraTrainer", dict(TRY_OUT, checkpoint="random-sd51.safetensors")),
        "did you mean 'random-sd15.safetensors'?",
    ),
    "a broken checkpoint": (("ModisteLoraTrainer", dict(TRY_OUT, checkpoint="zz-broken.safetensors")), "is damaged"),
    "a number that is too large for the form": (("ModisteTrainingOptions", dict(rank=9999)), "bigger than max"),
    "a word that the form does not know": (("ModisteTrainingOptions", dict(blocks="midd")), "did you mean 'mid'?"),
    "fields that need each other": (("ModisteTrainingOptions", dict(keep_tokens=2)), "shuffle_captions is False"),
    "an optimizer that is not installed": (("ModisteTrainingOptions", dict(optimizer="prodigy")), "prodigyopt"),
    "pictures with nothing beside them": (
        ("ModisteJudge", dict(images=["7", 0], reference=["7", 0], encoder="mini")),
        "there is nothing to compare the pictures with",
    ),
    "an encoder that is not here, to score": (
        ("ModisteScorer", dict(images=["7", 0], reference=["7", 0], encoder="fashion-clip")),
        "models/fashion_clip/fashion-clip",
    ),
    "a LoRA that is not there": (("ModisteChooseLora", dict(lora_name="nope.safetensors")), "there is no LoRA"),
    "a dataset that leads out": (("ModisteCaptionDataset", dict(folder="/etc", encoder="mini")), "leads out of"),
}


LATE = {"pictures with nothing beside them"}  # known only when the pictures are there


@pytest.mark.parametrize("what", BAD)
def test_a_bad_input_gets_a_short_message_and_the_server_lives(comfy, what):
    (kind, inputs), message = BAD[what]
    loader = {"1": ("CheckpointLoaderSimple", dict(ckpt_name=CHECKPOINT))} if "model" in inputs else {}
    nodes = {"2": (kind, inputs), **PHOTOS, **loader, "8": ("PreviewAny", dict(source=["2", 0]))}
    done = comfy.run({name: comfy.node(kind, **asked) for name, (kind, asked) in nodes.items()})
    assert done.end == ("error" if what in LATE else "refused") and message in done.message, done
    assert "Traceback" not in done.message and len(done.message) < 600
    assert comfy.call("/queue") == (200, {"queue_running": [], "queue_pending": []})


@pytest.fixture(scope="module")
def strange_lora(comfy) -> str:
    """A file of which this checkpoint knows no key."""
    folder = comfy.base / "output" / "loras"
    folder.mkdir(parents=True, exist_ok=True)
    factors = {"lora_down": torch.zeros(4, 8), "lora_up": torch.zeros(8, 4)}
    save_file(
        {f"strange_block.{name}.weight": value for name, value in factors.items()}, folder / "strange.safetensors"
    )
    return "strange.safetensors"


@pytest.mark.parametrize("way", ["model", "lora"])
def test_a_comparison_with_a_lora_that_fits_nothing_is_refused(comfy, strange_lora, way):
    prompt = {
        "1": comfy.node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "2": comfy.node("LoraLoaderModelOnly", model=["1", 0], lora_name=strange_lora, strength_model=1.0),
        "3": comfy.node("ModisteLoraTrainer", name="twice", steps=2, config=json.dumps(LEAN), **TRY_OUT),
        "7": comfy.node("ModisteLoadPhotos", folder="photos", limit=2),
    }
    tuned = {"model": dict(tuned_model=["2", 0]), "lora": dict(lora=["3", 0])}[way]
    links = dict(model=["1", 0], clip=["1", 1], vae=["1", 2], references=["7", 0], positive="a dress")
    done = comfy.run({**prompt, "4": comfy.node("ModisteCompare", **links, **SMALL, **tuned)})
    message = {"model": "the tuned model is its base", "lora": "the LoRA changes nothing in this model"}[way]
    assert done.end == "error" and message in done.message, done.message


# ── routes ──


@pytest.mark.parametrize("name", ["..", "%2e%2e", "..%2f..", "nope", "a%00b"])
def test_no_name_of_a_run_leads_out(comfy, name):
    assert comfy.call(f"/modiste/runs/{name}")[0] == 404


def test_one_picture_is_tagged_for_a_right_click_and_no_other_file_is_read(comfy):
    photo = dict(filename="look-01.jpg", subfolder="photos", type="input")
    status, found = comfy.call("/modiste/tag", {"image": photo, "encoder": "mini"})
    assert status == 200 and found["caption"].startswith("a photo of") and found["tags"][0]["group"] == "category"
    outside = ({"subfolder": "../../etc"}, {"subfolder": "/etc"}, {"filename": "../photos/look-01.jpg"}, {"type": "x"})
    for wrong in outside:
        assert comfy.call("/modiste/tag", {"image": photo | wrong, "encoder": "mini"})[0] == 404
    for nonsense in ([], {}, {"image": 3}, {"image": {"filename": 3}}):
        assert comfy.call("/modiste/tag", nonsense)[0] == 400


def test_the_vocabulary_gives_each_group_a_colour_of_its_own(comfy):
    groups = comfy.call("/modiste/vocabulary")[1]["groups"]
    assert len({one["colour_index"] for one in groups}) == len({one["id"] for one in groups}) == len(groups) > 5
    for group in groups:
        assert {"en", "zh", "zh-TW"} <= group["names"].keys(), group["id"]
        assert all({"en", "zh", "zh-TW"} <= label["names"].keys() for label in group["labels"].values()), group["id"]
