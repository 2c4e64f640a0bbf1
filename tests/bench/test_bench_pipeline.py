"""What the pipeline bench takes for right, and that its A/A is the same model on other luck."""

from __future__ import annotations

import pytest
from tiny_models import tiny_diffusion

from modiste.bench.pipeline import OTHER_LUCK, OtherLuck, PipelineRow, as_text
from modiste.hosts.local import LocalHost
from modiste.hosts.request import GenerationRequest, LoraRef
from modiste.search.route_decision import RouteOutcome


def row(kind: str, decision: str, seed: int = 0) -> PipelineRow:
    return PipelineRow(kind, seed, decision, (30.0, 20.0, 40.0), (20.0, -1.0, 41.0), (25.0, 9.0, 41.0), 1.0, 3.0)


@pytest.mark.parametrize(
    ("kind", "right"),
    [
        ("whole run", {"training"}),
        ("same model", {"changes nothing"}),
        ("other luck", {"no difference", "words", "worse than words"}),
    ],
)
def test_a_run_is_right_where_it_says_what_is_true(kind, right):
    for outcome in RouteOutcome:
        assert row(kind, outcome.value).right == (outcome.value in right)


def test_the_text_counts_what_was_right_and_what_the_judge_alone_proves():
    text = as_text(
        [row("whole run", "training"), row("whole run", "worse than base", 1), row("same model", "changes nothing")]
    )
    assert (
        "whole run, seed 1: worse than base, strength 1; over the words +30.0 (+20.0 … +40.0), judge +20.0 (-1.0 …"
        in text
    )
    assert "whole run: right in 1 of 2; by the judge alone the gain is proven in 0" in text
    assert text.endswith("same model: right in 1 of 1")


def test_what_wears_a_lora_is_drawn_on_another_seed_and_reported_as_asked(tmp_path):
    folder = tiny_diffusion(tmp_path / "tiny")
    plain, lucky = (kind(str(folder), device="cpu") for kind in (LocalHost, OtherLuck))
    bare = GenerationRequest(prompt="a dress", seed=3, steps=2, cfg_scale=5.0, width=64, height=64)
    file = tmp_path / "nothing.safetensors"
    file.touch()
    worn = bare.model_copy(update={"loras": (LoraRef(name="nothing", strength=1.0, path=file),)})
    lucky._set_loras = lambda request: None  # its file would change nothing
    ours, other = lucky.generate([bare, worn])
    theirs, reseeded = plain.generate([bare, bare.model_copy(update={"seed": 3 ^ OTHER_LUCK})])
    assert (ours.request, other.request) == (bare, worn)
    assert ours.image.tobytes() == theirs.image.tobytes() != other.image.tobytes() == reseeded.image.tobytes()
