"""Screening, shrinkage, priors, negatives, and the simulated setting that says which way of searching is best."""

from __future__ import annotations

import json
import random
from statistics import mean, pstdev

import numpy as np
import pytest

from modiste.bench import search_simulation
from modiste.core.errors import InputError
from modiste.search.arm_model import ArmModel
from modiste.search.negatives import Shown, contrastive_negatives, count_labels
from modiste.search.priors import ArmPrior, PhotoResult, Priors, learn_priors
from modiste.search.screening import GENERATORS, effects, plackett_burman, screening_design
from modiste.search.shrinkage import EffectPrior, choose_subset, explain, learn_effect_prior, shrink
from modiste.search.simulation import simulate_choice, simulate_subsets
from modiste.search.trials import Noise, Trial

FACTORS = tuple("abcdefg")


# ── designs ──


@pytest.mark.parametrize("runs", GENERATORS)
def test_the_columns_of_a_design_are_balanced_and_orthogonal(runs):
    design = np.array(plackett_burman(runs))
    assert design.shape == (runs, runs - 1) and set(np.unique(design)) == {-1, 1}
    assert (design.T @ design == runs * np.eye(runs - 1)).all()
    assert (design[0] == 1).all() and (design.sum(0) == 0).all()


def test_a_foldover_turns_every_sign_and_has_its_own_seed():
    design = screening_design(FACTORS, 16, [1, 2, 3])
    first, second = design.runs[:8], design.runs[8:]
    assert {run.seed for run in first} == {1} and {run.seed for run in second} == {2}
    assert all(set(one.on) | set(two.on) == set(FACTORS) for one, two in zip(first, second, strict=True))
    assert not any(set(one.on) & set(two.on) for one, two in zip(first, second, strict=True))


def test_a_design_takes_no_more_images_than_it_may_and_refuses_what_can_not_be():
    for budget in range(8, 60):
        assert len(screening_design(FACTORS, budget, range(9)).runs) <= budget
    with pytest.raises(InputError, match="7 images can't screen 7 factors"):
        screening_design(FACTORS, 7, range(9))
    with pytest.raises(InputError, match="too many"):
        screening_design([str(index) for index in range(24)], 99, range(9))
    with pytest.raises(InputError, match="factor given twice"):
        screening_design(["a", "a"], 99, range(9))


# ── effects ──

TRUTH = dict(zip(FACTORS, (0.3, -0.2, 0.1, 0.0, 0.0, 0.05, -0.05), strict=True))


def scored(design, noise: float, rng: random.Random, together: float = 0.0) -> list[float]:
    luck = {run.seed: rng.gauss(0, 0.5) for run in design.runs}
    return [
        sum(TRUTH[factor] for factor in run.on)
        + together * ({"a", "b"} <= set(run.on))
        + luck[run.seed]
        + rng.gauss(0, noise)
        for run in design.runs
    ]


def test_without_noise_the_effects_are_the_truth_whatever_the_seeds_luck():
    design = screening_design(FACTORS, 16, [1, 2])
    found = effects(design, scored(design, 0, random.Random(0)))
    assert found.effect == pytest.approx(TRUTH) and found.se == pytest.approx(0, abs=1e-9)


def test_with_a_foldover_a_pair_that_works_together_spoils_no_single_effect_of_others():
    design = screening_design(FACTORS, 16, [1, 2])
    found = effects(design, scored(design, 0, random.Random(0), together=0.4)).effect
    assert {factor: found[factor] for factor in "cdefg"} == pytest.approx({f: TRUTH[f] for f in "cdefg"})
    assert found["a"] == pytest.approx(TRUTH["a"] + 0.2)  # half of what a does only together with b


def test_the_standard_error_is_that_of_many_screenings():
    rng, design = random.Random(1), screening_design(FACTORS, 24, [1, 2, 3])
    many = [effects(design, scored(design, 0.1, rng)) for _ in range(400)]
    spread = pstdev(one.effect["a"] for one in many)
    assert mean(one.se for one in many) == pytest.approx(spread, rel=0.1)


def test_a_single_block_borrows_the_noise_of_the_halving_or_judges_by_its_own_small_effects():
    rng, design = random.Random(2), screening_design(FACTORS, 8, [1])
    responses = scored(design, 0.05, rng)
    lent = effects(design, responses, Noise(0.05, 20))
    assert lent.df == 20 and lent.se == pytest.approx(0.05 * 2 / 8**0.5)
    alone = effects(design, responses)
    assert alone.se > 0 and alone.df == pytest.approx(len(FACTORS) / 3)


# ── shrinkage ──


def test_shrunk_effects_miss_the_truth_by_less_than_raw_ones_and_their_intervals_hold():
    rng, np_rng = random.Random(3), np.random.default_rng(3)
    raw_error, shrunk_error, covered, total = 0.0, 0.0, 0, 0
    design = screening_design(FACTORS, 16, [1, 2])
    for _ in range(300):
        truth = dict(zip(FACTORS, np_rng.normal(0.02, 0.05, 7), strict=True))
        luck = {1: rng.gauss(0, 0.5), 2: rng.gauss(0, 0.5)}
        responses = [
            sum(truth[factor] for factor in run.on) + luck[run.seed] + rng.gauss(0, 0.1) for run in design.runs
        ]
        for one in shrink(effects(design, responses)):
            raw_error += (one.raw - truth[one.attribute]) ** 2
            shrunk_error += (one.mean - truth[one.attribute]) ** 2
            covered += one.low <= truth[one.attribute] <= one.high
            total += 1
    assert shrunk_error < 0.8 * raw_error and covered / total >= 0.93


def test_a_prior_pulls_an_effect_as_far_as_both_are_certain():
    design = screening_design(FACTORS, 16, [1, 2])
    found = effects(design, scored(design, 0.1, random.Random(4)))
    for one in shrink(found, EffectPrior(mean=0.0, sd=0.0)):
        assert one.mean == 0 and one.standing == "unclear"
    for one in shrink(found, EffectPrior(mean=0.0, sd=1e6)):
        assert one.mean == pytest.approx(one.raw, abs=1e-4)


def test_what_earlier_screenings_teach_is_the_spread_of_true_effects():
    rng, np_rng, screenings = random.Random(5), np.random.default_rng(5), []
    design = screening_design(FACTORS, 16, [1, 2])
    for _ in range(200):
        truth = dict(zip(FACTORS, np_rng.normal(0.03, 0.08, 7), strict=True))
        responses = [sum(truth[factor] for factor in run.on) + rng.gauss(0, 0.1) for run in design.runs]
        screenings.append(effects(design, responses))
    learned = learn_effect_prior(screenings)
    assert learned.mean == pytest.approx(0.03, abs=0.01) and learned.sd == pytest.approx(0.08, rel=0.15)
    assert learn_effect_prior([]) is None


def test_the_explanation_lists_what_helps_first_with_its_interval():
    design = screening_design(FACTORS, 16, [1, 2])
    posterior = shrink(effects(design, scored(design, 0.01, random.Random(6))))
    lines = explain(posterior)
    assert lines[0].startswith("a: brings, +") and lines[-1].startswith("b: costs, -")
    assert all(" … " in line and "points" in line for line in lines)
    assert "a" in choose_subset(posterior) and "b" not in choose_subset(posterior)


# ── priors over photos ──


def photos(count: int, rng: random.Random, category: str = "dress", shift: float = 0.0) -> list[PhotoResult]:
    worth = {"good": 0.2 + shift, "fair": 0.1, "poor": -0.1}
    rows = []
    for index in range(count):
        level = rng.gauss(0.5, 0.2)
        own = {arm: value + rng.gauss(0, 0.03) for arm, value in worth.items()}
        trials = [Trial(arm, seed, level + own[arm] + rng.gauss(0, 0.05)) for arm in own for seed in range(4)]
        rows.append(PhotoResult.from_trials(f"{category}{index}", category, "model", trials))
    return rows


def test_a_photo_that_had_nothing_to_compare_teaches_nothing_and_disturbs_nothing():
    rows = photos(6, random.Random(3))
    bare = PhotoResult.from_trials("bare", "dress", "model", [])
    assert bare.gains == {} and learn_priors([bare]) == learn_priors([])
    assert learn_priors([*rows, bare]) == learn_priors(rows)


def test_priors_find_what_each_strategy_is_worth_and_how_photos_differ():
    learned = learn_priors(photos(60, random.Random(7))).for_photo("dress", "model")
    gain = learned["good"].mean - learned["poor"].mean
    assert gain == pytest.approx(0.3, abs=0.03)
    assert learned["good"].sd == pytest.approx(0.03, rel=0.5) and learned["good"].n == 60
    belief = ArmModel.of_arms(["poor", "fair", "good"], learned).prior
    assert belief.order()[0] == "good" and belief.hopeless() == {"poor"}


def test_an_unseen_category_or_checkpoint_gets_the_strategies_own_prior_with_more_doubt():
    rows = [*photos(20, random.Random(8)), *photos(20, random.Random(9), "coat", shift=-0.3)]
    learned = learn_priors(rows)
    assert learned.for_photo("dress", "model")["good"].mean > learned.for_photo("coat", "model")["good"].mean + 0.2
    unseen = learned.for_photo("shorts", "model")["good"]
    assert unseen == learned.for_photo("dress", "another model")["good"]
    assert unseen.sd > learned.for_photo("dress", "model")["good"].sd


def test_one_photo_teaches_nothing_yet():
    assert learn_priors([]) == Priors() == learn_priors([]).model_validate_json(Priors().model_dump_json())
    assert learn_priors(photos(1, random.Random(1))).for_photo("dress", "model") == {}


def test_with_priors_one_picture_moves_an_estimate_less_than_many():
    priors = {"a": ArmPrior(mean=0.0, sd=0.05, n=9), "b": ArmPrior(mean=0.0, sd=0.05, n=9)}
    gaps = []
    for pictures in (1, 20):
        trials = [Trial(arm, seed, value) for arm, value in (("a", 0.6), ("b", 0.5)) for seed in range(pictures)]
        found = ArmModel.of_arms(list("ab"), priors).posterior(trials)
        gaps.append(found.of("a") - found.of("b"))
    assert 0 < gaps[0] < 0.6 * gaps[1] < 0.1


# ── negatives ──

RED, BLUE, LONG = ("colour", "red"), ("colour", "blue"), ("sleeves", "long")


def test_what_bad_pictures_show_and_good_ones_do_not_goes_into_the_negative_prompt():
    pictures = [(0.1, [BLUE, LONG]), (0.2, [BLUE, LONG]), (0.3, [RED]), (0.8, [RED, LONG]), (0.9, [RED, LONG])]
    counts = count_labels(pictures)
    assert counts == {BLUE: Shown(2, 0), LONG: Shown(2, 2), RED: Shown(0, 2)}
    assert contrastive_negatives([RED], counts, 3) == [BLUE]


def test_a_label_that_the_photo_has_is_never_avoided():
    counts = {BLUE: Shown(9, 0), RED: Shown(1, 9)}
    assert contrastive_negatives([BLUE], counts, 3) == []
    assert contrastive_negatives([], counts, 0) == []


# ── the simulated setting ──


def test_halving_beats_the_best_single_image_in_regret_and_in_honesty():
    rows = {row.method: row for row in simulate_choice(40, 600, seed=1)}
    single, halving = rows["best single image"], rows["halving, common seeds"]
    assert halving.regret + 2 * halving.regret_se < single.regret - 2 * single.regret_se
    assert abs(halving.bias) < single.bias / 5 and single.bias > 0.05
    confirmed = rows["halving, 8 held-out seeds"]
    assert abs(confirmed.bias) < 3 * confirmed.bias_se + 0.002


def test_screening_beats_greedy_random_and_one_at_a_time_at_every_budget():
    rows = {(row.method, row.images): row.gain for row in simulate_subsets((12, 24), 300, seed=1)}
    for images in (12, 24):
        best = rows["Plackett–Burman + foldover, shrunk", images]
        others = [gain for (method, count), gain in rows.items() if count == images and "Plackett" not in method]
        assert best > max(others)


def test_the_bench_prints_both_tables_as_text_and_as_json(capsys):
    search_simulation.main(["--trials", "20"])
    text = capsys.readouterr().out
    assert "best single image" in text and "Plackett–Burman" in text
    search_simulation.main(["--trials", "20", "--json"])
    assert len(json.loads(capsys.readouterr().out)["strategy_choice"]["rows"]) == 5
