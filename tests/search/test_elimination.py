"""Few pictures find the best of many, and equal ones are not told apart."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from modiste.core.errors import InputError
from modiste.search.elimination import EliminationRound, RoundResult, elimination_rounds, going_on, judge_round


def pictures(rounds) -> int:
    before = [0, *(stage.blocks for stage in rounds)]
    return sum(stage.arms * (stage.blocks - done) for stage, done in zip(rounds, before, strict=False))


def test_the_rounds_are_those_of_the_documentation():
    rounds = elimination_rounds(15, 32)
    assert rounds == tuple(EliminationRound(*stage) for stage in ((15, 4), (7, 8), (3, 16), (2, 32)))
    assert pictures(rounds) == 144 and 144 + 4 + 8 + 16 <= 0.4 * 15 * 32  # a favourite in each round after the first


@pytest.mark.parametrize("arms", [1, 2, 3, 8, 40])
@pytest.mark.parametrize("blocks", [1, 2, 5, 64])
def test_every_plan_ends_with_all_blocks_and_never_more_pictures_than_the_grid(arms, blocks):
    rounds = elimination_rounds(arms, blocks)
    assert rounds[0].arms == arms and rounds[-1].blocks == blocks and pictures(rounds) <= arms * blocks
    assert all(first.arms >= second.arms and first.blocks < second.blocks for first, second in pairwise(rounds))


def test_nothing_to_compare_is_refused():
    with pytest.raises(InputError, match="can't be compared"):
        elimination_rounds(0, 4)


def test_an_arm_that_is_much_worse_is_eliminated_and_one_that_is_close_is_not():
    rng = Random(1)
    luck = [rng.gauss(0, 0.1) for _ in range(8)]
    scores = {
        name: [mean + seed + rng.gauss(0, 0.02) for seed in luck]
        for name, mean in {"good": 0.8, "near": 0.79, "bad": 0.4}.items()
    }
    result = judge_round(scores, list(range(8)), comparisons=20)
    assert result.order[-1] == "bad" and result.eliminated == {"bad"}


def test_sixteen_pictures_of_two_garments_are_two_witnesses():
    garments = [place // 8 for place in range(16)]
    better = [0.8 + 0.001 * (place % 8) for place in range(16)]
    worse = [score - (0.3 if garment else 0.1) for score, garment in zip(better, garments, strict=True)]
    scores = {"better": better, "worse": worse}
    assert judge_round(scores, garments, comparisons=1).eliminated == frozenset()
    assert judge_round(scores, list(range(16)), comparisons=1).eliminated == {"worse"}


def test_the_best_favourite_goes_on_whatever_its_place_unless_it_is_proven_worse():
    order = ("a", "b", "c", "d", "e")
    assert going_on(RoundResult(order, frozenset()), 2) == ["a", "b"]
    assert going_on(RoundResult(order, frozenset()), 2, ("d", "e")) == ["a", "b", "d"]
    assert going_on(RoundResult(order, frozenset({"d"})), 2, ("d", "e")) == ["a", "b", "e"]
    assert going_on(RoundResult(order, frozenset({"d", "e"})), 2, ("d", "e")) == ["a", "b"]
    assert going_on(RoundResult(order, frozenset({"b"})), 2, ("a",)) == ["a", "c"]


def test_of_equal_arms_hardly_ever_one_is_called_proven_worse():
    wrong = 0
    for trial in range(200):
        rng = Random(trial)
        scores = {f"arm {number}": [rng.gauss(0.5, 0.1) for _ in range(8)] for number in range(10)}
        wrong += bool(judge_round(scores, list(range(8)), comparisons=45).eliminated)
    assert wrong <= 20
