"""What the benches of choosing a step take for right, on figures that are written by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from lora_samples import random_lora

from modiste.bench.checkpoints import Worth, unseen_photos
from modiste.bench.choice import ChoiceRow, ReplayedChoice, _row, _stopped
from modiste.bench.choice import as_text as choices_as_text
from modiste.bench.judge import COPIES, JudgeRow, OwnLuck, SameRow, as_text, copies_of, says_a_difference
from modiste.hosts.local import LocalHost
from modiste.hosts.request import GenerationRequest, GenerationResult, LoraRef
from modiste.routes.judge.candidates import open_candidates
from modiste.trainer.loop.validation import PictureScores, ValidationResult
from modiste.trainer.lora.file import write_lora


def looks(*similarity: float) -> SimpleNamespace:
    results = [ValidationResult(60 * place, (1.0,), PictureScores((like,))) for place, like in enumerate(similarity)]
    return SimpleNamespace(loop=SimpleNamespace(validation=SimpleNamespace(results=results)))


def test_patience_ends_a_training_four_looks_after_the_best_one_and_not_at_its_last_step():
    assert _stopped(looks(0.9, 0.1, 0.5, 0.4, 0.3, 0.2, 0.1, 0.9)) == 360
    assert _stopped(looks(0.9, 0.1, 0.5, 0.4, 0.3, 0.2, 0.1)) is None
    assert _stopped(looks(0.0, 0.1, 0.2, 0.3)) is None


def test_a_choice_is_paired_with_its_rivals_garment_by_garment():
    worth = {60: Worth((0.1, 0.2, 0.3), (0.2,) * 3), 600: Worth((0.5, 0.7, 0.6), (0.4, 0.5, 0.6))}
    worth[900] = Worth((0.4, 0.6, 0.5), (0.4, 0.5, 0.6))
    steps = {"pictures": 600, "first look": 900, "least loss": 60, "last": 900}
    row = _row(3, steps, ReplayedChoice(600, 900, None, "why", 12.3, []), worth)
    assert row.worth[600] == (60.0, 50.0) and row.gains["least loss"]["score"][0] == pytest.approx(40)
    assert row.gains["last"]["score"][0] == pytest.approx(10) and row.gains["last"]["judge"][0] == 0
    text = choices_as_text([row, ChoiceRow(**{**vars(row), "seed": 4})])
    assert (
        "seed 3: pictures 600 (60.0 / 50.0), first look 900" in text
        and "pictures over least loss, score: +40.0" in text
    )


def test_a_rule_lies_behind_the_best_step_by_the_score():
    worth = {60: (30.0, 20.0), 600: (61.0, 50.0), 900: (60.0, 55.0)}
    steps = {"judge": 900, "last": 900, "least loss": 60, "best single picture": 600}
    row = JudgeRow(0, steps, worth, 78, 240)
    assert (row.behind("judge"), row.behind("least loss"), row.behind("best single picture")) == (1.0, 31.0, 0.0)
    text = as_text([row, row], [SameRow(0, False), SameRow(1, True)])
    assert "points behind the best, within 2 in 2 of 2; judge 55.0" in text
    assert "pictures to choose by: 32% of a full grid" in text
    assert text.endswith("ten copies of one file: no difference in 1 of 2")


def test_ten_copies_are_ten_files_that_judge_tells_apart_and_each_draws_on_seeds_of_its_own(tmp_path):
    state = random_lora("sd1", resnets=False)
    state = replace(state, modules=state.modules[:2])
    file = tmp_path / "whole.safetensors"
    write_lora(state, file, {"ss_training_comment": "kept"})
    models = open_candidates([copies_of(file, tmp_path / "same")])
    assert len({model.tuned.identity for model in models}) == COPIES == len(models)
    request = GenerationRequest(prompt="a dress", seed=3)
    seeds = {
        OwnLuck._own_seed(request.model_copy(update={"loras": (LoraRef(name=model.tuned.file.stem),)})).seed
        for model in models
    }
    assert len(seeds) == COPIES and 3 not in seeds


def test_a_lora_draws_on_its_own_seed_the_base_model_on_the_one_asked_and_both_answer_what_was_asked(monkeypatch):
    heard = []

    def draw(host, requests):
        heard.extend(requests)
        yield from (GenerationResult(None, request, None, 0.0) for request in requests)

    monkeypatch.setattr(LocalHost, "generate", draw)
    base = GenerationRequest(prompt="a dress", seed=3)
    asked = [base, base.model_copy(update={"loras": (LoraRef(name="copy-1"),)})]
    results = list(OwnLuck.__new__(OwnLuck).generate(asked))
    assert [result.request for result in results] == asked
    assert heard[0].seed == 3 != heard[1].seed


def test_a_gain_over_the_base_model_is_no_difference_between_files():
    def report(**proven: bool) -> SimpleNamespace:
        return SimpleNamespace(gains=[SimpleNamespace(over=over, proven=so) for over, so in proven.items()])

    assert not says_a_difference(report(base=True, next=False, last=False))
    assert says_a_difference(report(base=True, next=True)) and says_a_difference(report(base=False, last=True))


def test_unseen_garments_are_others_for_each_seed_and_the_same_again():
    first, again, other = unseen_photos(0, 2), unseen_photos(0, 2), unseen_photos(1, 2)
    assert [photo.image.tobytes() for photo in first] == [photo.image.tobytes() for photo in again]
    assert (
        first[0].image.tobytes() != other[0].image.tobytes() and len({photo.sha256 for photo in (*first, *other)}) == 4
    )
