"""Base against tuned: the one rule of the command, the whole run and ComfyUI's node. Pure arithmetic on paired scores.

    choosing seeds   tuned at each strength                 the weakest strength that is as good as the best
    confirm seeds    base | words | tuned at that strength  paired gains over garments → the decision

The strength is chosen on one set of seeds and the decision falls on another: looking at several strengths and proving
the best on the same pictures would find a gain by luck.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal, Protocol

from ...search.confirmation import PairedGain, mean_gain

Decision = Literal["training", "no difference", "worse"]


class GainInterval(Protocol):
    """A mean gain with its interval: a PairedGain, or a report's Interval."""

    @property
    def mean(self) -> float:
        """The mean gain."""

    @property
    def low(self) -> float:
        """The interval's lower end."""

    @property
    def high(self) -> float:
        """The interval's upper end."""


@dataclass(frozen=True)
class Evidence:
    """One arm over another on the same pictures, by the scorer and by the judge; None where there is no judge."""

    scorer: GainInterval
    judge: GainInterval | None = None

    @property
    def intervals(self) -> tuple[GainInterval, ...]:
        """The scorer's, then the judge's where there is one."""
        return (self.scorer,) if self.judge is None else (self.scorer, self.judge)


def choose_strength(scores: Mapping[float, Sequence[float]]) -> float:
    """The weakest strength that is no more than one standard error below the best; strength → mean score a photo.

    What changes the model less keeps more of it: the one-standard-error rule of Breiman et al., "Classification and
    Regression Trees" (1984), §3.4.3, paired over photos.
    """
    best = max(scores, key=lambda strength: fmean(scores[strength]))

    def is_as_good(strength: float) -> bool:
        losses = [ours - theirs for ours, theirs in zip(scores[best], scores[strength], strict=True)]
        return fmean(losses) <= (stdev(losses) / len(losses) ** 0.5 if len(losses) > 1 else 0.0)

    return min(filter(is_as_good, scores))


def gain_over_garments(ours: Sequence[float], theirs: Sequence[float], garments: Sequence[Hashable]) -> PairedGain:
    """The mean gain of scores paired picture by picture; `garments` names the garment of each pair.

    Pictures of one garment are no independent witnesses: the garments are, and `n` counts them.
    """
    gains = [our - their for our, their in zip(ours, theirs, strict=True)]
    if not any(gains):  # the same pictures, or the same tags in all of them
        return PairedGain(0.0, 0.0, 0.0, len(set(garments)), note="no score differs")
    return mean_gain(gains, garments)


def decide(tuned_words: Evidence, tuned_base: Evidence) -> Decision:
    """Which route paid, from the tuned model over the best words and over the base model on its own prompts.

    Training paid where the scorer's whole interval lies above 0 over words and over base, and the judge's mean over the
    words does: the judge looks at other things and is less sure of a few garments, so that it points the same way is
    asked, not that it proves the gain alone. It harmed where all see less than the base model, each interval below 0.
    """
    proven = tuned_words.scorer.low > 0 and tuned_base.scorer.low > 0
    if proven and all(gain.mean > 0 for gain in tuned_words.intervals):
        return "training"
    return "worse" if all(gain.high < 0 for gain in tuned_base.intervals) else "no difference"
