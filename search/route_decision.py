"""Words or weights: one rule for every comparison of a tuned model with the best words.

    identical pictures                                     changes nothing
    tuned < base                                           worse than base
    tuned < words                                          worse than words
    tuned > words and tuned > base                         training
    words > base, and tuned no different from words        words
    anything else                                          no difference

`<` and `>` ask for the score's whole interval on that side of 0, and for a judge, where there is one, whose mean lies
on that side too. What such a step is worth says its level: *proven* where the judge's whole interval agrees, *likely*
where its mean does, *one witness* where there is no judge. Any interval that lies below 0, the score's or the judge's,
is kept as a loss whatever the outcome: a proven loss is never left out of what people read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol


class RouteOutcome(str, Enum):
    """What a comparison of base model, best words and tuned model comes to."""

    TRAINING = "training"
    WORDS = "words"
    NO_DIFFERENCE = "no difference"
    WORSE_THAN_WORDS = "worse than words"
    WORSE_THAN_BASE = "worse than base"
    CHANGES_NOTHING = "changes nothing"


class Level(str, Enum):
    """How sure a step is, the surest first."""

    PROVEN = "proven"
    LIKELY = "likely"
    ONE_WITNESS = "one witness"


class GainInterval(Protocol):
    """A mean gain and its interval, as paired_gain and the reports have it."""

    @property
    def mean(self) -> float: ...  # noqa: D102

    @property
    def low(self) -> float: ...  # noqa: D102

    @property
    def high(self) -> float: ...  # noqa: D102


Witness = Literal["score", "judge"]


@dataclass(frozen=True)
class Evidence:
    """One arm over another on the same pictures, as the score sees it and as a judge that chose nothing does."""

    score: GainInterval
    judge: GainInterval | None = None

    @property
    def gain(self) -> Level | None:
        """How sure it is that the first arm is better; None: not enough for any claim."""
        return self._level(self.score.low > 0, +1)

    @property
    def loss(self) -> Level | None:
        """How sure it is that the first arm is worse."""
        return self._level(self.score.high < 0, -1)

    def _level(self, score_agrees: bool, sign: int) -> Level | None:
        if not score_agrees:
            return None
        if self.judge is None:
            return Level.ONE_WITNESS
        if sign * self.judge.mean <= 0:
            return None
        return Level.PROVEN if min(sign * self.judge.low, sign * self.judge.high) > 0 else Level.LIKELY


Pair = Literal["tuned_base", "tuned_words", "words_base"]


@dataclass(frozen=True)
class Loss:
    """An interval that lies below 0: which arm over which, and who saw it."""

    pair: Pair
    witness: Witness
    gain: GainInterval


@dataclass(frozen=True)
class RouteDecision:
    """The outcome, how sure it is (None where nothing is claimed), and every loss that is proven, whatever the
    outcome. `judged`: a judge looked at every pair that was compared."""

    outcome: RouteOutcome
    level: Level | None
    judged: bool
    losses: tuple[Loss, ...] = ()


def decide_route(
    tuned_base: Evidence,
    tuned_words: Evidence | None = None,
    words_base: Evidence | None = None,
    identical: bool = False,
) -> RouteDecision:
    """The one outcome of a comparison, by the table above.

    `tuned_base` compares both models on the tuned one's prompt, `tuned_words` the tuned model with the base model and
    the best words, `words_base` these words with the tuned one's prompt, all on seeds that chose nothing. Where no
    words were drawn, training has to beat the base model alone. `identical`: tuned and base drew the same pictures,
    pixel by pixel.
    """
    pairs: dict[Pair, Evidence | None] = {
        "tuned_base": tuned_base,
        "tuned_words": tuned_words,
        "words_base": words_base,
    }
    compared = {name: evidence for name, evidence in pairs.items() if evidence is not None}
    judged = all(evidence.judge is not None for evidence in compared.values())
    losses = tuple(_losses(compared))

    def decision(outcome: RouteOutcome, *levels: Level | None) -> RouteDecision:
        return RouteDecision(outcome, weakest(levels), judged, losses)

    if identical:
        return decision(RouteOutcome.CHANGES_NOTHING, Level.PROVEN)
    if tuned_base.loss:
        return decision(RouteOutcome.WORSE_THAN_BASE, tuned_base.loss)
    if tuned_words and tuned_words.loss:
        return decision(RouteOutcome.WORSE_THAN_WORDS, tuned_words.loss)
    if tuned_base.gain and (tuned_words is None or tuned_words.gain):
        return decision(RouteOutcome.TRAINING, tuned_base.gain, tuned_words.gain if tuned_words else None)
    if words_base and words_base.gain and tuned_words and not tuned_words.gain:
        return decision(RouteOutcome.WORDS, words_base.gain)
    return decision(RouteOutcome.NO_DIFFERENCE)


def weakest(levels: Iterable[Level | None]) -> Level | None:
    """The least sure of the levels that there are."""
    order = list(Level)
    return max((level for level in levels if level), key=order.index, default=None)


def _losses(compared: dict[Pair, Evidence]) -> Iterable[Loss]:
    for pair, evidence in compared.items():
        if evidence.score.high < 0:
            yield Loss(pair, "score", evidence.score)
        if evidence.judge is not None and evidence.judge.high < 0:
            yield Loss(pair, "judge", evidence.judge)
