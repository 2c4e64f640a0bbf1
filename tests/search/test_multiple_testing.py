"""Holm over a run's photos, the p-values it works on, and the mean by intention to treat."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from modiste.search.confirmation import PairedGain, decide, paired_gain
from modiste.search.multiple_testing import holm, intention_to_treat, prove_run
from modiste.search.trials import Noise


def gain_of(p: float, mean: float = 0.1) -> PairedGain:
    return PairedGain(mean, mean - 0.2, mean + 0.2, 4, p=p)


def by_closed_testing(p_values: list[float]) -> list[float]:
    """Holm's adjusted p by definition: a hypothesis falls when Bonferroni rejects every intersection it is in."""
    indices = range(len(p_values))
    intersections = [subset for size in range(1, len(p_values) + 1) for subset in combinations(indices, size)]
    bonferroni = {subset: min(1.0, len(subset) * min(p_values[i] for i in subset)) for subset in intersections}
    return [max(p for subset, p in bonferroni.items() if i in subset) for i in indices]


# ── Holm ──


def test_holm_is_the_closed_test_of_all_intersections():
    rng = random.Random(0)
    for _ in range(200):
        p_values = [rng.choice((rng.random(), rng.random() ** 4, 0.01)) for _ in range(rng.randint(1, 7))]
        assert holm(p_values) == pytest.approx(by_closed_testing(p_values))


def test_holm_gives_the_worked_figures_of_the_docstring():
    assert holm([0.4, 0.002, 0.0002, 0.03, 0.009]) == pytest.approx((0.4, 0.008, 0.001, 0.06, 0.027))


def test_adjusted_p_values_keep_their_order_never_shrink_and_do_not_depend_on_the_photos_order():
    rng = random.Random(1)
    p_values = [rng.random() ** 3 for _ in range(16)]
    adjusted = holm(p_values)
    assert all(after >= before for before, after in zip(p_values, adjusted, strict=True))
    assert sorted(range(16), key=p_values.__getitem__) == sorted(range(16), key=lambda i: (adjusted[i], p_values[i]))
    assert holm(p_values[::-1]) == adjusted[::-1]


def test_of_one_photo_holm_is_its_own_interval():
    for scores, baseline in (([0.5, 0.7, 0.6], [0.4, 0.5, 0.5]), ([0.5, 0.9, 0.6, 0.7], [0.3, 0.65, 0.42, 0.51])):
        gain = paired_gain(scores, baseline)
        assert bool(prove_run([gain]).proven) == gain.improved


def test_no_photo_and_no_p_value_prove_nothing_and_nonsense_is_refused():
    assert holm([]) == ()
    with pytest.raises(ValueError, match="1.5"):
        holm([0.1, 1.5])


# ── p-values ──


@pytest.mark.parametrize("noise", [None, Noise(0.08, 20)])
@pytest.mark.parametrize("scores", [[0.5, 0.7, 0.62], [0.2, 0.35, 0.31], [0.9] * 3, [3.0, 3.5, 2.0]])
def test_the_p_value_is_where_the_interval_begins_to_leave_0_out(scores, noise):
    baseline = [0.4, 0.5, 0.5] if len(set(scores)) > 1 else [0.3] * 3
    p = paired_gain(scores, baseline, noise=noise).p
    surer, less_sure = (
        paired_gain(scores, baseline, 1 - 0.98 * p, noise),
        paired_gain(scores, baseline, 1 - 1.02 * p, noise),
    )
    assert surer.low <= 0 <= surer.high
    assert less_sure.low > 0 or less_sure.high < 0


def test_p_values_of_no_effect_are_uniform():
    rng = random.Random(2)
    p_values = []
    for _ in range(4000):
        pairs = [[rng.gauss(0.5, 0.1) for _ in range(4)] for _ in range(2)]
        p_values.append(paired_gain(*pairs).p)
    for level in (0.01, 0.05, 0.25, 0.5):
        assert sum(p <= level for p in p_values) / 4000 == pytest.approx(
            level, abs=3 * (level * (1 - level) / 4000) ** 0.5
        )


def test_one_pair_and_the_same_pictures_have_nothing_to_test():
    assert paired_gain([0.9], [0.1]).p == 1
    same = paired_gain([0.3, 0.5], [0.3, 0.5])
    assert same.p == 1 and same.nothing_tested
    assert not paired_gain([0.0] * 4, [0.0] * 4).nothing_tested  # clipped: unlike below what the scale shows


# ── the run ──


def test_what_each_photo_shows_alone_is_not_what_the_run_proves():
    gains = [gain_of(0.02) for _ in range(5)] + [gain_of(0.5) for _ in range(11)]
    assert prove_run(gains).proven == 0
    assert prove_run(gains[:1]).proven == 1
    assert prove_run([gain_of(0.001), *gains]).proven == 1


def test_a_loss_is_proven_too_and_is_no_gain():
    run = prove_run([gain_of(0.001, -0.1), gain_of(0.4)])
    assert (run.proven, run.worse) == (0, 1)
    assert run.sentence == "proven for 0 of 2; worse for 1"
    assert prove_run([gain_of(0.001)]).sentence == "proven for 1 of 1"


def test_a_gain_that_the_judge_proves_to_be_a_loss_is_not_counted():
    gain = PairedGain(0.058, 0.02, 0.096, 6, p=0.001)
    hacked, unsure = PairedGain(-0.14, -0.211, -0.068, 6, p=0.002), PairedGain(-0.01, -0.05, 0.03, 6, p=0.5)
    assert prove_run([gain], [hacked]).proven == 0 and prove_run([gain], [hacked]).photos[0].contradicted
    assert prove_run([gain], [unsure]).proven == 1
    assert prove_run([gain], [None]).proven == prove_run([gain]).proven == 1


def test_photos_whose_candidate_is_the_baseline_are_no_tests_but_count_in_the_mean():
    same = PairedGain(0.0, 0.0, 0.0, 4)
    gains = [gain_of(0.02), *[same] * 15]
    run = prove_run(gains)
    assert run.proven == 1 and [photo.adjusted_p for photo in run.photos[1:]] == [1.0] * 15
    assert run.mean.mean == pytest.approx(0.1 / 16)
    assert intention_to_treat([same] * 3).high == 0


def test_the_mean_counts_every_candidate_whatever_was_adopted():
    gains = [gain_of(0.001, 0.3), gain_of(0.3, -0.2), gain_of(0.9, 0.05)]
    run = prove_run(gains, [gain_of(0.5, 0.02)] * 3)
    assert run.mean.mean == pytest.approx(0.05) and run.mean.n == 3
    assert run.judge_mean.mean == pytest.approx(0.02)
    assert prove_run(gains, [gain_of(0.5), None, None]).judge_mean is None
    assert prove_run(gains, garments=["a", "a", "b"]).mean.mean == pytest.approx(0.05)
    assert prove_run(gains, garments=["a", "a", "b"]).mean.n == 2


def test_the_mean_over_one_photo_has_that_photo_s_own_interval_and_photos_of_one_garment_are_its_units():
    gain, judge = gain_of(0.01, 0.05), gain_of(0.2, 0.01)
    run = prove_run([gain], [judge], ["a"])
    assert run.mean == gain and run.judge_mean == judge and run.mean.high - run.mean.low < 1
    of_one_garment = prove_run([gain_of(0.01, 0.05), gain_of(0.01, 0.07)], garments=["a", "a"]).mean
    assert of_one_garment.n == 2 and 0 < of_one_garment.high - of_one_garment.low < 0.5


def test_runs_of_sixteen_photos_without_any_effect_hardly_ever_prove_a_gain():
    rng = random.Random(3)
    claims = alone = 0
    for _ in range(400):
        gains = []
        for _ in range(16):
            luck = [rng.gauss(0.5, 0.1) for _ in range(6)]
            ours, theirs = ([level + rng.gauss(0, 0.05) for level in luck] for _ in range(2))
            gains.append(paired_gain(ours, theirs))
        claims += prove_run(gains).proven > 0
        alone += any(gain.improved for gain in gains)
    assert claims / 400 <= 0.045 and alone / 400 > 0.25


# ── one photo's decision ──

PROVEN = PairedGain(0.058, 0.02, 0.096, 6)


def test_the_judges_figure_stands_beside_every_gain():
    judge = PairedGain(0.01, -0.02, 0.04, 6)
    for gain in (PROVEN, PairedGain(0.01, -0.1, 0.12, 6), PairedGain(-0.2, -0.3, -0.1, 6)):
        assert "the judge says +1.0 points (-2.0 … +4.0)" in decide("sentence", "all_tags", gain, judge).sentence
    assert decide("sentence", "all_tags", PROVEN, judge).improved


def test_a_winner_that_the_judge_proves_against_is_not_adopted():
    verdict = decide("tag_list", "all_tags", PROVEN, PairedGain(-0.14, -0.211, -0.068, 6))
    assert verdict.arm == "all_tags" and not verdict.improved
    assert "+5.8 points" in verdict.sentence and "proves a loss of -14.0 points (-21.1 … -6.8)" in verdict.sentence
