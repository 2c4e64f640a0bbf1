"""What a run of many photos proves: Holm's step-down over their paired gains, and the mean over all of them.

    p-values, smallest first     .0002   .002   .009   .03   .4
    times the tests still open   × 5     × 4    × 3    × 2   × 1
    adjusted, never falling      .001    .008   .027   .06   .4       proven at .05: 3 of 5

A single photo's interval at 95 % is wrong for one photo in twenty; of sixteen photos without any effect, one in
three such runs would claim one (each claim of a gain at 2.5 %: 1 − .975¹⁶ = .33). Holm, "A Simple Sequentially
Rejective Multiple Test Procedure", Scand. J. Statist. 6 (1979) 65–70, keeps the probability of any false claim in a
run at the level, whatever the photos have in common.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from .confirmation import PairedGain, mean_gain

LEVEL = 0.05  # probability that a run claims anything false, gains and losses together


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Each p-value adjusted for all of them, in their order: at most α where Holm's test at α rejects.

    max over j ≤ i of (m − j + 1)·p₍ⱼ₎, at most 1: Wright, "Adjusted P-values for Simultaneous Inference",
    Biometrics 48 (1992) 1005–1013, §2. ValueError for a p-value that is none.
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values lie between 0 and 1: {[p for p in p_values if not 0 <= p <= 1]}")
    smallest_first = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, so_far = [1.0] * len(p_values), 0.0
    for place, index in enumerate(smallest_first):
        so_far = max(so_far, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = so_far
    return tuple(adjusted)


@dataclass(frozen=True)
class PhotoProof:
    """One photo's gain by the score and by the judge (None: there is none), and what the run as a whole allows to
    say of it. `adjusted_p` is Holm's; 1 where candidate and baseline are the same."""

    gain: PairedGain
    judge: PairedGain | None
    adjusted_p: float
    level: float = LEVEL

    @property
    def proven(self) -> bool:
        """Whether the run proves a gain here: by the score among all photos, and the judge proves no loss."""
        return self.adjusted_p <= self.level and self.gain.mean > 0 and not self.contradicted

    @property
    def worse(self) -> bool:
        """Whether the run proves a loss here."""
        return self.adjusted_p <= self.level and self.gain.mean < 0

    @property
    def contradicted(self) -> bool:
        """Whether the score rises and the judge's whole interval lies below 0: the search has gamed its score."""
        return self.gain.mean > 0 and self.judge is not None and self.judge.high < 0


@dataclass(frozen=True)
class RunProof:
    """Every photo's proof, in their order, and the mean over all of them by intention to treat: each photo counts
    with the candidate that its search chose, adopted or not. Photos whose candidate is the baseline count as 0."""

    photos: tuple[PhotoProof, ...]
    mean: PairedGain
    judge_mean: PairedGain | None  # None: there is no judge, or it has not seen every photo

    @property
    def proven(self) -> int:
        """In how many of the photos a gain is proven, all of them together."""
        return sum(photo.proven for photo in self.photos)

    @property
    def worse(self) -> int:
        """In how many of the photos a loss is proven."""
        return sum(photo.worse for photo in self.photos)

    @property
    def sentence(self) -> str:
        """For people, after the pattern of `proven for 2 of 16`."""
        worse = f"; worse for {self.worse}" if self.worse else ""
        return f"proven for {self.proven} of {len(self.photos)}{worse}"


def prove_run(
    gains: Sequence[PairedGain],
    judges: Sequence[PairedGain | None] | None = None,
    garments: Sequence[Hashable] | None = None,
    level: float = LEVEL,
) -> RunProof:
    """The run's proof from each photo's gain of its candidate over the baseline on held-out seeds.

    `judges` are the same pairs as the judge sees them; `garments` names the garment of each photo, where several
    photos show one. The tests are those of the photos whose candidate is another prompt than the baseline: which
    these are was settled before the first confirm picture, so that they alone are the family.
    """
    witnesses = [None] * len(gains) if judges is None else list(judges)
    tested = [index for index, gain in enumerate(gains) if not gain.nothing_tested]
    adjusted = dict(zip(tested, holm([gains[index].p for index in tested]), strict=True))
    photos = tuple(
        PhotoProof(gain, judge, adjusted.get(index, 1.0), level)
        for index, (gain, judge) in enumerate(zip(gains, witnesses, strict=True))
    )
    seen = [judge for judge in witnesses if judge is not None]
    judge_mean = intention_to_treat(seen, garments, 1 - level) if seen and len(seen) == len(gains) else None
    return RunProof(photos, intention_to_treat(gains, garments, 1 - level), judge_mean)


def intention_to_treat(
    gains: Sequence[PairedGain], garments: Sequence[Hashable] | None = None, confidence: float = 0.95
) -> PairedGain:
    """Mean over all photos with Student's interval, whatever was adopted.

    Leaving out the photos whose candidate lost, or counting them as 0, would report what was picked on the very
    pictures that measure it. Montori & Guyatt, "Intention-to-treat principle", CMAJ 165 (2001) 1339–1341. The mean
    over a single photo is that photo's gain, with its own interval over seeds; photos of a single garment are the
    units of its mean. Neither says anything of other garments.
    """
    if len(gains) == 1:
        return gains[0]
    if garments is not None and len(set(garments)) == 1:
        garments = None
    if gains and all(gain.nothing_tested for gain in gains):
        count = len(gains) if garments is None else len(set(garments))
        return PairedGain(0.0, 0.0, 0.0, count, confidence, "every candidate is the baseline itself")
    return mean_gain([gain.mean for gain in gains], garments, confidence)
