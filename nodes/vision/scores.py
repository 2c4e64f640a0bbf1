"""Pictures × references → the scorer node's outputs: figures, differences, a ranking, a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .batches import NO_GARMENT, ShowProgress, differences, numbered, observe, similarities

if TYPE_CHECKING:
    from PIL import Image

    from ...fashion.calibration import Calibration
    from ...fashion.scorer import Similarity
    from ...models.vision import VisionModels


@dataclass(frozen=True)
class ScoredPictures:
    """A similarity and a list of differences for each picture, and the calibration behind them."""

    similarities: list[Similarity]
    differences: list[list[dict[str, str]]]
    calibration: Calibration
    notices: str = ""  # pictures without a garment

    @property
    def best(self) -> list[int]:
        """Indices of pictures, the most similar first."""
        return sorted(range(len(self.similarities)), key=lambda index: -self.similarities[index].unclipped)

    @property
    def anchors(self) -> dict[str, Any]:
        """The raw cosines that the calibration maps to 0 and to 1."""
        kind = "generic" if self.calibration.kind == "generic" else "measured"
        return {"kind": kind, "raw_zero": self.calibration.raw_zero, "raw_hundred": self.calibration.raw_hundred}

    def rows(self) -> list[dict[str, Any]]:
        """The scores as the page's widget reads them."""
        return [
            {
                "image": index,
                "similarity": round(similarity.similarity_score, 4),
                "raw_cosine": round(similarity.raw_cosine, 4),
                "anchors": self.anchors,
                "differences": differing,
            }
            for index, (similarity, differing) in enumerate(zip(self.similarities, self.differences, strict=True))
        ]

    def report(self) -> str:
        """The scores as lines of text, the best first."""
        lines = []
        for index in self.best:
            similarity = self.similarities[index]
            points = 100 * similarity.similarity_score
            lines.append(f"{index + 1}: {points:.1f} of 100 (cosine {similarity.raw_cosine:.3f})")
            lines += [
                f"   {row['group']}: {row['reference']} → {row['image'] or '–'}" for row in self.differences[index]
            ]
        return "\n".join([*lines, *filter(None, [self.notices, self.calibration.note])])


def score_pictures(
    vision: VisionModels,
    pictures: Sequence[Image.Image],
    references: Sequence[Image.Image],
    compare: bool,
    show_progress: ShowProgress,
) -> ScoredPictures:
    """Scores all pictures; with `compare` also the attributes that differ from the first reference's."""
    observations = observe(vision.tagger, [*references, *pictures], show_progress)
    seen_references, seen_pictures = observations[: len(references)], observations[len(references) :]
    differing: list[list[dict[str, str]]] = [[] for _ in pictures]
    if compare:
        first, *others = vision.tagger.read([seen_references[0], *seen_pictures])
        differing = [differences(first, picture_tags) for picture_tags in others]
    scores = similarities(vision.scorer, seen_pictures, seen_references)
    shown = vision.tagger.shows_garment(observations)
    kinds = {"reference": shown[: len(references)], "image": shown[len(references) :]}
    notices = [
        numbered([index for index, there in enumerate(shown_there) if not there], NO_GARMENT, kind)
        for kind, shown_there in kinds.items()
    ]
    return ScoredPictures(scores, differing, vision.scorer.calibration, "\n".join(filter(None, notices)))
