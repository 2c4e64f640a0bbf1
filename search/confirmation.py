"""Was it worth it? Winner against baseline on the same held-out seeds, and over photos.

The number of held-out seeds is fixed before the first of them is drawn: looking after each picture and
stopping when the interval suits makes its 95 % untrue.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from ..core.errors import InputError
from .student_t import student_cdf, student_quantile
from .trials import Noise

SCALE = 1.0  # two similarities 0 … 1 differ by no more than this
NOISE_DF = 8  # weight of the search's noise: with 20 df of it, pairs 1.6 times as noisy as the next keep their coverage
TIED = 1e-9  # differences closer than this are one value: rounding, not spread


@dataclass(frozen=True)
class PairedGain:
    """Mean gain over `n` pairs with its two-sided interval, in the scores' unit; all finite.

    `p` is the two-sided p-value of "no gain": the interval at confidence 1 − α leaves 0 out where p < α, so that
    a run of many photos can ask more of each (multiple_testing.py). `note` says why an interval is wider than
    Student's, or of no width.
    """

    mean: float
    low: float
    high: float
    n: int
    confidence: float = 0.95
    note: str = ""
    p: float = 1.0  # 1: nothing was tested

    @property
    def improved(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0

    @property
    def nothing_tested(self) -> bool:
        """Whether both sides are the same pictures, whose gain is 0 without any doubt."""
        return self.low == self.high == 0


def paired_gain(
    winner_scores: Sequence[float],
    baseline_scores: Sequence[float],
    confidence: float = 0.95,
    noise: Noise | None = None,
) -> PairedGain:
    """Gain of winner over baseline; scores i of both were drawn on the same seed, which the search has not
    seen.

    Student's interval of the differences, within what the scale allows (±1) unless a difference goes beyond it.
    One pair has no spread: its interval is the whole scale. Equal differences come from clipping or
    saturation, so theirs is the exact binomial one for "another value was not seen yet". `noise`, the
    search's own residual spread, stands beside the differences' and narrows the interval of a few seeds
    ("moderated t", Smyth, Stat. Appl. Genet. Mol. Biol. 3 (2004), §6.2); its weight is bounded, because arms
    differ in their noise.
    """
    if len(winner_scores) != len(baseline_scores):
        raise InputError(
            f"{len(winner_scores)} scores of the winner and {len(baseline_scores)} of the baseline are no pairs",
            to_try="score both on every confirm seed",
        )
    gains = [ours - theirs for ours, theirs in zip(winner_scores, baseline_scores, strict=True)]
    if _same_pictures(winner_scores, gains):
        return PairedGain(0.0, 0.0, 0.0, len(gains), confidence, "winner and baseline are the same pictures")
    return _interval(gains, confidence, noise)


def mean_gain(
    gains: Sequence[float], clusters: Sequence[Hashable] | None = None, confidence: float = 0.95
) -> PairedGain:
    """Mean gain over photos with Student's interval; `n` is the number of clusters.

    `clusters` names the unit of each gain where one photo (or one garment) has several: pictures of one photo
    are no independent witnesses, so they are averaged first. None: each gain is a photo.
    """
    if clusters is None:
        return _interval(gains, confidence, None)
    groups: dict[Hashable, list[float]] = {}
    for gain, cluster in zip(gains, clusters, strict=True):
        groups.setdefault(cluster, []).append(gain)
    return _interval([sum(group) / len(group) for group in groups.values()], confidence, None)


def _same_pictures(scores: Sequence[float], gains: Sequence[float]) -> bool:
    """Whether all pairs are equal, and not only because both were clipped."""
    return len(gains) > 1 and not any(gains) and any(score not in (0.0, 1.0) for score in scores)


def _interval(gains: Sequence[float], confidence: float, noise: Noise | None) -> PairedGain:
    if not gains or not all(map(math.isfinite, gains)):
        raise InputError("a gain needs at least one pair of finite scores", to_try="confirm on 2 seeds or more")
    if not 0 < confidence < 1:
        raise InputError(f"a confidence of {confidence} is none", to_try="give one between 0 and 1, e.g. 0.95")
    n, mean = len(gains), math.fsum(gains) / len(gains)
    scale = max(SCALE, max(map(abs, gains)))
    squares, df, note, p = math.fsum((gain - mean) ** 2 for gain in gains), n - 1, "", 1.0
    if noise is not None and noise.df > 0:
        weight = min(noise.df, NOISE_DF)
        squares, df = squares + weight * 2 * noise.sd**2, df + weight
    if df == 0:
        low, high, note = -scale, scale, "one pair has no spread: the interval is the whole scale"
    elif squares <= n * TIED**2:
        unseen = 1 - ((1 - confidence) / 2) ** (1 / n)  # Clopper & Pearson (1934) for 0 of n
        p = min(1.0, 2 * (scale / (scale + abs(mean))) ** n)  # the confidence at which an end is 0
        low, high = mean - unseen * (mean + scale), mean + unseen * (scale - mean)
        note = f"all {n} differences are equal, as clipped scores are: the interval allows for values not seen yet"
    else:
        se = math.sqrt(squares / df / n)
        half, p = student_quantile((1 + confidence) / 2, df) * se, 2 * student_cdf(-abs(mean) / se, df)
        low, high = mean - half, mean + half
        if scale == SCALE:  # a difference beyond it shows that the scores are not clipped: nothing bounds their mean
            low, high = max(low, -scale), min(high, scale)
    return PairedGain(mean, low, high, n, confidence, note, p)


@dataclass(frozen=True)
class Decision:
    """What to use, and one sentence for people. `arm` is the baseline where no improvement was found."""

    arm: str
    improved: bool
    sentence: str


def decide(winner: str, baseline: str, gain: PairedGain, judge: PairedGain | None = None) -> Decision:
    """Adopts the winner only if its paired interval lies above 0 and the judge's not below; "no improvement
    found" is a result too.

    `judge` is the same pairs' gain by a scorer that chose nothing; None where there is none.
    """
    seeds = f"{gain.n} held-out seed{'s' * (gain.n != 1)}"
    points = f"{_in_points(gain)} on {seeds}"
    second = f"; the judge says {_in_points(judge)}" if judge else ""
    if winner == baseline:
        return Decision(baseline, False, f"No improvement found: {baseline} itself came out best.")
    if gain.improved and judge and judge.high < 0:
        against = f"the judge proves a loss of {_in_points(judge)}"
        return Decision(baseline, False, f"No improvement found: {winner} beats {baseline} by {points}, but {against}.")
    if gain.improved:
        return Decision(winner, True, f"{winner} beats {baseline} by {points}{second}.")
    if gain.high < 0:
        return Decision(baseline, False, f"No improvement found: {winner} is worse than {baseline}, {points}{second}.")
    reason = f" ({gain.note})" if gain.note else ""
    return Decision(baseline, False, f"No improvement found: {winner} against {baseline} is {points}{reason}{second}.")


def _in_points(gain: PairedGain) -> str:
    return f"{100 * gain.mean:+.1f} points ({100 * gain.low:+.1f} … {100 * gain.high:+.1f})"
