"""Prompt Search beside the command's own code: which pictures the graph's model draws, in how many steps."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import paper_studio
import pytest
import torch

from modiste.core.errors import InputError
from modiste.hosts.errors import RequestRefused
from modiste.hosts.request import GenerationRequest
from modiste.nodes.comfy import graph_search
from modiste.nodes.comfy.graph_host import ComfyGraphHost

LISTED = json.loads((Path(__file__).parents[1] / "data" / "comfy_object_info.json").read_text(encoding="utf-8"))
WIDGETS = LISTED["ModistePromptSearch"]["input"]["required"]
SIDE = 64  # pixels
DRAWING = dict(steps=8, cfg_scale=5.0, sampler="dpmpp_2m", width=SIDE, height=SIDE)


@pytest.fixture
def sampled(monkeypatch) -> list[SimpleNamespace]:
    """What ComfyUI's sampler is asked for; it is not run."""
    calls: list[SimpleNamespace] = []

    def sample(model, noise, steps, cfg, sampler, scheduler, positive, negative, latents, seed, **others):
        calls.append(SimpleNamespace(seed=seed, steps=steps, cfg=cfg, sampler=sampler, scheduler=scheduler))
        return noise

    samplers, schedulers = (WIDGETS[name][1]["options"] for name in ("sampler_name", "scheduler"))
    contents = {
        "comfy": {},
        "comfy.samplers": {"KSampler": SimpleNamespace(SAMPLERS=samplers, SCHEDULERS=schedulers)},
        "comfy.sample": {"sample": sample, "fix_empty_latent_channels": lambda model, latents: latents},
        "comfy.model_management": {"intermediate_device": lambda: torch.device("cpu")},
        "comfy.utils": {"ProgressBar": lambda total: SimpleNamespace(update_absolute=lambda *progress: None)},
        "comfyui_version": {"__version__": "0"},
    }
    for name, content in contents.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
        if "." in name:
            setattr(sys.modules["comfy"], name.partition(".")[2], module)
    return calls


def host(scheduler: str = "karras") -> ComfyGraphHost:
    """A graph's model; its pictures are the noise of their seeds."""
    clip = SimpleNamespace(
        tokenize=lambda text, **options: {"l": [[(word, 1.0, 1) for word in text.split()]]},
        encode_from_tokens_scheduled=lambda tokens: tokens,
    )
    vae = SimpleNamespace(decode=lambda latents: latents[:, :3].sigmoid().permute(0, 2, 3, 1).repeat(1, 8, 8, 1))
    return ComfyGraphHost(SimpleNamespace(load_device="cpu"), clip, vae, scheduler, "model", "digest", lambda: None)


def searched(tmp_path, monkeypatch, **options) -> dict:
    """The report.json of a search."""
    monkeypatch.setattr(graph_search, "runs_root", lambda: tmp_path)
    photo = paper_studio.paint(paper_studio.COLOURS["red"], False, 4, 0)
    options = {**DRAWING, "budget": 12, "seed": 0, "learn": False, "strategies": ("sentence",), **options}
    result = graph_search.search(host(), paper_studio.session().vision, [photo], options)
    return json.loads((result.folder / "report.json").read_text(encoding="utf-8"))


def test_search_steps_draw_what_chooses_and_all_steps_what_proves(sampled, tmp_path, monkeypatch):
    report = searched(tmp_path, monkeypatch, search_steps=3)
    choosing, proving = (set(report["images"][0]["seeds"][kind]) for kind in ("search", "confirm"))
    drawn = {(call.steps, call.cfg, call.sampler, call.scheduler, call.seed in choosing) for call in sampled}
    assert drawn == {(3, 2.5, "dpmpp_2m", "normal", True), (8, 5.0, "dpmpp_2m", "karras", False)}
    assert {call.seed for call in sampled} == choosing | proving
    assert report["settings"]["search_sampling"] == {"steps": 3, "cfg_scale": 2.5, "scheduler": "Uniform"}


def test_without_search_steps_every_picture_is_drawn_as_set_and_the_run_is_another(sampled, tmp_path, monkeypatch):
    report = searched(tmp_path, monkeypatch, search_steps=None)
    assert {(call.steps, call.cfg, call.scheduler) for call in sampled} == {(8, 5.0, "karras")}
    assert "search_sampling" not in report["settings"]
    searched(tmp_path, monkeypatch)
    assert len(list(tmp_path.iterdir())) == 1
    for steps in (3, 4):
        searched(tmp_path, monkeypatch, search_steps=steps)
    assert len(list(tmp_path.iterdir())) == 3


def test_as_many_search_steps_as_steps_are_refused_before_anything_is_drawn(sampled, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="^8 steps for the search are not fewer than the 8 that prove"):
        searched(tmp_path, monkeypatch, search_steps=8)
    assert not sampled and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("scheduler", "drawn"),
    [("Automatic", "sgm_uniform"), ("Uniform", "normal"), ("Karras", "karras"), ("beta", "beta")],
)
def test_a_request_s_noise_schedule_is_drawn_by_comfyui_s_name_of_it(sampled, scheduler, drawn):
    request = GenerationRequest(prompt="a dress", seed=3, scheduler=scheduler, **DRAWING)
    list(host("sgm_uniform").generate([request]))
    assert [call.scheduler for call in sampled] == [drawn]


def test_a_noise_schedule_that_comfyui_does_not_have_is_refused(sampled):
    with pytest.raises(RequestRefused, match="did you mean 'Karras'"):
        host().check(GenerationRequest(prompt="a dress", seed=3, scheduler="Karas", **DRAWING))


def test_search_steps_come_after_every_widget_of_saved_graphs_and_are_off_without_being_asked_for():
    optional = LISTED["ModistePromptSearch"]["input"]["optional"]
    assert list(optional) == LISTED["ModistePromptSearch"]["input_order"]["optional"] == ["aspect", "search_steps"]
    assert optional["search_steps"][1]["default"] == 0 and optional["search_steps"][1]["advanced"]
