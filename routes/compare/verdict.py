"""Paired gains → the verdict of the report: which route paid, how sure that is, for what, and at what loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...reports.comparison import Gain, ProvenLoss, Verdict
from ...reports.prompt import Interval
from ...search.route_decision import Evidence, RouteOutcome, decide_route

if TYPE_CHECKING:
    from ...reports.comparison import ArmName
    from ...search.route_decision import Loss, Pair

KEPT = -0.1  # adherence that may go before it counts as lost
SMALL_CHANGE = 0.02  # adherence; a gain beyond it is more than what tags name
ARMS_OF: dict[Pair, tuple[ArmName, ArmName]] = {
    "tuned_base": ("tuned", "base"),
    "tuned_words": ("tuned", "words"),
    "words_base": ("words", "base"),
}


def verdict_of(gains: Sequence[Gain], judged: bool, strength: float | None, identical: bool = False) -> Verdict:
    """The decision of search/route_decision.py with what stands beside it; the sentences are written later.

    `identical`: base and tuned drew the same pictures. What is beside the decision differs only where its whole
    interval lies on one side of 0.
    """

    def interval(arm: str, over: str, by: str, group: str | None = None) -> Interval:
        return next(g.interval for g in gains if (g.arm, g.over, g.by, g.group) == (arm, over, by, group))

    def evidence(arm: str, over: str) -> Evidence:
        return Evidence(interval(arm, over, "scorer"), interval(arm, over, "judge") if judged else None)

    decision = decide_route(**{pair: evidence(*arms) for pair, arms in ARMS_OF.items()}, identical=identical)
    paid = decision.outcome == RouteOutcome.TRAINING
    groups = list(dict.fromkeys(gain.group for gain in gains if gain.group))
    named = interval("tuned", "words", "agreement").mean
    return Verdict(
        decision=decision.outcome.value,
        level=decision.level.value if decision.level else None,
        losses=[_loss(loss, interval) for loss in decision.losses],
        words=evidence("words", "name").gain is not None,
        judged=judged,
        strength=strength if paid else None,
        attributes=[group for group in groups if interval("tuned", "words", "agreement", group).low > 0],
        lost=[group for group in groups if interval("tuned", "words", "agreement", group).high < 0],
        word_attributes=[group for group in groups if interval("words", "name", "agreement", group).low > 0],
        look=paid and named <= interval("tuned", "words", "scorer").mean - SMALL_CHANGE,
        adherence=_adherence(interval("tuned_words", "words", "agreement")),
        leaks=interval("tuned_words", "words", "scorer").low > 0,
        sentence="",
        cost="",
        next_steps=[],
    )


def _loss(loss: Loss, interval) -> ProvenLoss:
    (arm, over), by = ARMS_OF[loss.pair], "judge" if loss.witness == "judge" else "scorer"
    return ProvenLoss(arm=arm, over=over, by=by, interval=interval(arm, over, by))


def _adherence(change: Interval) -> str:
    """Whether the tuned model still follows the words without its trigger, from the change in agreement."""
    if change.high < 0 and change.mean < KEPT:
        return "lost"
    return "kept" if change.low > KEPT else "unclear"
