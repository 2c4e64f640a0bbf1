"""Pictures × references → what the scorer's node gives: figures, differences, an order, a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .batches import Shown, differences, observe, similarities

if TYPE_CHECKING:
    from PIL import Image

    from ...fashion.calibration import Calibration
    from ...fashion.scorer import Similarity
    from ...models.vision import VisionModels


@dataclass(frozen=True)
class Scored:
    """One similarity and one list of differences a picture, and by which anchors."""

    similarities: list[Similarity]
    differences: list[list[dict[str, str]]]
    calibration: Calibration

    @property
    def best(self) -> list[int]:
        """Indices of pictures, the most similar first."""
        return sorted(range(len(self.similarities)), key=lambda index: -self.similarities[index].unclipped)

    @property
    def anchors(self) -> dict[str, Any]:
        """What 0 and 1 mean, as raw cosines."""
        kind = "generic" if self.calibration.kind == "generic" else "measured"
        return {"kind": kind, "raw_zero": self.calibration.raw_zero, "raw_hundred": self.calibration.raw_hundred}

    def rows(self) -> list[dict[str, Any]]:
        """What the page draws."""
        return [
            {
                "image": index,
                "similarity": round(one.similarity_score, 4),
                "raw_cosine": round(one.raw_cosine, 4),
                "anchors": self.anchors,
                "differences": apart,
            }
            for index, (one, apart) in enumerate(zip(self.similarities, self.differences, strict=True))
        ]

    def report(self) -> str:
        """For people, the best first."""
        lines = []
        for index in self.best:
            one = self.similarities[index]
            lines.append(f"{index + 1}: {100 * one.similarity_score:.1f} of 100 (cosine {one.raw_cosine:.3f})")
            lines += [
                f"   {each['group']}: {each['reference']} → {each['image'] or '–'}" for each in self.differences[index]
            ]
        return "\n".join([*lines, *filter(None, [self.calibration.note])])


def score_pictures(
    vision: VisionModels,
    pictures: Sequence[Image.Image],
    references: Sequence[Image.Image],
    compare: bool,
    shown: Shown,
) -> Scored:
    """Scores all pictures; `compare`: says which attributes differ from the first reference's."""
    seen = observe(vision.tagger, [*references, *pictures], shown)
    there, here = seen[: len(references)], seen[len(references) :]
    apart: list[list[dict[str, str]]] = [[] for _ in pictures]
    if compare:
        first, *others = vision.tagger.read([there[0], *here])
        apart = [differences(first, one) for one in others]
    return Scored(similarities(vision.scorer, here, there), apart, vision.scorer.calibration)
