"""Seeds of one photo: its own, and fresh ones for every look."""

from __future__ import annotations

import pytest

from modiste.core.errors import InputError
from modiste.search.seeds import photo_seed_plan

PHOTO, OTHER = "a" * 64, "b" * 64


def test_a_second_look_is_confirmed_on_seeds_that_no_look_before_has_seen():
    looks = [photo_seed_plan(0, PHOTO, look, 8, 24) for look in range(40)]
    assert len({seed for plan in looks for seed in plan.confirm}) == 40 * 24
    assert {plan.search for plan in looks} == {looks[0].search}


def test_photos_and_runs_have_seeds_of_their_own():
    mine = photo_seed_plan(0, PHOTO, 0, 40, 40)
    for other in (photo_seed_plan(0, OTHER, 0, 40, 40), photo_seed_plan(1, PHOTO, 0, 40, 40)):
        assert not {*mine.search, *mine.confirm} & {*other.search, *other.confirm}


def test_the_search_never_sees_a_confirm_seed_of_any_look():
    searched = set(photo_seed_plan(0, PHOTO, 0, 500, 0).search)
    for look in range(20):
        assert not searched & set(photo_seed_plan(0, PHOTO, look, 0, 100).confirm)
    assert all(seed % 2 == 0 for seed in searched)


def test_a_larger_budget_finds_its_earlier_pictures_again():
    small, large = photo_seed_plan(3, PHOTO, 1, 4, 2), photo_seed_plan(3, PHOTO, 1, 40, 20)
    assert large.search[:4] == small.search and large.confirm[:2] == small.confirm
    assert all(0 <= seed < 2**32 for seed in (*large.search, *large.confirm))


def test_the_seeds_of_a_photo_are_the_same_on_every_platform_and_in_every_version():
    plan = photo_seed_plan(0, PHOTO, 0, 2, 2)
    assert (plan.search, plan.confirm) == ((964633190, 3779039564), (1282123335, 849124199))


def test_a_negative_look_is_refused():
    with pytest.raises(InputError, match="look -1"):
        photo_seed_plan(0, PHOTO, -1, 2, 2)
