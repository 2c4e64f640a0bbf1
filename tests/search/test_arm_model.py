"""What is believed of arms: pictures of one teach of those that share its factors."""

from __future__ import annotations

import random

import numpy as np
import pytest

from modiste.search.arm_model import NEGATIVE, ArmModel, FactorPriors
from modiste.search.halving import SuccessiveHalving
from modiste.search.priors import ArmPrior
from modiste.search.trials import Trial, paired_fit

ARMS = {
    "list": {"negative": 1.0},
    "list, bare": {},
    "sentence": {"negative": 1.0, "sentence": 1.0},
    "sentence, bare": {"sentence": 1.0},
}


def trials_of(scores: dict[str, list[float]]) -> list[Trial]:
    return [Trial(arm, seed, score) for arm, row in scores.items() for seed, score in enumerate(row)]


def test_the_posterior_is_that_of_the_linear_model_with_every_unknown_written_out():
    priors = FactorPriors(
        factors={"negative": ArmPrior(mean=-0.1, sd=0.1)}, unknown_sd=0.03, own_sd=0.02, noise_sd=0.03, together=0.5
    )
    model, names = ArmModel.of_factors(ARMS, priors), list(ARMS)
    trials = [Trial("list", 1, 0.5), Trial("list, bare", 1, 0.62), Trial("sentence", 2, 0.3), Trial("list", 2, 0.35)]
    # Unknowns: arms, arms' deviations on seeds 1 and 2, level, luck of both seeds; all normal, solved by precision.
    x = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    cov = x @ np.diag([0.1**2, 0.03**2]) @ x.T + 0.02**2 * np.eye(4)
    prior = np.zeros((15, 15))
    prior[:4, :4], prior[4:8, 4:8], prior[8:12, 8:12] = cov, 0.5 * cov, 0.5 * cov
    prior[12:, 12:] = 10.0 * np.eye(3)
    mean = np.concatenate([[-0.1, 0, -0.1, 0], np.zeros(11)])
    design = np.zeros((4, 15))
    for row, trial in enumerate(trials):
        arm = names.index(trial.arm)
        design[row, [arm, 4 * trial.seed + arm, 12, 12 + trial.seed]] = 1
    precision = np.linalg.inv(prior) + design.T @ design / 0.03**2
    scores = np.array([trial.score for trial in trials])
    wanted = np.linalg.solve(precision, np.linalg.inv(prior) @ mean + design.T @ (scores - scores.mean()) / 0.03**2)
    belief = model.posterior(trials)
    assert belief.mean - belief.mean[0] == pytest.approx(wanted[:4] - wanted[0], abs=1e-6)
    own = np.linalg.inv(precision)
    assert belief.cov[0, 0] + belief.cov[3, 3] - 2 * belief.cov[0, 3] == pytest.approx(
        own[0, 0] + own[3, 3] - 2 * own[0, 3], rel=1e-4
    )


def test_one_arm_without_the_negative_prompt_tells_of_every_other_without_it():
    model = ArmModel.of_factors(ARMS, FactorPriors(unknown_sd=0.05))
    belief = model.posterior(trials_of({"list": [0.5, 0.6], "list, bare": [0.6, 0.7]}))
    gain = belief.of("list, bare") - belief.of("list")
    assert belief.of("sentence, bare") - belief.of("sentence") > 0.7 * gain > 0.03
    alone = ArmModel.of_arms(list(ARMS)).posterior(trials_of({"list": [0.5, 0.6], "list, bare": [0.6, 0.7]}))
    assert alone.of("sentence, bare") == pytest.approx(alone.of("sentence"))


def test_arms_that_have_nothing_in_common_come_in_the_order_of_their_paired_means():
    rng = random.Random(0)
    for _ in range(20):
        trials = trials_of({arm: [rng.gauss(0, 0.3) for _ in range(3)] for arm in "abcde"})
        means = paired_fit(trials).means
        belief = ArmModel.of_arms("abcde").posterior(trials)
        assert belief.order() == sorted("abcde", key=lambda arm: -means[arm])


def test_the_luck_of_a_seed_and_the_level_of_a_photo_change_nothing():
    model = ArmModel.of_factors(ARMS)
    scores = {"list": [0.5, 0.1], "list, bare": [0.6, 0.3], "sentence": [0.4, 0.1]}
    moved = {arm: [a + 0.2, b - 0.4] for arm, (a, b) in scores.items()}
    before, after = model.posterior(trials_of(scores)), model.posterior(trials_of(moved))
    assert after.mean == pytest.approx(before.mean, abs=1e-4)


def test_the_belief_does_not_depend_on_the_order_of_the_pictures():
    model, trials = ArmModel.of_factors(ARMS), trials_of({"list": [0.5, 0.1], "sentence, bare": [0.6, 0.3]})
    assert model.posterior(trials[::-1]).mean == pytest.approx(model.posterior(trials).mean)
    assert model.posterior([]) is model.prior


def test_chance_draws_arms_in_proportion_to_their_promise_and_a_seeded_one_repeats():
    arms = {"best": {"good": 1.0}, "same": {"good": 1.0}, "poor": {}}
    priors = FactorPriors(factors={"good": ArmPrior(mean=0.05, sd=0.03)}, own_sd=0.01)
    belief = ArmModel.of_factors(arms, priors).prior
    first = [belief.order(random.Random(photo))[0] for photo in range(300)]
    assert first.count("poor") < 0.1 * 300 < 0.35 * 300 < min(first.count("best"), first.count("same"))
    assert belief.order(random.Random(5)) == belief.order(random.Random(5))
    assert sorted(belief.order(random.Random(5))) == sorted(arms)
    assert belief.order() == ["best", "same", "poor"]


def test_an_arm_that_shares_the_best_ones_doubt_is_hopeless_by_its_own_part_alone():
    arms = {"best": {"unsure": 1.0}, "second": {"unsure": 1.0, "costs": 1.0}, "third": {"unsure": 1.0, "costs": 2.0}}
    costs = {"costs": ArmPrior(mean=-0.05, sd=0.01), "unsure": ArmPrior(mean=0.0, sd=0.5)}
    belief = ArmModel.of_factors(arms, FactorPriors(factors=costs, own_sd=0.005)).prior
    assert belief.hopeless() == {"third"}  # the second is one of the two most promising


def test_a_search_with_factors_finds_among_arms_that_it_never_drew_together():
    names = {
        f"{form}{end}": {form: 1.0, **({} if end else {"negative": 1.0})} for form in "abcdef" for end in ("", "-")
    }
    worth = {arm: 0.1 * arm.endswith("-") + 0.02 * (arm[0] == "d") for arm in names}
    rng = random.Random(1)
    wins = 0
    for _ in range(40):
        search = SuccessiveHalving(list(names), range(20), 9, rng=rng, model=ArmModel.of_factors(names))
        luck = {seed: rng.gauss(0, 0.1) for seed in range(20)}
        while shots := search.ask():
            search.tell([Trial(s.arm, s.seed, worth[s.arm] + luck[s.seed] + rng.gauss(0, 0.01)) for s in shots])
        wins += search.winner.endswith("-")
    assert wins == 40


def test_before_any_photo_the_first_arms_to_try_differ_in_the_negative_prompt_that_moves_pictures_most():
    arms = {f"{form}": {form: 1.0, NEGATIVE: 1.0} for form in "abcdefghijk"} | {"bare": {"a": 1.0}}
    prior = ArmModel.of_factors(arms).prior
    assert all("bare" in prior.order(random.Random(photo))[:2] for photo in range(30))


def test_a_model_of_other_arms_is_refused():
    with pytest.raises(ValueError, match="the search has"):
        SuccessiveHalving(["a"], [1], 4, model=ArmModel.of_arms(["b"]))
