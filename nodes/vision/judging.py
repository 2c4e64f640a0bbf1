"""Pictures of several arms, whatever drew them → which arm is nearest to the photos, and whether that is proven.

An arm is all that shares a label: a prompt, a LoRA, a model. Picture i of every arm was drawn on the same seed. Where
several arms compete with the base, the first half of the pictures chooses one of them and the second half decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from ...core.errors import InputError
from ...routes.compare.rule import gain_over_garments
from ...search.confirmation import PairedGain, decide, paired_gain
from .batches import ShowProgress, observe, one_or_each, similarities

if TYPE_CHECKING:
    from PIL import Image

    from ...models.vision import VisionModels

BASE, CHALLENGER = "base", "candidate"
Arms = dict[str, list["Image.Image"]]


@dataclass(frozen=True)
class Judgement:
    """`arm` is recommended: the best one where its gain is proven, else the base. Scores by arm are means, 0 … 1."""

    arm: str
    best: str
    base: str
    gain: PairedGain
    second: PairedGain | None  # the same pictures by the judge's model; None where there is none
    improved: bool
    scores: dict[str, float]
    unit: str  # what the gain counts: pairs of pictures, or photos
    chosen_first: bool  # the best arm was chosen on other pictures than those that decided

    def report(self) -> str:
        """The verdict, then every arm with its score."""
        verdict = f"{self.best} is nearer to the photos than {self.base}" if self.improved else "no gain is proven"
        lines = [f"{verdict}: {_points(self.gain)} of {self.best} over {self.base} on {self.gain.n} {self.unit}"]
        if self.gain.note:
            lines.append(self.gain.note)
        lines.append(f"the second opinion: {_points(self.second)}" if self.second else "there is no second opinion")
        if self.chosen_first:
            lines.append(f"{self.best} was chosen on the first half of the pictures; the verdict is of the second half")
        ranking = sorted(self.scores, key=lambda arm: -self.scores[arm])
        return "\n".join([*lines, *(f"{self.scores[arm]:.3f} {arm}" for arm in ranking)])


def _points(gain: PairedGain) -> str:
    return f"{100 * gain.mean:+.1f} points ({100 * gain.low:+.1f} … {100 * gain.high:+.1f})"


def arms_of(pictures: Sequence[Image.Image], labels: Sequence[str], base: Sequence[Image.Image] | None) -> Arms:
    """Label → its pictures, the base first; InputError unless all arms have the same number of pictures."""
    arms: Arms = {} if base is None else {BASE: list(base)}
    for picture, label in zip(pictures, one_or_each(labels or [CHALLENGER], len(pictures), "labels"), strict=True):
        arms.setdefault(label, []).append(picture)
    if len(arms) < 2:
        raise InputError(
            "there is nothing to compare the pictures with",
            to_try="connect base pictures, or labels of two kinds or more, as Prompt Candidates gives them",
        )
    counts = {label: len(each) for label, each in arms.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{label[:40]}: {count}" for label, count in counts.items())
        raise InputError(f"the arms have different numbers of pictures ({told})", to_try="one picture a label and seed")
    return arms


def judge(
    arms: Arms, references: Sequence[Image.Image], vision: VisionModels, show_progress: ShowProgress
) -> Judgement:
    """Scores every picture against the photo (one for all, or one for each picture of an arm), chooses and decides."""
    base, *others = arms
    count = len(arms[base])
    photos = one_or_each(list(range(len(references))), count, "references")
    score = _scores(arms, references, photos, vision, show_progress)
    competing = len(others) > 1
    if competing and count < 2:
        raise InputError(
            f"{len(others)} arms compete on one picture each",
            to_try="2 pictures an arm or more: the first half chooses, the second half decides",
        )
    choosing = range(count // 2) if competing else range(count)
    deciding = range(count // 2, count) if competing else range(count)
    best = max(others, key=lambda arm: fmean(score[arm][at] for at in choosing))

    def gain(table: dict[str, list[float]]) -> PairedGain:
        ours, theirs = ([table[arm][at] for at in deciding] for arm in (best, base))
        if len(references) > 1:
            return gain_over_garments(ours, theirs, [photos[at] for at in deciding])
        return paired_gain(ours, theirs)

    first, second = gain(score), None
    if vision.judge is not None:
        second = gain(_judged({arm: arms[arm] for arm in (base, best)}, references, photos, vision))
    decision = decide(best, base, first, second)
    shown = {arm: fmean(min(1.0, max(0.0, value)) for value in values) for arm, values in score.items()}
    unit = "photos" if len(references) > 1 else "pairs of pictures"
    return Judgement(decision.arm, best, base, first, second, decision.improved, shown, unit, competing)


def _scores(
    arms: Arms,
    references: Sequence[Image.Image],
    photos: Sequence[int],
    vision: VisionModels,
    show_progress: ShowProgress,
) -> dict[str, list[float]]:
    """Each picture's similarity to its own photo, not clipped to 0 … 1, by arm."""
    pictures = [picture for each in arms.values() for picture in each]
    observations = observe(vision.tagger, [*references, *pictures], show_progress)
    seen, rest = observations[: len(references)], iter(observations[len(references) :])
    return {
        arm: [similarities(vision.scorer, [next(rest)], [seen[photo]])[0].unclipped for photo in photos] for arm in arms
    }


def _judged(
    arms: Arms, references: Sequence[Image.Image], photos: Sequence[int], vision: VisionModels
) -> dict[str, list[float]]:
    """The same by the judge's model."""
    assert vision.judge is not None
    score = vision.judge.score
    return {
        arm: [score([picture], references[photo])[0].unclipped for picture, photo in zip(each, photos, strict=True)]
        for arm, each in arms.items()
    }
