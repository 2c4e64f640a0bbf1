"""Workflows of any model: where a graph's slots are, where its LoRAs go, what it keeps, and what it lacks."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_comfy import fake_comfy

from modiste.core.errors import InputError
from modiste.fashion.prompts.tree import Clause, Phrase, Prompt
from modiste.hosts.comfy.host import ComfyHost
from modiste.hosts.comfy.workflow import TEMPLATES, Workflow, template_names
from modiste.hosts.errors import NoPlace, RequestRefused
from modiste.hosts.limits import Limits
from modiste.hosts.request import GenerationRequest, LoraRef
from modiste.routes.drawing_settings import DrawingSettings
from modiste.routes.host_prompts import write_for

QUICK = Limits(connect_s=2, answer_s=5, picture_s=5, away_s=0.5, poll_s=0.02)
WORN = (LoraRef(name="mine.safetensors", strength=0.6),)


def flux_by_parts(titles: dict[str, str] | None = None) -> dict:
    """FLUX as its first published workflow draws it: noise, guider, sampler and sigmas by nodes of their own."""
    nodes = {
        "6": ("CLIPTextEncode", {"text": "a fox", "clip": ["11", 0]}),
        "8": ("VAEDecode", {"samples": ["13", 0], "vae": ["10", 0]}),
        "9": ("SaveImage", {"images": ["8", 0], "filename_prefix": "flux"}),
        "10": ("VAELoader", {"vae_name": "ae.safetensors"}),
        "11": ("DualCLIPLoader", {"clip_name1": "t5.safetensors", "clip_name2": "l.safetensors", "type": "flux"}),
        "12": ("UNETLoader", {"unet_name": "flux1-dev.safetensors", "weight_dtype": "default"}),
        "13": (
            "SamplerCustomAdvanced",
            {
                "noise": ["25", 0],
                "guider": ["22", 0],
                "sampler": ["16", 0],
                "sigmas": ["17", 0],
                "latent_image": ["27", 0],
            },
        ),
        "16": ("KSamplerSelect", {"sampler_name": "euler"}),
        "17": ("BasicScheduler", {"scheduler": "simple", "steps": 28, "denoise": 1.0, "model": ["30", 0]}),
        "22": ("BasicGuider", {"model": ["30", 0], "conditioning": ["26", 0]}),
        "25": ("RandomNoise", {"noise_seed": 5}),
        "26": ("FluxGuidance", {"guidance": 3.5, "conditioning": ["6", 0]}),
        "27": ("EmptySD3LatentImage", {"width": 1024, "height": 768, "batch_size": 1}),
        "30": ("ModelSamplingFlux", {"max_shift": 1.15, "base_shift": 0.5, "model": ["12", 0]}),
    }
    return {
        node: {"class_type": kind, "inputs": inputs, "_meta": {"title": (titles or {}).get(node, kind)}}
        for node, (kind, inputs) in nodes.items()
    }


def with_lora_loader(title: str) -> dict:
    """The same with a loader of the user's between model and shift, and behind the text encoders."""
    graph = flux_by_parts()
    inputs = {"model": ["12", 0], "clip": ["11", 0], "lora_name": "his.safetensors"}
    inputs |= {"strength_model": 1.0, "strength_clip": 1.0}
    graph["40"] = {"class_type": "LoraLoader", "inputs": inputs, "_meta": {"title": title}}
    graph["30"]["inputs"]["model"], graph["6"]["inputs"]["clip"] = ["40", 0], ["40", 1]
    return graph


# ── slots ──


def test_a_sampler_of_several_nodes_is_traced_and_a_prompt_that_is_zeroed_out_is_no_negative_one():
    workflow = Workflow.of(flux_by_parts())
    assert workflow.slots["seed"] == ("25", "noise_seed") and workflow.slots["prompt"] == ("6", "text")
    assert workflow.slots["steps"] == ("17", "steps") and workflow.slots["sampler"] == ("16", "sampler_name")
    assert workflow.slots["checkpoint"] == ("12", "unet_name") and not workflow.takes_negative
    assert workflow.drawing == {"steps": 28, "cfg_scale": 3.5, "sampler": "euler", "width": 1024, "height": 768}
    z_image = json.loads((TEMPLATES / "z-image.json").read_text())
    untitled = {node: {**part, "_meta": {}} for node, part in z_image.items()}
    filled = Workflow.of(untitled).filled({"prompt": "a red dress", "negative_prompt": ""})
    assert filled["positive"]["inputs"]["text"] == "a red dress"


def test_a_prompt_goes_into_every_text_of_its_node():
    filled = Workflow.read("flux").filled({"prompt": "a red dress"})
    assert (filled["positive"]["inputs"]["clip_l"], filled["positive"]["inputs"]["t5xxl"]) == ("a red dress",) * 2


def test_a_text_or_a_number_of_a_node_of_its_own_is_a_slot_by_its_title():
    graph = flux_by_parts({"50": "{steps}"})
    graph["50"] = {"class_type": "PrimitiveInt", "inputs": {"value": 12}, "_meta": {"title": "{steps}"}}
    graph["17"]["inputs"]["steps"] = ["50", 0]
    workflow = Workflow.of(graph)
    assert workflow.drawing["steps"] == 12 and workflow.filled({"steps": 4})["50"]["inputs"]["value"] == 4


def test_a_missing_slot_is_named_with_the_nodes_that_fit_and_what_to_write():
    graph = flux_by_parts()
    graph["99"] = graph["13"]
    with pytest.raises(InputError) as refused:
        Workflow.of(graph, "mine.json")
    text = str(refused.value)
    assert (
        "write {prompt}, {seed}, {steps}" in text
        and "node 17 (BasicScheduler)" in text
        and "title" in text
        and "mine.json" in text
    )
    with pytest.raises(InputError, match="node 16 .*titled {steps}.*it has none of steps.*node 17"):
        Workflow.of(flux_by_parts({"16": "{steps}"}))


@pytest.mark.parametrize("document", [{"nodes": [], "links": []}, {"prompt": {}, "client_id": "x"}, [], {"1": {}}])
def test_a_workflow_in_another_format_is_told_how_it_is_exported(document):
    with pytest.raises(InputError, match=r"Export \(API\)|save what stands in prompt"):
        Workflow.of(document)


# ── LoRAs ──


def test_a_lora_goes_behind_the_model_and_the_text_encoders_wherever_these_are_loaded():
    graph = Workflow.of(flux_by_parts()).filled({}, WORN)
    assert graph["lora-0"]["inputs"]["clip"] == ["11", 0] and graph["30"]["inputs"]["model"] == ["lora-0", 0]
    assert graph["6"]["inputs"]["clip"] == ["lora-0", 1] and graph["lora-0"]["inputs"]["strength_clip"] == 0.6
    bare = flux_by_parts()
    bare["6"] = {"class_type": "TextEncode", "inputs": {"text": "", "encoder": ["11", 0]}}
    graph = Workflow.of(bare).filled({}, WORN)
    assert graph["lora-0"]["class_type"] == "LoraLoaderModelOnly" and "clip" not in graph["lora-0"]["inputs"]


def test_a_titled_loader_takes_the_lora_and_is_taken_out_where_there_is_none():
    workflow = Workflow.of(with_lora_loader("{lora}"))
    inputs = workflow.filled({}, WORN)["40"]["inputs"]
    assert (inputs["lora_name"], inputs["strength_model"], inputs["strength_clip"]) == ("mine.safetensors", 0.6, 0.6)
    base = workflow.filled({})
    assert "40" not in base and base["30"]["inputs"]["model"] == ["12", 0] and base["6"]["inputs"]["clip"] == ["11", 0]
    two = workflow.filled({}, (*WORN, LoraRef(name="other.safetensors", strength=0.2)))
    assert two["lora-1"]["inputs"]["model"] == ["40", 0] and two["lora-1"]["inputs"]["lora_name"] == "other.safetensors"
    assert two["30"]["inputs"]["model"] == ["lora-1", 0] and two["6"]["inputs"]["clip"] == ["lora-1", 1]


def test_a_loader_that_loads_the_model_itself_is_set_to_strength_zero():
    graph = with_lora_loader("{lora}")
    graph["40"]["inputs"] = {"lora_name": "his.safetensors", "strength": 0.8, "clip": ["11", 0]}
    assert Workflow.of(graph).filled({})["40"]["inputs"]["strength"] == 0.0
    del graph["40"]["inputs"]["strength"]
    with pytest.raises(NoPlace, match=r"node 40 \(LoraLoader\).*no strength.*lora_strength"):
        Workflow.of(graph).filled({})


def test_a_lora_that_the_graph_loads_already_is_not_stacked_upon_unless_its_title_says_so():
    workflow = Workflow.of(with_lora_loader("my LoRA"))
    workflow.filled({})
    with pytest.raises(NoPlace, match=r"node 40 .*his\.safetensors.*{lora}.*{fixed_lora}"):
        workflow.filled({}, WORN)
    graph = Workflow.of(with_lora_loader("{fixed_lora}")).filled({}, WORN)
    assert graph["40"]["inputs"]["lora_name"] == "his.safetensors" and graph["40"]["inputs"]["model"] == ["lora-0", 0]


# ── what it keeps ──


def test_the_graphs_own_sampling_is_drawn_with_unless_another_is_asked_for(tmp_path):
    with fake_comfy() as server:
        graph = json.loads((TEMPLATES / "sdxl.json").read_text())
        graph["checkpoint"]["inputs"]["ckpt_name"] = "second.safetensors"
        graph["sampler"]["inputs"]["scheduler"] = "beta"
        (tmp_path / "mine.json").write_text(json.dumps(graph))
        host = ComfyHost(server.url, limits=QUICK, workflow=tmp_path / "mine.json")
        preset = dict(name="sd15", steps=20, cfg_scale=7.0, sampler="DPM++ 2M", width=512, height=512)
        session = SimpleNamespace(preset=SimpleNamespace(**preset), host=host)
        settings = DrawingSettings.of_session(session, {"steps": 4, "width": None})
        assert (settings.steps, settings.sampler, settings.width, settings.height) == (4, "dpmpp_2m", 1024, 1024)
        small = settings.drawing | {"width": 64, "height": 64}
        (drawn,) = host.generate([GenerationRequest(prompt="a red dress", seed=3, **small)])
        assert drawn.used.steps == 4
        sent = [body["prompt"] for path, body in server.asked if path == "/prompt"][-1]["sampler"]["inputs"]
        assert (sent["steps"], sent["cfg"], sent["sampler_name"], sent["scheduler"]) == (4, 7.0, "dpmpp_2m", "beta")
        plain = ComfyHost(server.url, "second", limits=QUICK)
        usual = DrawingSettings.of_session(SimpleNamespace(preset=session.preset, host=plain), {})
    assert settings.workflow == host.workflow.digest and (usual.width, usual.workflow) == (512, None)
    assert "workflow" not in usual.model_dump(mode="json"), "run folders of before stay the same run"


def test_prompts_are_written_as_the_workflows_text_encoder_reads_them():
    weighted = Prompt((Clause((Phrase("red dress", weight=1.3),)),), negative=(Clause((Phrase("blurry"),)),))
    with fake_comfy() as server:
        written = {
            name: write_for(ComfyHost(server.url, workflow=name), weighted) for name in ("sd3.5", "qwen-image", "flux")
        }
    assert (written["sd3.5"].positive, written["sd3.5"].negative) == ("(red dress:1.3)", "blurry")
    assert (written["qwen-image"].positive, written["qwen-image"].negative) == ("red dress", "blurry")
    assert (written["flux"].positive, written["flux"].negative) == ("(red dress:1.3)", "")


def test_guidance_that_a_graph_does_not_have_can_not_be_asked_for():
    with fake_comfy() as server:
        graph = json.loads((TEMPLATES / "sdxl.json").read_text())
        graph["checkpoint"]["inputs"]["ckpt_name"] = "second.safetensors"
        graph["sampler"]["_meta"]["title"] = "{seed} {steps} {sampler}"
        graph["sampler"]["inputs"]["cfg"] = ["nowhere", 0]
        host = ComfyHost(server.url, limits=QUICK)
        object.__setattr__(host.workflow, "keeps_values", True)
        workflow = Workflow.of(graph)
    assert "cfg_scale" not in workflow.slots and workflow.drawing["cfg_scale"] == 1.0
    with pytest.raises(NoPlace, match="no place for the cfg_scale"):
        workflow.filled({"cfg_scale": 5.0})
    assert workflow.filled({"cfg_scale": None})["sampler"]["inputs"]["cfg"] == ["nowhere", 0]


# ── templates ──


@pytest.mark.parametrize("name", template_names())
def test_a_template_names_every_file_that_it_loads_with_its_address(name):
    workflow = Workflow.read(name)
    for node, part in workflow.graph.items():
        files = [value for value in part["inputs"].values() if str(value).endswith(".safetensors")]
        listed = {model["name"]: model for model in part["_meta"].get("models", ())}
        assert sorted(listed) == sorted(files), f"{node} of {name}"
        assert all(
            model["url"].startswith("https://") and model["url"].endswith(file) for file, model in listed.items()
        )
    assert workflow.drawing["width"] >= 1024 and {"prompt", "seed", "checkpoint"} <= workflow.slots.keys()


def test_a_file_that_the_server_lacks_is_named_with_where_it_can_be_had():
    with fake_comfy() as server:
        host = ComfyHost(server.url, limits=QUICK, workflow="sdxl")
        with pytest.raises(RequestRefused, match=r"sd_xl_base_1\.0.*download https.*models/checkpoints.*a copy of"):
            host.check(GenerationRequest(prompt="x", seed=1))


def test_templates_are_found_by_name_and_an_unknown_name_is_answered_with_the_known_ones(tmp_path, monkeypatch):
    assert template_names() == ["flux", "qwen-image", "sd3.5", "sdxl", "z-image"]
    assert Workflow.read(Path("flux")).source.endswith("flux.json")
    with pytest.raises(InputError, match="no workflow 'fluks'.*flux, qwen-image"):
        Workflow.read(Path("fluks"))
