"""The bench that compares ways to spend a search's images."""

from __future__ import annotations

import json

import numpy as np
import pytest

from modiste.bench import allocation
from modiste.search.halving import Rung, ladder


def test_what_knows_the_factors_leaves_less_on_the_table_than_the_best_single_image_and_the_ladder_before():
    photos = allocation.worlds(40, seed=2)["cold"]
    regrets = {
        name: np.mean([photo.truth.regret(allocation.CHOOSERS[name](photo, 9)) for photo in photos])
        for name in (allocation.CHOSEN, "halving to three meetings, each arm alone", "best single image")
    }
    assert regrets[allocation.CHOSEN] < 0.6 * min(value for name, value in regrets.items() if name != allocation.CHOSEN)


def test_the_ladder_before_was_one_rung_of_one_picture_and_the_new_one_meets_three_times():
    assert allocation.ladder_before(12, 12) == (Rung(12, 1),)
    assert sum(rung.seeds for rung in ladder(12, 12)) == 3


@pytest.mark.parametrize("pick", [allocation.top_two, allocation.knowledge_gradient])
def test_who_asks_one_by_one_spends_every_image_and_chooses_among_those_who_met(pick, monkeypatch):
    photo = allocation.worlds(1, seed=3)["cold"][0]
    drawn = []
    monkeypatch.setattr(
        photo.truth, "trials", lambda shots, real=photo.truth.trials: drawn.extend(shots) or real(shots)
    )
    winner = allocation.one_by_one(pick)(photo, 12)
    assert len(drawn) == len(set(drawn)) == 12
    assert len({shot.seed for shot in drawn if shot.arm == winner}) >= 3


def test_the_bench_prints_its_tables_as_text_and_as_json(capsys):
    allocation.main(["--photos", "2", "--budgets", "16"])
    text = capsys.readouterr().out
    assert "warm" in text and "16 (9 to search)" in text and "knowledge gradient" in text
    allocation.main(["--photos", "2", "--budgets", "16", "--json"])
    assert len(json.loads(capsys.readouterr().out)) == 3 * len(allocation.CHOOSERS)
    with pytest.raises(SystemExit):
        allocation.main(["--photos", "1"])
