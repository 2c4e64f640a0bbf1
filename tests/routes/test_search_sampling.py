"""Pictures that only choose may be drawn with fewer steps; what is shown and proven never is."""

from __future__ import annotations

import json

import paper_studio
import pytest
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.core.errors import InputError
from modiste.fashion.photos import gather_photos
from modiste.routes.prompt.few_steps import few_step_sampling
from modiste.routes.prompt.optimise import optimise_prompts
from modiste.routes.prompt.settings import PromptSettings
from modiste.runs.journal import JournalError


def few_steps(budget: int = 16, **fields) -> PromptSettings:
    return PromptSettings.for_session(
        paper_studio.session(), budget=budget, seed=0, same_seeds=True, learn=False, steps=8, cfg_scale=5.0, **fields
    )


def searched(paper_photos, out, settings: PromptSettings, stop_after: int | None = None):
    session = paper_studio.session(stop_after)
    report = optimise_prompts(gather_photos([paper_photos / "0.png"]), session, settings, out)
    return report, session.host.drawn


def test_only_what_chooses_is_drawn_with_few_steps_and_the_page_says_so(paper_photos, tmp_path):
    report, drawn = searched(paper_photos, tmp_path, few_steps(search_steps=3))
    steps = {request.seed: request.steps for request in drawn}
    photo = report.images[0]
    assert len(drawn) == photo.generations
    assert set(steps) == {*photo.seeds["search"], *photo.seeds["confirm"]}
    assert {steps[seed] for seed in photo.seeds["search"]} == {3}
    assert {steps[seed] for seed in photo.seeds["confirm"]} == {8}
    assert report.settings["search_sampling"] == {"steps": 3, "cfg_scale": 2.5, "scheduler": "Uniform"}
    assert {(request.cfg_scale, request.scheduler) for request in drawn if request.steps == 3} == {(2.5, "Uniform")}
    assert {(request.cfg_scale, request.scheduler) for request in drawn if request.steps == 8} == {(5.0, "Automatic")}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "drawn with 3 steps, those that prove with 8" in page and "這些圖以 3 步繪製" in page


def test_a_run_with_few_steps_goes_on_where_it_was_stopped(paper_photos, tmp_path):
    settings = few_steps(search_steps=3)
    whole, drawn = searched(paper_photos, tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        searched(paper_photos, tmp_path / "stopped", settings, stop_after=7)
    report, rest = searched(paper_photos, tmp_path / "stopped", settings)
    assert len(rest) == len(drawn) - 7
    assert report.images == whole.images
    with pytest.raises(JournalError, match="search_sampling.steps: 3 → 2"):
        searched(paper_photos, tmp_path / "stopped", few_steps(search_steps=2))


def test_without_fewer_steps_a_run_s_settings_and_page_are_as_before(paper_photos, tmp_path):
    report, _ = searched(paper_photos, tmp_path, few_steps())
    assert "search_sampling" not in report.settings
    assert "those that prove with" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_what_few_steps_taught_is_not_taken_for_what_all_steps_teach():
    session = paper_studio.session()
    keys = {few_steps(search_steps=few).criterion_key(session) for few in (None, 3, 4)}
    assert len(keys) == 3


@pytest.mark.parametrize("steps", [8, 9])
def test_as_many_steps_for_the_search_as_for_the_proof_are_refused(steps):
    with pytest.raises(InputError, match=f"^{steps} steps for the search are not fewer than the 8 that prove"):
        few_steps(search_steps=steps)


def test_few_steps_have_half_the_guidance_and_never_less_than_none():
    assert few_step_sampling({"steps": 20, "cfg_scale": 7.0}, 6, None)["cfg_scale"] == 3.5
    assert few_step_sampling({"steps": 20, "cfg_scale": 1.5}, 6, None)["cfg_scale"] == 1.0
    assert few_step_sampling({"steps": 20, "cfg_scale": 7.0}, None, None) == {}


def test_a_distilled_lora_draws_what_chooses_and_nothing_else(paper_photos, tmp_path, monkeypatch):
    monkeypatch.setattr(paper_studio.PaperHost, "check", lambda host, request: None)
    (tmp_path / "lcm.safetensors").write_bytes(b"any")
    settings = few_steps(search_lora=str(tmp_path / "lcm.safetensors"))
    report, drawn = searched(paper_photos, tmp_path / "out", settings)
    worn = {
        (request.steps, request.sampler, request.scheduler, request.cfg_scale, *(lora.name for lora in request.loras))
        for request in drawn
    }
    assert worn == {(4, "LCM", "Automatic", 1.5, "lcm"), (8, "Pencil", "Automatic", 5.0)}
    karras = {"steps": 20, "cfg_scale": 7.0, "scheduler": "Karras"}
    assert few_step_sampling(karras, None, "lcm", local=False)["scheduler"] == "Automatic"
    lora = next(request.loras[0] for request in drawn if request.loras)
    assert lora.path == tmp_path / "lcm.safetensors" and lora.strength == 1.0


def test_a_lora_is_sought_here_where_this_process_draws_and_named_where_a_server_does(tmp_path):
    drawing = {"steps": 20, "cfg_scale": 7.0}
    with pytest.raises(
        InputError, match="there is no such LoRA .*none.safetensors.; a file, or fast-sd15 or fast-sdxl"
    ):
        few_step_sampling(drawing, None, str(tmp_path / "none.safetensors"))
    [lora] = few_step_sampling(drawing, 6, "lcm-lora-sdv1-5", local=False)["loras"]
    assert lora == {"name": "lcm-lora-sdv1-5", "strength": 1.0, "path": None}


def test_the_commands_take_search_steps(paper_photos, tmp_path):
    command = ["prompt", str(paper_photos / "0.png"), "--out", str(tmp_path / "out"), "--preset", "mini", "--force"]
    refused = CliRunner().invoke(app, [*command, "--steps", "4", "--search-steps", "4"])
    assert refused.exit_code == 2 and "not fewer than the 4 that prove" in " ".join(refused.output.split())
    done = CliRunner().invoke(
        app, [*command, "--steps", "4", "--search-steps", "2", "--budget", "8", "--no-learn", "--json"]
    )
    assert done.exit_code == 0
    assert json.loads(done.stdout)["settings"]["search_sampling"]["steps"] == 2
