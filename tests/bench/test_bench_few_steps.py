"""The bench of few-step drawing: what it asks to be drawn, and its figures on scores that are written by hand."""

from __future__ import annotations

from random import Random

import pytest

from modiste.bench import few_steps
from modiste.bench.few_steps import MOST, TRUE, Draft, as_text, spearman

USUAL = {"steps": 16, "cfg_scale": 4.0, "sampler": "DPM++ 2M", "width": 64, "height": 64}
ARMS = ("good", "fair", "poor")


def test_a_draft_is_the_presets_sampling_but_for_what_its_word_says(tmp_path):
    assert Draft.parse("6", USUAL).drawing == USUAL | {"steps": 6}
    assert Draft.parse("4:2:Uniform", USUAL).drawing == USUAL | {"steps": 4, "cfg_scale": 2.0, "scheduler": "Uniform"}
    drawing = Draft.parse(f"4:1::LCM:{tmp_path}/lcm.safetensors", USUAL).drawing
    assert (drawing["cfg_scale"], drawing["sampler"], drawing["loras"][0].name) == (1.0, "LCM", "lcm")


def test_ranks_agree_fully_not_at_all_or_are_none():
    assert spearman([1, 2, 3], [10, 20, 21]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 1, 1], [1, 2, 3]) == 0


def test_a_draft_that_turns_the_arms_round_has_the_regret_of_the_worst_and_one_that_keeps_them_none():
    true = {arm: [worth] * 2 for arm, worth in zip(ARMS, (0.9, 0.8, 0.5), strict=True)}
    same = {arm: [worth] * MOST for arm, worth in zip(ARMS, (0.9, 0.8, 0.5), strict=True)}
    turned = {arm: [1 - worth] * MOST for arm, worth in zip(ARMS, (0.9, 0.8, 0.5), strict=True)}
    photos = [{TRUE: true, "full": same, "6": same, "4": turned}] * 2
    seconds = {"full": 0.4, "6": 0.2, "4": 0.1}
    kept, lost = (few_steps._row(text, photos, seconds, Random(0)) for text in ("6", "4"))
    assert (kept.pictures, kept.order, kept.regret, kept.behind[0]) == (4, 1.0, 0.0, 0.0)
    assert (lost.pictures, lost.order, lost.regret, lost.behind[0]) == (MOST, -1.0, 40.0, 40.0)
    assert "6" in as_text([kept, lost]) and "+40.00" in as_text([kept, lost])
