"""Words or weights: the one rule, over every way in which score and judge can see three comparisons."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest

from modiste.search.confirmation import PairedGain
from modiste.search.route_decision import Evidence, Level, RouteOutcome, decide_route, weakest

UP, LEANS_UP, NOTHING, LEANS_DOWN, DOWN = (
    PairedGain(0.2, 0.1, 0.3, 8),
    PairedGain(0.1, -0.1, 0.3, 8),
    PairedGain(0.0, -0.2, 0.2, 8),
    PairedGain(-0.1, -0.3, 0.1, 8),
    PairedGain(-0.2, -0.3, -0.1, 8),
)
SEEN = (UP, LEANS_UP, NOTHING, LEANS_DOWN, DOWN)
EVIDENCE = [Evidence(score, judge) for score in SEEN for judge in (*SEEN, None)]
FIRM = {"up": Evidence(UP, UP), "even": Evidence(NOTHING, NOTHING), "down": Evidence(DOWN, DOWN)}


def direction(evidence: Evidence) -> int:
    return bool(evidence.gain) - bool(evidence.loss)


# ── one comparison ──


@pytest.mark.parametrize(
    ("score", "judge", "gain", "loss"),
    [
        (UP, UP, Level.PROVEN, None),
        (UP, LEANS_UP, Level.LIKELY, None),
        (UP, NOTHING, None, None),
        (UP, LEANS_DOWN, None, None),
        (UP, DOWN, None, None),
        (UP, None, Level.ONE_WITNESS, None),
        (LEANS_UP, UP, None, None),
        (LEANS_DOWN, DOWN, None, None),
        (DOWN, DOWN, None, Level.PROVEN),
        (DOWN, LEANS_DOWN, None, Level.LIKELY),
        (DOWN, NOTHING, None, None),
        (DOWN, UP, None, None),
        (DOWN, None, None, Level.ONE_WITNESS),
        (NOTHING, None, None, None),
    ],
)
def test_a_step_is_proven_by_both_likely_by_one_that_leans_and_open_where_they_disagree(score, judge, gain, loss):
    assert (Evidence(score, judge).gain, Evidence(score, judge).loss) == (gain, loss)


def test_gain_and_loss_are_mirror_images():
    def turned(gain):
        return gain and PairedGain(-gain.mean, -gain.high, -gain.low, gain.n)

    for evidence in EVIDENCE:
        assert Evidence(turned(evidence.score), turned(evidence.judge)).loss == evidence.gain


# ── the table ──


@pytest.mark.parametrize(
    ("tuned_base", "tuned_words", "words_base", "outcome"),
    [
        ("up", "up", "up", RouteOutcome.TRAINING),
        ("up", "up", "even", RouteOutcome.TRAINING),
        ("up", "up", "down", RouteOutcome.TRAINING),
        ("up", "even", "up", RouteOutcome.WORDS),
        ("even", "even", "up", RouteOutcome.WORDS),
        ("up", "down", "up", RouteOutcome.WORSE_THAN_WORDS),
        ("even", "down", "up", RouteOutcome.WORSE_THAN_WORDS),
        ("even", "down", "even", RouteOutcome.WORSE_THAN_WORDS),
        ("down", "down", "up", RouteOutcome.WORSE_THAN_BASE),
        ("down", "down", "even", RouteOutcome.WORSE_THAN_BASE),
        ("down", "even", "even", RouteOutcome.WORSE_THAN_BASE),
        ("down", "up", "down", RouteOutcome.WORSE_THAN_BASE),
        ("even", "even", "even", RouteOutcome.NO_DIFFERENCE),
        ("up", "even", "even", RouteOutcome.NO_DIFFERENCE),
        ("even", "up", "even", RouteOutcome.NO_DIFFERENCE),
        ("even", "up", "down", RouteOutcome.NO_DIFFERENCE),
        ("even", "even", "down", RouteOutcome.NO_DIFFERENCE),
    ],
)
def test_three_comparisons_come_to_one_outcome(tuned_base, tuned_words, words_base, outcome):
    assert decide_route(FIRM[tuned_base], FIRM[tuned_words], FIRM[words_base]).outcome is outcome


def test_a_loss_to_the_words_is_no_praise_for_beating_the_base():
    decision = decide_route(
        tuned_base=Evidence(PairedGain(0.25, 0.12, 0.30, 16), UP),
        tuned_words=Evidence(PairedGain(-0.30, -0.40, -0.20, 16), DOWN),
        words_base=Evidence(PairedGain(0.55, 0.4, 0.7, 16), UP),
    )
    assert decision.outcome is RouteOutcome.WORSE_THAN_WORDS and decision.level is Level.PROVEN


def test_over_every_combination_the_outcome_is_the_table_and_no_proven_loss_is_lost():
    counted = Counter()
    for evidence in product(EVIDENCE, repeat=3):
        decision = decide_route(*evidence)
        tuned_base, tuned_words, words_base = map(direction, evidence)
        wanted = RouteOutcome.NO_DIFFERENCE
        if tuned_base < 0:
            wanted = RouteOutcome.WORSE_THAN_BASE
        elif tuned_words < 0:
            wanted = RouteOutcome.WORSE_THAN_WORDS
        elif tuned_base > 0 and tuned_words > 0:
            wanted = RouteOutcome.TRAINING
        elif tuned_words == 0 and words_base > 0:
            wanted = RouteOutcome.WORDS
        assert decision.outcome is wanted
        below = [one for pair in evidence for one in (pair.score, pair.judge) if one is not None and one.high < 0]
        assert [loss.gain for loss in decision.losses] == below
        assert decision.judged == all(pair.judge is not None for pair in evidence)
        assert (decision.level is None) == (decision.outcome is RouteOutcome.NO_DIFFERENCE)
        counted[decision.outcome] += 1
    assert set(counted) == set(RouteOutcome) - {RouteOutcome.CHANGES_NOTHING}


def test_training_is_as_sure_as_the_weaker_of_its_two_steps():
    likely, alone = Evidence(UP, LEANS_UP), Evidence(UP)
    assert decide_route(FIRM["up"], likely, FIRM["up"]).level is Level.LIKELY
    assert decide_route(likely, FIRM["up"], FIRM["up"]).level is Level.LIKELY
    assert decide_route(alone, alone, alone).level is Level.ONE_WITNESS
    assert decide_route(FIRM["up"], FIRM["up"], alone).level is Level.PROVEN
    assert weakest([None, Level.PROVEN, Level.ONE_WITNESS, Level.LIKELY]) is Level.ONE_WITNESS
    assert weakest([]) is None


def test_without_a_judge_every_claim_says_so():
    for tuned_base, tuned_words, words_base in product(SEEN, repeat=3):
        decision = decide_route(Evidence(tuned_base), Evidence(tuned_words), Evidence(words_base))
        assert not decision.judged and decision.level in (None, Level.ONE_WITNESS)


def test_identical_pictures_change_nothing_whatever_else_was_measured():
    decision = decide_route(FIRM["even"], FIRM["down"], FIRM["up"], identical=True)
    assert decision.outcome is RouteOutcome.CHANGES_NOTHING and decision.level is Level.PROVEN
    assert [(loss.pair, loss.witness) for loss in decision.losses] == [
        ("tuned_words", "score"),
        ("tuned_words", "judge"),
    ]


def test_where_no_words_were_drawn_training_has_to_beat_the_base_alone():
    assert decide_route(FIRM["up"]).outcome is RouteOutcome.TRAINING
    assert decide_route(FIRM["even"]).outcome is RouteOutcome.NO_DIFFERENCE
    assert decide_route(FIRM["down"]).outcome is RouteOutcome.WORSE_THAN_BASE
