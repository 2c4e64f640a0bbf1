"""Paired gains → the verdict of the report: which route paid, for what, and what it cost in obedience."""

from __future__ import annotations

from collections.abc import Sequence

from ...reports.comparison import Gain, Verdict
from ...reports.prompt import Interval
from .rule import Evidence, decide

KEPT = -0.1  # adherence that may go before it counts as lost
SMALL_CHANGE = 0.02  # adherence; a gain beyond it is more than what tags name


def verdict_of(gains: Sequence[Gain], judged: bool, strength: float | None) -> Verdict:
    """The decision of rule.py with what stands beside it; the sentences are written later.

    What is beside the decision differs only where its whole interval lies on one side of 0.
    """

    def interval(arm: str, over: str, by: str, group: str | None = None) -> Interval:
        return next(g.interval for g in gains if (g.arm, g.over, g.by, g.group) == (arm, over, by, group))

    def evidence(arm: str, over: str) -> Evidence:
        return Evidence(interval(arm, over, "scorer"), interval(arm, over, "judge") if judged else None)

    decision = decide(evidence("tuned", "words"), evidence("tuned", "base"))
    paid = decision == "training"
    groups = list(dict.fromkeys(gain.group for gain in gains if gain.group))
    obedience = interval("tuned_words", "words", "agreement")
    named = interval("tuned", "words", "agreement").mean
    return Verdict(
        decision=decision,
        words=all(gain.low > 0 for gain in evidence("words", "name").intervals),
        judged=judged,
        strength=strength if paid else None,
        attributes=[group for group in groups if interval("tuned", "words", "agreement", group).low > 0],
        lost=[group for group in groups if interval("tuned", "words", "agreement", group).high < 0],
        word_attributes=[group for group in groups if interval("words", "name", "agreement", group).low > 0],
        look=paid and named <= interval("tuned", "words", "scorer").mean - SMALL_CHANGE,
        adherence=_adherence(obedience),
        leaks=interval("tuned_words", "words", "scorer").low > 0,
        sentence="",
        cost="",
        next_steps=[],
    )


def _adherence(change: Interval) -> str:
    """Whether the tuned model still follows the words without its trigger, from the change in agreement."""
    if change.high < 0 and change.mean < KEPT:
        return "lost"
    return "kept" if change.low > KEPT else "unclear"
