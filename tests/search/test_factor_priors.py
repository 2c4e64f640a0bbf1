"""What photos teach about factors is what the photos were made of."""

from __future__ import annotations

import numpy as np
import pytest

from modiste.search.arm_model import FactorPriors
from modiste.search.factor_priors import learn_factor_priors
from modiste.search.priors import PhotoResult

ARMS = {
    "list": {"negative": 1.0, "view": 1.0},
    "list, no negative": {"view": 1.0},
    "sentence": {"negative": 1.0, "view": 1.0, "sentence": 1.0},
    "sentence, no negative": {"view": 1.0, "sentence": 1.0},
    "bare": {},
}
TRUTH = {"negative": (-0.1, 0.05), "view": (0.02, 0.01), "sentence": (0.0, 0.02)}


def photos(count: int, rng: np.random.Generator, each: int = 4) -> list[PhotoResult]:
    """Photos that drew some of the arms each, a picture of .01 noise on every arm's one seed."""
    rows = []
    for index in range(count):
        brings = {name: rng.normal(*truth) for name, truth in TRUTH.items()}
        drawn = rng.choice(list(ARMS), each, replace=False)
        level, gains = rng.normal(0.5, 0.3), {}
        for arm in map(str, drawn):
            gains[arm] = level + sum(brings[name] for name in ARMS[arm]) + rng.normal(0, 0.01)
        rows.append(
            PhotoResult(
                photo=f"{index}", category="dress", checkpoint="m", gains=gains, pictures=dict.fromkeys(gains, 1)
            )
        )
    return rows


def test_means_and_spreads_of_factors_are_found_although_no_photo_drew_every_arm():
    before = FactorPriors(own_sd=0.004, noise_sd=0.01, together=0.0)
    learned = learn_factor_priors(photos(200, np.random.default_rng(0)), ARMS, before)
    for name, (mean, sd) in TRUTH.items():
        assert learned.of(name).mean == pytest.approx(mean, abs=0.012)
        assert learned.of(name).sd == pytest.approx(sd, rel=0.35)
    assert learned.of("negative").n > 100 and learned.own_sd < 0.01


def test_a_few_photos_move_a_prior_less_than_many_and_keep_more_doubt():
    rng = np.random.default_rng(1)
    few, many = (learn_factor_priors(photos(count, rng), ARMS).of("negative") for count in (2, 60))
    assert abs(few.mean) < abs(many.mean) and few.n < many.n
    assert many.mean == pytest.approx(-0.1, abs=0.03)


def test_what_all_arms_of_a_photo_have_teaches_nothing():
    rows = [
        PhotoResult(
            photo=f"{index}",
            category="dress",
            checkpoint="m",
            gains={"list": 0.1, "sentence": 0.3},
            pictures={"list": 2, "sentence": 2},
        )
        for index in range(10)
    ]
    learned = learn_factor_priors(rows, ARMS)
    assert "negative" not in learned.factors and "view" not in learned.factors
    assert learned.of("sentence").mean > 0.1 and learned.of("sentence").n == 10


def test_a_photos_own_level_teaches_nothing():
    rows = photos(20, np.random.default_rng(2))
    moved = [row.model_copy(update={"gains": {arm: gain + 5 for arm, gain in row.gains.items()}}) for row in rows]
    before, after = learn_factor_priors(rows, ARMS), learn_factor_priors(moved, ARMS)
    for name in TRUTH:
        assert after.of(name).mean == pytest.approx(before.of(name).mean, abs=5e-3)


def test_without_photos_that_compare_known_arms_the_prior_stays():
    before = FactorPriors(own_sd=0.02)
    single = photos(1, np.random.default_rng(3), each=1)
    assert learn_factor_priors([], ARMS, before) is before
    assert learn_factor_priors(single, ARMS, before) is before
    assert learn_factor_priors(photos(3, np.random.default_rng(3)), {}, before) is before
    assert FactorPriors.model_validate_json(before.model_dump_json()) == before
