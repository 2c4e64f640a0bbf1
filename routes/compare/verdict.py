"""Paired gains → the decision: which route paid."""

from __future__ import annotations

from collections.abc import Sequence

from ...reports.comparison import (
    Gain,
    Verdict,
)
from ...reports.prompt import Interval

KEPT = -0.1  # adherence that may go before it counts as lost
SMALL_CHANGE = 0.02  # adherence; a gain beyond it is more than what tags name


def _verdict(gains: Sequence[Gain], judged: bool, strength: float | None) -> Verdict:
    """Training paid where the scorer's whole interval lies above 0 over words and over base, and the judge's mean does.

    The judge looks at other things and is less sure of a few garments: that it points the same way is asked, not that
    it proves the gain alone. Everything else differs only where its whole interval lies on one side of 0.
    """

    def of(arm: str, over: str, who: str, group: str | None = None) -> Interval:
        return next(g.interval for g in gains if (g.arm, g.over, g.by, g.group) == (arm, over, who, group))

    witnesses = ("scorer", "judge") if judged else ("scorer",)
    better = all(of("tuned", over, "scorer").low > 0 for over in ("words", "base"))
    better = better and all(of("tuned", "words", who).mean > 0 for who in witnesses)
    worse = all(of("tuned", "base", who).high < 0 for who in witnesses)
    groups = list(dict.fromkeys(gain.group for gain in gains if gain.group))
    plain = of("tuned_words", "words", "agreement")
    return Verdict(
        decision="training" if better else "worse" if worse else "no difference",
        words=all(of("words", "name", who).low > 0 for who in witnesses),
        judged=judged,
        strength=strength if better else None,
        attributes=[group for group in groups if of("tuned", "words", "agreement", group).low > 0],
        lost=[group for group in groups if of("tuned", "words", "agreement", group).high < 0],
        word_attributes=[group for group in groups if of("words", "name", "agreement", group).low > 0],
        look=better and of("tuned", "words", "agreement").mean <= of("tuned", "words", "scorer").mean - SMALL_CHANGE,
        adherence="lost" if plain.high < 0 and plain.mean < KEPT else "kept" if plain.low > KEPT else "unclear",
        leaks=of("tuned_words", "words", "scorer").low > 0,
        sentence="",
        cost="",
        next_steps=[],
    )
