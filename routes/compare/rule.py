"""Base against tuned: how the command, the whole run and ComfyUI's node come to one verdict, from paired scores.

    choosing seeds   tuned at each strength                 the weakest strength that is as good as the best
    confirm seeds    base | words | tuned at that strength  paired gains over garments → search/route_decision.py

The strength is chosen on one set of seeds and the decision falls on another: looking at several strengths and proving
the best on the same pictures would find a gain by luck.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from statistics import fmean, stdev

from ...search.confirmation import PairedGain, mean_gain


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


def gain_over_garments(
    ours: Sequence[float], theirs: Sequence[float], garments: Sequence[Hashable], confidence: float = 0.95
) -> PairedGain:
    """The mean gain of scores paired picture by picture; `garments` names the garment of each pair.

    Pictures of one garment are no independent witnesses: the garments are, and `n` counts them.
    """
    gains = [our - their for our, their in zip(ours, theirs, strict=True)]
    if not any(gains):  # the same pictures, or the same tags in all of them
        return PairedGain(0.0, 0.0, 0.0, len(set(garments)), confidence, "no score differs")
    return mean_gain(gains, garments, confidence)
