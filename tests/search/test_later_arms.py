"""Arms that join a search when its first pictures are known."""

from __future__ import annotations

import pytest

from modiste.search.arm_model import ArmModel
from modiste.search.halving import SuccessiveHalving, ladder, later_places
from modiste.search.priors import ArmPrior
from modiste.search.trials import Trial

ARMS, SEEDS, IMAGES = [f"arm {number}" for number in range(9)], [10, 20, 30], 12


def search(later: bool = True) -> SuccessiveHalving:
    return SuccessiveHalving(ARMS, SEEDS, IMAGES, later=later)


def worth(arm: str) -> float:
    return {"arm 2": 0.5, "late": 0.9}.get(arm, 0.1)


def tell_all(halving: SuccessiveHalving) -> list:
    drawn = []
    while shots := halving.ask():
        halving.tell([Trial(shot.arm, shot.seed, worth(shot.arm)) for shot in shots])
        drawn += shots
    return drawn


def joined(halving: SuccessiveHalving, *arms: str) -> SuccessiveHalving:
    halving.join(arms, ArmModel.of_arms([*halving.arms, *arms]))
    return halving


def test_the_last_places_of_the_first_rung_wait_until_its_other_arms_have_scores():
    halving = search()
    first, places = halving.ask(), later_places(halving.rungs)
    assert places == 2 and len(first) == halving.rungs[0].arms - places and halving.open_places == 0
    halving.tell([Trial(shot.arm, shot.seed, worth(shot.arm)) for shot in first])
    assert halving.ask() == [] and halving.open_places == 2 and not halving.done
    assert halving.order[0] == "arm 2", "the leading arm is known, so that it can be rewritten"


def test_a_new_arm_is_drawn_on_the_first_seed_too_and_can_win():
    halving = search()
    tell_all(halving)
    drawn = tell_all(joined(halving, "late"))
    assert halving.done and halving.winner == "late"
    assert [shot.seed for shot in drawn if shot.arm == "late"] == SEEDS, "finalists have met on three seeds"
    assert halving.spent <= IMAGES


def test_without_new_arms_the_search_is_the_same_as_without_places_for_them():
    plain, halving = search(later=False), search()
    everything = tell_all(plain)
    drawn = tell_all(halving)
    halving.join([])
    assert [*drawn, *tell_all(halving)] == everything and halving.winner == plain.winner
    assert halving.ranking() == plain.ranking()


def test_no_more_arms_join_than_there_are_places_and_the_others_are_no_part_of_the_search():
    halving = search()
    tell_all(halving)
    joined(halving, "late", "later", "too late")
    assert halving.arms == (*ARMS, "late", "later") and halving.open_places == 0
    with pytest.raises(ValueError, match="no place is open"):
        halving.join(["once more"])


def test_a_model_that_knows_other_arms_is_refused():
    halving = search()
    tell_all(halving)
    with pytest.raises(ValueError, match="a model of the arms"):
        halving.join(["late"], ArmModel.of_arms(ARMS))


def test_a_single_rung_has_no_place_to_give_away():
    assert later_places(ladder(9, 3)) == 0 and later_places(()) == 0
    assert [later_places(ladder(14, images)) for images in (9, 12, 22)] == [1, 2, 3]


def test_an_arm_that_somebody_asked_for_takes_part_whatever_is_believed():
    priors = {arm: ArmPrior(mean=-0.5 if arm == "arm 8" else 0.1, sd=0.01) for arm in ARMS}
    believed = SuccessiveHalving(ARMS, SEEDS, IMAGES, priors=priors)
    asked = SuccessiveHalving(ARMS, SEEDS, IMAGES, priors=priors, always=["arm 8"])
    assert "arm 8" not in {shot.arm for shot in believed.ask()} and "arm 8" in {shot.arm for shot in asked.ask()}
    assert len(asked.ask()) == len({shot.arm for shot in asked.ask()})
