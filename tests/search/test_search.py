"""Search: seeds, halving, the budget, and the confirmation that keeps it honest."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from pathlib import Path

import pytest

from modiste.core.errors import InputError
from modiste.search.budget import plan_budget
from modiste.search.confirmation import Decision, PairedGain, decide, mean_gain, paired_gain
from modiste.search.halving import Rung, SuccessiveHalving, ladder
from modiste.search.priors import ArmPrior
from modiste.search.seeds import seed_plan
from modiste.search.student_t import student_cdf, student_quantile
from modiste.search.trials import Noise, Trial, TrialKey, paired_fit

ROOT = Path(__file__).parents[2]
ARMS = tuple("abcdefghij")
SEEDS = seed_plan(7, 20, 8).search


def picture(arm: str, seed: int) -> float:
    """A fixed score for every picture: the arm's worth (a worst, j best), the seed's luck, and their own."""
    luck = random.Random(f"{seed}").gauss(0, 0.3)
    return 0.05 * ARMS.index(arm) + luck + random.Random(f"{arm}{seed}").gauss(0, 0.03)


def drawn(shots: list[TrialKey]) -> list[Trial]:
    return [Trial(shot.arm, shot.seed, picture(shot.arm, shot.seed)) for shot in shots]


def finished(search: SuccessiveHalving) -> SuccessiveHalving:
    while shots := search.ask():
        search.tell(drawn(shots))
    return search


# --- seeds --------------------------------------------------------------------------------------------------


def test_search_and_confirm_seeds_are_disjoint_and_fit_every_host():
    for base in (0, 1, -5, 2**70):
        plan = seed_plan(base, 300, 300)
        assert len({*plan.search, *plan.confirm}) == 600
        assert all(0 <= seed < 2**32 for seed in (*plan.search, *plan.confirm))


def test_seeds_are_the_same_on_every_platform_and_in_every_version():
    plan = seed_plan(0, 3, 2)
    assert plan.search == (716812492, 735859734, 3178966158)
    assert plan.confirm == (3707221217, 1947176153)


def test_asking_for_more_seeds_keeps_the_first_ones():
    small, large = seed_plan(3, 4, 2), seed_plan(3, 40, 20)
    assert large.search[:4] == small.search
    assert large.confirm[:2] == small.confirm
    assert seed_plan(4, 4, 2).search != small.search


def test_a_negative_number_of_seeds_is_refused():
    with pytest.raises(InputError, match="-1"):
        seed_plan(0, -1, 2)


# --- trials -------------------------------------------------------------------------------------------------


def test_with_every_arm_on_every_seed_the_fit_gives_the_plain_means():
    trials = drawn([TrialKey(arm, seed) for arm in "abc" for seed in SEEDS[:5]])
    fit = paired_fit(trials)
    for arm in "abc":
        assert fit.means[arm] == pytest.approx(sum(picture(arm, seed) for seed in SEEDS[:5]) / 5)
    assert fit.noise.df == (3 - 1) * (5 - 1)


def test_an_arm_drawn_on_the_hard_seeds_only_is_not_punished_for_them():
    easy, hard = {1: 0.5, 2: 0.6}, {3: -0.5, 4: -0.6}
    trials = [Trial("a", seed, luck) for seed, luck in (easy | hard).items()]
    trials += [Trial("b", seed, luck + 0.1) for seed, luck in hard.items()]
    fit = paired_fit(trials)
    assert fit.means["b"] - fit.means["a"] == pytest.approx(0.1)
    assert fit.noise.sd == pytest.approx(0, abs=1e-12)


def test_the_residual_noise_is_that_of_the_pictures():
    rng = random.Random(0)
    trials = [Trial(str(arm), seed, arm + 5 * seed + rng.gauss(0, 0.2)) for arm in range(20) for seed in range(50)]
    assert paired_fit(trials).noise.sd == pytest.approx(0.2, rel=0.05)


def test_a_score_that_is_no_number_is_refused_with_its_place():
    with pytest.raises(InputError, match="'a'.*seed 5"):
        Trial("a", 5, math.nan)


# --- halving ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arms", range(2, 31))
def test_no_ladder_costs_more_than_its_budget_or_wastes_a_rung(arms):
    for budget in range(2, 81):
        rungs = ladder(arms, budget)
        assert sum(rung.images for rung in rungs) <= budget
        assert all(above.arms > below.arms >= 2 for above, below in zip(rungs, rungs[1:], strict=False))
        assert budget - sum(rung.images for rung in rungs) < rungs[-1].arms


@pytest.mark.parametrize("arms", range(2, 31))
def test_finalists_have_met_on_three_seeds_wherever_six_images_can_be_searched_with(arms):
    for budget in range(6, 81):
        rungs = ladder(arms, budget)
        assert sum(rung.seeds for rung in rungs) >= 3
        assert all(
            rung.arms * 2 / 3 >= below.arms or below.arms == 2 for rung, below in zip(rungs, rungs[1:], strict=False)
        )
    assert ladder(arms, 5) == (Rung(min(arms, 5), 5 // min(arms, 5)),)


def test_the_ladders_at_the_recommended_budgets_are_those_of_the_documents():
    shapes = {total: ladder(13, plan_budget(total, 13).search) for total in (8, 16, 24, 40)}
    assert shapes == {
        8: (Rung(3, 1),),
        16: (Rung(5, 1), Rung(2, 2)),
        24: (Rung(7, 1), Rung(3, 1), Rung(2, 1)),
        40: (Rung(11, 1), Rung(7, 1), Rung(4, 1)),
    }
    assert ladder(13, 40) == (Rung(13, 1), Rung(8, 1), Rung(5, 1), Rung(3, 4))
    assert ladder(1, 40) == ladder(13, 1) == ()


def test_every_arm_of_a_rung_is_drawn_on_the_same_seeds():
    search = SuccessiveHalving(ARMS, SEEDS, 40)
    while shots := search.ask():
        by_arm = {shot.arm: {s.seed for s in shots if s.arm == shot.arm} for shot in shots}
        assert len(set(map(frozenset, by_arm.values()))) == 1
        search.tell(drawn(shots))
    assert search.done and search.spent <= 40


def test_the_best_arm_wins_although_seeds_matter_more_than_arms():
    search = finished(SuccessiveHalving(ARMS, SEEDS, 40))
    ranking = search.ranking()
    assert search.winner == "j" == ranking[0].arm
    assert ranking[0].standing == "winner"
    assert [standing.standing for standing in ranking[1:]] == ["dropped"] * 9
    assert sum(standing.n for standing in ranking) == search.spent
    assert all(upper.rungs >= lower.rungs for upper, lower in zip(ranking, ranking[1:], strict=False))


def test_estimates_compare_arms_that_were_drawn_on_different_seeds():
    ranking = finished(SuccessiveHalving(ARMS, SEEDS, 40)).ranking()
    worth = {standing.arm: standing.estimate - 0.05 * ARMS.index(standing.arm) for standing in ranking}
    assert max(worth.values()) - min(worth.values()) < 0.12  # the seeds' luck alone has sd 0.3
    assert ranking[0].mean == pytest.approx(sum(picture("j", seed) for seed in SEEDS[: ranking[0].n]) / ranking[0].n)


def test_told_a_journal_in_any_order_and_portion_the_search_is_where_it_was():
    whole = SuccessiveHalving(ARMS, SEEDS, 40)
    asked = []
    while shots := whole.ask():
        asked.append(shots)
        whole.tell(drawn(shots))
    journal = drawn([shot for shots in asked for shot in shots])
    for cut in range(0, len(journal) + 1, 3):
        resumed = SuccessiveHalving(ARMS, SEEDS, 40)
        resumed.tell(reversed(journal[:cut]))
        assert resumed.spent == cut
        told = {trial.shot for trial in journal[:cut]}
        while shots := resumed.ask():
            assert not told & set(shots)
            resumed.tell(drawn(shots))
        assert resumed.ranking() == whole.ranking()


def test_pictures_outside_the_plan_change_nothing():
    search = SuccessiveHalving(ARMS, SEEDS, 40)
    search.tell([Trial("a", SEEDS[15], 99.0), Trial("a", 1234567, 99.0)])
    assert finished(search).ranking() == finished(SuccessiveHalving(ARMS, SEEDS, 40)).ranking()


def test_with_fewer_images_than_arms_the_first_are_drawn_and_the_others_named():
    search = finished(SuccessiveHalving(ARMS, SEEDS, 3))
    assert search.spent == 3 and search.winner == "c"
    assert [standing.arm for standing in search.ranking() if standing.standing == "not drawn"] == list("defghij")


def test_with_fewer_images_than_arms_the_most_promising_are_drawn():
    priors = {arm: ArmPrior(mean=place, sd=10, n=4) for place, arm in enumerate(ARMS)}
    assert {shot.arm for shot in SuccessiveHalving(ARMS, SEEDS, 3, priors).ask()} == set("jih")


def test_an_arm_without_hope_is_not_drawn():
    priors = {arm: ArmPrior(mean=0.0, sd=0.02, n=40) for arm in ARMS} | {"a": ArmPrior(mean=-1.0, sd=0.02, n=40)}
    search = finished(SuccessiveHalving(ARMS, SEEDS, 40, priors))
    assert search.ranking()[-1].arm == "a" and search.ranking()[-1].n == 0


def test_one_lucky_picture_does_not_overrule_what_forty_photos_taught():
    priors = {"good": ArmPrior(mean=0.10, sd=0.02, n=40), "poor": ArmPrior(mean=0.06, sd=0.02, n=40)}
    for known, winner in ((priors, "good"), (None, "poor")):
        search = SuccessiveHalving(["poor", "good"], [0], 2, known)
        search.tell([Trial("good", 0, 0.50), Trial("poor", 0, 0.51)])
        assert search.winner == winner


def test_a_single_arm_needs_no_picture():
    search = SuccessiveHalving(["only"], SEEDS, 40)
    assert search.done and search.winner == "only" and search.ask() == []
    assert search.ranking()[0].mean is None


def test_the_same_scores_again_are_welcome_and_other_scores_are_not():
    search = SuccessiveHalving(ARMS, SEEDS, 40)
    trials = drawn(search.ask())
    search.tell(trials)
    search.tell(trials)
    with pytest.raises(InputError, match="scored"):
        search.tell([Trial(trials[0].arm, trials[0].seed, 0.123)])
    with pytest.raises(InputError, match="'z'"):
        search.tell([Trial("z", SEEDS[0], 0.5)])


@pytest.mark.parametrize(
    ("arms", "seeds", "budget", "words"),
    [
        ([], [1], 4, "at least one arm"),
        (["a", "a"], [1], 4, "arm given twice: a"),
        (["a"], [], 4, "at least one seed"),
        (["a"], [1, 1], 4, "seed given twice: 1"),
        (["a"], [1], 0, "budget of 0"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(arms, seeds, budget, words):
    with pytest.raises(InputError, match=words):
        SuccessiveHalving(arms, seeds, budget)


def test_a_search_ends_when_the_seeds_are_used_up():
    search = finished(SuccessiveHalving(ARMS, SEEDS[:2], 400))
    assert search.done and search.spent <= 20 and search.winner in "hij"


# --- the budget ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minimal", [True, False])
@pytest.mark.parametrize("arms", [1, 2, 5, 10, 20])
def test_the_plan_never_exceeds_the_budget_and_says_what_each_image_is_for(arms, minimal):
    for total in range(5, 121):
        plan = plan_budget(total, arms, minimal)
        assert plan.search + plan.confirm <= total
        assert plan.winner == plan.baseline == plan.confirm_seeds >= 1
        assert plan.minimal == (minimal and (1 if total < 20 else plan.confirm_seeds))
        assert plan.search_seeds >= sum(rung.seeds for rung in ladder(arms, max(1, plan.search)))


@pytest.mark.parametrize("total", [12, 13, 14, 15, 16, 17, 18, 19])
def test_below_twenty_images_three_or_four_seeds_are_held_out(total):
    assert plan_budget(total, 10).confirm_seeds in (3, 4)


def test_more_images_prove_more_and_choose_better():
    plans = [plan_budget(total, 10) for total in (8, 16, 24, 32, 40)]
    assert [plan.confirm_seeds for plan in plans] == [2, 3, 4, 5, 6]
    assert [plan.search for plan in plans] == [3, 9, 12, 17, 22]


def test_a_budget_that_can_not_prove_anything_is_refused():
    with pytest.raises(InputError, match="4 images"):
        plan_budget(4, 10)


def test_with_chance_photos_try_different_arms_and_one_photo_always_the_same():
    def tried(photo: int) -> set[str]:
        return {shot.arm for shot in SuccessiveHalving(ARMS, SEEDS, 3, rng=random.Random(photo)).ask()}

    assert tried(1) == tried(1) and len(tried(1)) == 3
    assert set().union(*map(tried, range(20))) == set(ARMS)


# --- confirmation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "df", "t"),
    [  # tables of Student's distribution
        (0.975, 1, 12.706204736),
        (0.975, 2, 4.302652730),
        (0.975, 3, 3.182446305),
        (0.975, 7, 2.364624252),
        (0.95, 10, 1.812461123),
        (0.995, 30, 2.749995654),
        (0.9995, 5, 6.868826626),
        (0.975, 1000, 1.962339081),
        (0.975, 1e6, 1.959966),
        (0.5, 4, 0.0),
        (0.025, 3, -3.182446305),
    ],
)
def test_students_quantiles_are_those_of_the_tables(p, df, t):
    assert student_quantile(p, df) == pytest.approx(t, abs=1e-6)
    assert student_cdf(student_quantile(p, df), df) == pytest.approx(p, abs=1e-10)


def test_the_interval_is_students_on_the_differences():
    gain = paired_gain([0.5, 0.7, 0.6], [0.4, 0.5, 0.5])
    half = 4.302652730 * math.sqrt(((0.1 - 0.4 / 3) ** 2 * 2 + (0.2 - 0.4 / 3) ** 2) / 2 / 3)
    assert (gain.mean, gain.low, gain.high) == pytest.approx((0.4 / 3, 0.4 / 3 - half, 0.4 / 3 + half))
    assert gain.n == 3 and not gain.improved
    t = 4.302652730 * gain.mean / half
    for either in (gain, paired_gain([0.4, 0.5, 0.5], [0.5, 0.7, 0.6])):  # Student's distribution of 2 degrees
        assert either.p == pytest.approx(1 - t / math.sqrt(2 + t**2)) and either.note == ""
    surer = paired_gain([0.5, 0.7, 0.6], [0.4, 0.5, 0.5], 0.5)
    assert surer.confidence == 0.5 and surer.high - surer.mean == pytest.approx(0.816496581 * half / 4.302652730)
    assert surer == paired_gain([0.5, 0.7, 0.6], [0.4, 0.5, 0.5], confidence=0.5, noise=None)


def scores_of(level: float, shape: str, n: int, rng: random.Random) -> tuple[list[float], list[float]]:
    """Two arms of equal worth on common seeds; clipped or tied as calibrated scores are."""
    luck = [rng.gauss(level, 0.15) for _ in range(n)]
    pair = []
    for _ in range(2):
        scores = [value + rng.gauss(0, 0.1) for value in luck]
        if shape == "tied":
            scores = [round(value * 8) / 8 for value in scores]
        pair.append(scores if shape == "plain" else [min(1.0, max(0.0, value)) for value in scores])
    return pair[0], pair[1]


@pytest.mark.parametrize("n", [2, 3, 6, 8])
@pytest.mark.parametrize(("level", "shape"), [(0.5, "plain"), (0.02, "clipped"), (0.95, "clipped"), (0.95, "tied")])
def test_an_a_a_run_covers_zero_in_93_of_100_trials(n, level, shape):
    rng = random.Random(n)
    gains = [paired_gain(*scores_of(level, shape, n, rng)) for _ in range(1000)]
    assert sum(gain.low <= 0 <= gain.high for gain in gains) >= 930
    if shape == "plain":
        assert sum(gain.low <= 0 <= gain.high for gain in gains) <= 970  # and is not wider than it must be


def test_the_searchs_noise_narrows_the_interval_of_few_seeds_and_keeps_its_coverage():
    rng = random.Random(1)
    covered, narrower = 0, 0
    for _ in range(1000):
        noise = Noise(0.1 * math.sqrt(rng.gammavariate(20 / 2, 2) / 20), 20)
        pairs = scores_of(0.5, "plain", 3, rng)
        alone, moderated = paired_gain(*pairs), paired_gain(*pairs, noise=noise)
        covered += moderated.low <= 0 <= moderated.high
        narrower += moderated.high - moderated.low < alone.high - alone.low
    assert covered >= 930 and narrower >= 750


def test_the_searchs_noise_weighs_as_much_as_eight_degrees_of_freedom_however_many_pictures_it_saw():
    ours, theirs, sd = [0.5, 0.7, 0.6], [0.4, 0.5, 0.5], 0.1
    squares = (0.1 - 0.4 / 3) ** 2 * 2 + (0.2 - 0.4 / 3) ** 2 + 8 * 2 * sd**2  # a difference has the noise of two
    half = 2.228138852 * math.sqrt(squares / (2 + 8) / 3)  # t of 10 degrees of freedom, 0.975
    for df in (8, 20, 1000):
        gain = paired_gain(ours, theirs, noise=Noise(sd, df))
        assert (gain.low, gain.high) == pytest.approx((0.4 / 3 - half, 0.4 / 3 + half))


def test_noise_of_a_single_degree_of_freedom_counts_and_of_none_does_not():
    ours, theirs = [0.5, 0.7, 0.6], [0.4, 0.5, 0.5]
    squares = (0.1 - 0.4 / 3) ** 2 * 2 + (0.2 - 0.4 / 3) ** 2 + 2 * 0.1**2
    gain = paired_gain(ours, theirs, noise=Noise(0.1, 1))
    assert gain.high - gain.mean == pytest.approx(3.182446305 * math.sqrt(squares / 3 / 3))  # t of 3 degrees of freedom
    assert paired_gain(ours, theirs, noise=Noise(0.1, 0)) == paired_gain(ours, theirs)


def test_one_pair_proves_nothing_and_says_so():
    gain = paired_gain([0.9], [0.1])
    assert (gain.low, gain.high, gain.improved, gain.p) == (-1.0, 1.0, False, 1.0)
    assert gain.note == "one pair has no spread: the interval is the whole scale"
    equal = paired_gain([0.5], [0.5])
    assert (equal.low, equal.high) == (-1.0, 1.0) and "one pair" in equal.note


def test_equal_differences_are_not_taken_for_certainty():
    gain = paired_gain([0.9] * 3, [0.8] * 3)
    allows = "all 3 differences are equal, as clipped scores are: the interval allows for values not seen yet"
    assert gain.low < 0 < gain.high and gain.note == allows
    unseen = 1 - 0.025 ** (1 / 3)  # Clopper and Pearson: as much as that of the scale, −1 … 1, on either side
    assert (gain.low, gain.high) == pytest.approx((0.1 - unseen * 1.1, 0.1 + unseen * 0.9))
    assert gain.p == 1.0 and paired_gain([0.0] * 4, [0.0] * 4).p == 1.0  # a probability, whatever the formula gives
    assert paired_gain([1.0] * 8, [0.0] * 8).p == pytest.approx(2 * 0.5**8)
    assert paired_gain([1.0] * 8, [0.0] * 8).improved  # eight seeds, each from nothing to all
    assert not paired_gain([1.0] * 2, [0.0] * 2).improved
    clipped = paired_gain([0.0] * 4, [0.0] * 4)
    assert clipped.low < 0 < clipped.high  # nothing was seen below the scale
    rounded = mean_gain([0.2, 0.2 + 4e-10, 0.2])  # rounding is no spread
    assert rounded.low < 0 < rounded.high and "equal" in rounded.note
    assert "equal" not in mean_gain([0.2, 0.2 + 4e-8, 0.2]).note


def test_the_same_pictures_gain_exactly_nothing():
    gain = paired_gain([0.3, 0.5, 0.4], [0.3, 0.5, 0.4])
    assert (gain.mean, gain.low, gain.high, gain.improved) == (0, 0, 0, False)
    assert gain.note == "winner and baseline are the same pictures"
    assert (gain.confidence, gain.p, gain.n, gain.nothing_tested) == (0.95, 1.0, 3, True)
    assert paired_gain([0.0, 0.5], [0.0, 0.5]).nothing_tested and paired_gain([0.2, 1.0], [0.2, 1.0]).nothing_tested
    for clipped in ([1.0, 1.0], [0.0, 1.0]):
        assert not paired_gain(clipped, clipped).nothing_tested


@pytest.mark.parametrize("confidence", [-0.1, 0, 1, 1.5, math.nan])
def test_a_confidence_that_is_none_is_refused(confidence):
    with pytest.raises(InputError) as caught:
        mean_gain([0.1, 0.2], confidence=confidence)
    assert str(caught.value) == f"a confidence of {confidence} is none; give one between 0 and 1, e.g. 0.95"
    assert mean_gain([0.1, 0.2], confidence=0.5).confidence == 0.5
    assert mean_gain([0.1, 0.2], ["a", "b"], 0.5) == mean_gain([0.1, 0.2], None, 0.5)


def test_an_interval_ends_where_the_scale_does_unless_scores_go_beyond_it():
    gain = paired_gain([0.9, 0.1], [0.1, 0.5])
    assert (gain.low, gain.high) == (-1, 1)
    unclipped = paired_gain([3.0, 0.1], [0.1, 0.5])
    assert unclipped.low < -2.9 and unclipped.high > 2.9, "the largest difference seen bounds no mean"


def test_scores_that_are_no_pairs_are_refused():
    with pytest.raises(InputError) as caught:
        paired_gain([0.1, 0.2], [0.1])
    pairs = "2 scores of the winner and 1 of the baseline are no pairs"
    assert str(caught.value) == f"{pairs}; score both on every confirm seed"
    for scores in ([], [math.nan], [0.1, math.inf]):
        with pytest.raises(InputError, match="^a gain needs at least one pair of finite scores") as caught:
            paired_gain(scores, [0.5] * len(scores))
        assert caught.value.to_try == "confirm on 2 seeds or more"
    with pytest.raises(ValueError):
        mean_gain([0.1, 0.2], ["a photo"])


def test_pictures_of_one_photo_are_one_witness():
    gains = [0.1, 0.1, 0.1, 0.1, 0.3, 0.2]
    photos = ["a", "a", "a", "a", "b", "c"]
    assert mean_gain(gains, photos) == mean_gain([0.1, 0.3, 0.2])
    assert mean_gain(gains, photos).n == 3


def test_the_interval_over_photos_covers_the_truth_although_photos_differ():
    rng = random.Random(2)
    covered = 0
    for _ in range(1000):
        gains, photos = [], []
        for photo in range(6):
            own = rng.gauss(0.2, 0.1)
            for _ in range(4):
                gains.append(own + rng.gauss(0, 0.02))
                photos.append(photo)
        gain = mean_gain(gains, photos)
        covered += gain.low <= 0.2 <= gain.high
    assert 930 <= covered <= 970


def test_only_a_proven_winner_is_adopted():
    proven, open_, worse = (
        PairedGain(0.2, 0.1, 0.3, 4),
        PairedGain(0.2, -0.1, 0.5, 4),
        PairedGain(-0.2, -0.3, -0.1, 4),
    )
    assert decide("sentence", "all_tags", proven).arm == "sentence"
    sentence = decide("sentence", "all_tags", proven).sentence
    assert sentence == "sentence beats all_tags by +20.0 points (+10.0 … +30.0) on 4 held-out seeds."
    for gain in (open_, worse):
        verdict = decide("sentence", "all_tags", gain)
        assert verdict.arm == "all_tags" and not verdict.improved
        assert verdict.sentence.startswith("No improvement found")
    none, seeds = "No improvement found: ", "on 4 held-out seeds"
    loss = "-20.0 points (-30.0 … -10.0)"
    assert decide("sentence", "all_tags", worse).sentence == f"{none}sentence is worse than all_tags, {loss} {seeds}."
    points = f"+20.0 points (-10.0 … +50.0) {seeds}"
    assert decide("sentence", "all_tags", open_).sentence == f"{none}sentence against all_tags is {points}."
    second = f"; the judge says {loss}"
    assert (
        decide("sentence", "all_tags", open_, worse).sentence == f"{none}sentence against all_tags is {points}{second}."
    )
    touching = decide("sentence", "all_tags", PairedGain(-0.1, -0.2, 0, 4))
    assert "against" in touching.sentence, "an interval that ends at 0 proves no loss"
    same = decide("all_tags", "all_tags", proven)
    assert same == Decision("all_tags", False, f"{none}all_tags itself came out best.")
    noted = decide("sentence", "all_tags", PairedGain(0.2, -1, 1, 1, note="one pair has no spread")).sentence
    assert noted.endswith("is +20.0 points (-100.0 … +100.0) on 1 held-out seed (one pair has no spread).")


def test_the_room_is_imported_without_numpy():
    program = "import sys, modiste.search.halving, modiste.search.confirmation; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"


def test_a_winner_that_the_judge_proves_to_be_worse_is_not_adopted():
    gain, loss = PairedGain(0.06, 0.02, 0.1, 6), PairedGain(-0.14, -0.21, -0.07, 6)
    decision = decide("sentence", "all_tags", gain, loss)
    beats = "sentence beats all_tags by +6.0 points (+2.0 … +10.0) on 6 held-out seeds"
    proves = "the judge proves a loss of -14.0 points (-21.0 … -7.0)"
    assert decision == Decision("all_tags", False, f"No improvement found: {beats}, but {proves}.")
    unsure = decide("sentence", "all_tags", gain, PairedGain(-0.01, -0.05, 0.03, 6))
    assert unsure == Decision("sentence", True, f"{beats}; the judge says -1.0 points (-5.0 … +3.0).")
    assert decide("sentence", "all_tags", gain, PairedGain(-0.1, -0.2, 0, 6)).improved
