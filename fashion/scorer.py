"""Image × reference → calibrated similarity, with the raw cosine and both anchors beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from .calibration import Calibration
    from .encoders.protocol import ImageEncoder


@dataclass(frozen=True)
class Similarity:
    """The similarity of a picture to its reference."""

    similarity_score: float  # calibrated, clipped to 0 … 1
    unclipped: float  # the same before clipping: what a search compares
    raw_cosine: float  # −1 … 1
    centred_cosine: float  # after the catalogue's mean is taken out; without a mean the raw one


class Scorer:
    """Compares pictures with a reference by one encoder and one calibration."""

    def __init__(self, encoder: ImageEncoder, calibration: Calibration):
        self.encoder, self.calibration = encoder, calibration

    @property
    def key(self) -> str:
        """The names of encoder and calibration: scores with the same key are comparable."""
        return f"{self.encoder.identity.key}+{self.calibration.key}"

    def score(self, pictures: Sequence[Image.Image], reference: Image.Image) -> list[Similarity]:
        """The similarity of each picture to the reference, in the pictures' order."""
        if not pictures:
            return []
        embeds = self.encoder.embed_images([reference, *pictures])
        return self.compare(embeds[1:], embeds[0])

    def compare(self, image_embeds: torch.Tensor, reference: torch.Tensor) -> list[Similarity]:
        """The similarity of each of N pictures, given by unit vectors: pictures [N, D], reference [D]."""
        anchors = self.calibration
        raw = image_embeds @ reference
        centred = raw
        if anchors.mean is not None:
            centred = _centred(image_embeds, anchors.mean) @ _centred(reference, anchors.mean)
        share = (centred - anchors.zero) / (anchors.hundred - anchors.zero)
        return [
            Similarity(min(1.0, max(0.0, value)), value, float(cosine), float(z))
            for value, cosine, z in zip(share.tolist(), raw, centred, strict=True)
        ]


def _centred(embeds: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Unit vectors [..., D] without the catalogue's mean [D], as unit vectors again."""
    import torch

    return torch.nn.functional.normalize(embeds - mean, dim=-1)
