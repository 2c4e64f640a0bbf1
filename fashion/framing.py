"""Makes a photo square before an encoder reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .garment_finder import PLAIN_GROUND, GarmentFinder

if TYPE_CHECKING:
    from PIL import Image

# `pad` keeps head and hem; `garment` does too, and leaves out the background around; `crop` is the model's own centre
# crop.
Framing = Literal["pad", "garment", "crop"]
MARGIN = 0.06  # of the garment's longer side, around it


@dataclass(frozen=True)
class Framer:
    """A framing, and who finds the garment for it."""

    framing: Framing = "pad"
    finder: GarmentFinder = PLAIN_GROUND

    @property
    def key(self) -> str:
        """What the pictures depend on, as a part of an encoder's identity."""
        by_other = self.framing == "garment" and self.finder.key
        return f"{self.framing} by {self.finder.key}" if by_other else self.framing

    def __call__(self, images: Sequence[Image.Image]) -> list[Image.Image]:
        """The pictures in the form that goes into the encoder's own preprocessing."""
        if self.framing == "crop":
            return list(images)
        return [padded(cropped(image, self.finder) if self.framing == "garment" else image) for image in images]


def cropped(image: Image.Image, finder: GarmentFinder = PLAIN_GROUND) -> Image.Image:
    """The part of the picture with the garment and a margin; the whole picture where no garment stands out."""
    box = finder.box(image)
    if box is None:
        return image
    margin = MARGIN * max(box[2] - box[0], box[3] - box[1])
    left, top = max(0, round(box[0] - margin)), max(0, round(box[1] - margin))
    return image.crop((left, top, min(image.width, round(box[2] + margin)), min(image.height, round(box[3] + margin))))


def padded(image: Image.Image) -> Image.Image:
    """The picture in the middle of a square of its border colour; a square picture stays as it is."""
    from PIL import Image

    if image.width == image.height:
        return image
    side = max(image.size)
    square = Image.new("RGB", (side, side), _border_colour(image))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def _border_colour(image: Image.Image) -> tuple[int, int, int]:
    """The median RGB of the outermost pixels, channel by channel."""
    import numpy as np

    pixels = np.asarray(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(value) for value in np.median(border, 0))
    return red, green, blue
