"""One rule decides base against tuned: the command and ComfyUI's node on the same scores, and its arithmetic."""

from __future__ import annotations

from pathlib import Path
from random import Random
from statistics import fmean

import pytest

from modiste.nodes.vision.comparison import PairScores, StrengthSweep
from modiste.reports.comparison import Verdict
from modiste.routes.compare.report import gains_of
from modiste.routes.compare.rule import choose_strength, gain_over_garments
from modiste.routes.compare.tagged_pictures import TaggedPicture
from modiste.routes.compare.verdict import verdict_of
from modiste.routes.evaluator import Candidate, Picture
from modiste.runs.journal import Score

PHOTOS, SEEDS = 5, 3


def random_scores(rng: Random, gain: float) -> list[float]:
    return [rng.gauss(0.4 + gain, 0.15) for _ in range(PHOTOS * SEEDS)]


def by_command(arms: dict[str, PairScores]) -> Verdict:
    """The report's verdict on pictures with these scores, which all show the photo's colour."""
    pictures = [
        TaggedPicture(
            arm=arm,
            garment=f"garment {index // SEEDS}",
            photo=index // SEEDS,
            picture=Picture(Candidate(arm, None, index), Path("drawn.png"), Score(score, score, score, score), 0.0),
            judge=scores.judge and Score(*[scores.judge[index]] * 4),
            shows={"colour": True},
            embed=None,
        )
        for arm, scores in arms.items()
        for index, score in enumerate(scores.scorer)
    ]
    judged = arms["tuned"].judge is not None
    return verdict_of(gains_of(pictures, judged), judged, 0.8)


def by_node(base: PairScores, tuned: PairScores) -> StrengthSweep:
    witnesses = [index // SEEDS for index in range(PHOTOS * SEEDS)]
    return StrengthSweep([], fmean(base.scorer), 0.8, tuned.over(base, witnesses), False, [], [])


@pytest.mark.parametrize("judged", [True, False])
def test_command_and_node_come_to_the_same_decision_on_the_same_scores(judged):
    rng, decisions = Random(7), []
    for _ in range(150):
        gain, judge_gain = rng.choice([-0.3, -0.1, 0.0, 0.1, 0.3]), rng.choice([-0.2, 0.0, 0.2])
        base, tuned = (
            PairScores(random_scores(rng, at), random_scores(rng, by_judge) if judged else None)
            for at, by_judge in ((0.0, 0.0), (gain, judge_gain))
        )
        arms = {"name": base, "words": base, "base": base, "tuned": tuned, "tuned_words": base}
        verdict, decision = by_command(arms), by_node(base, tuned).decision
        assert (decision.outcome.value, decision.level and decision.level.value) == (verdict.decision, verdict.level)
        decisions.append(verdict.decision)
    assert set(decisions) == {"training", "no difference", "worse than base"}, "every decision was among them"


def test_of_strengths_within_a_standard_error_of_the_best_the_weakest_is_chosen():
    assert choose_strength({0.4: [0.1, 0.2, 0.1], 0.8: [0.5, 0.7, 0.6], 1.2: [0.6, 0.6, 0.65]}) == 0.8
    assert choose_strength({0.4: [0.1, 0.2, 0.1], 0.8: [0.5, 0.6, 0.5], 1.2: [0.7, 0.8, 0.7]}) == 1.2
    assert choose_strength({1.0: [0.2]}) == 1.0


def test_pictures_of_one_garment_are_one_witness():
    gain = gain_over_garments([0.9, 0.8, 0.4, 0.5], [0.5, 0.5, 0.3, 0.3], ["coat", "coat", "dress", "dress"])
    assert gain.n == 2 and gain.mean == pytest.approx(0.25)
    same = gain_over_garments([0.4, 0.5], [0.4, 0.5], ["coat", "dress"])
    assert (same.mean, same.low, same.high, same.n) == (0, 0, 0, 2)
