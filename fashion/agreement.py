"""How a picture differs from its photo: which tags it shares, and the distance of the palettes.

Neither figure steers the search. They say what one similarity can't: which words to change next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .colour import delta_e_2000, srgb_to_lab

if TYPE_CHECKING:
    import numpy as np

    from .tagger import Observation, Tagger
    from .tags import PhotoTags

MOST_PICTURES = 0.5  # a label that fewer pictures show is missed
CLUSTERS = 4  # base, print, trim, shadow
ROUNDS = 12


@dataclass(frozen=True)
class Agreement:
    """What pictures share with a photo; `agreement`: group id → share of the pictures with the photo's label.

    `palette_delta_e`: mean CIEDE2000 over the pictures; None where no garment's pixels are known.
    """

    agreement: dict[str, float]
    palette_delta_e: float | None


def measure_agreement(
    tagger: Tagger, photo: Observation, tags: PhotoTags, pictures: Sequence[Observation]
) -> Agreement:
    """The agreement of pictures, at least one, with the photo of these tags."""
    pictures_tags = tagger.read(pictures)
    agreement = {}
    for group in dict.fromkeys(tag.group for tag in tags.tags):
        agreeing = [labels_of(picture, group) >= labels_of(tags, group) for picture in pictures_tags]
        agreement[group] = sum(agreeing) / len(agreeing)
    known = [picture for picture in pictures if len(photo.pixels) and len(picture.pixels)]
    differences = [palette_difference(photo.pixels, picture.pixels) for picture in known]
    return Agreement(agreement, sum(differences) / len(differences) if differences else None)


def labels_of(tags: PhotoTags, group: str) -> set[str]:
    """The ids of the group's labels among the tags."""
    return {tag.label for tag in tags.tags if tag.group == group}


def palette_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean CIEDE2000 from each colour of one palette to the nearest of the other, both ways; 0 for the same colours.

    `first`, `second`: pixels, sRGB uint8 [K, 3].
    """
    return palettes_apart(palette(first), palette(second))


def palettes_apart(first_palette: Palette, second_palette: Palette) -> float:
    """`palette_difference` of two palettes that are known."""
    distance = delta_e_2000(first_palette.colours[:, None], second_palette.colours[None])
    return float(first_palette.shares @ distance.min(1) + second_palette.shares @ distance.min(0)) / 2


@dataclass(frozen=True)
class Palette:
    """Lab `colours` [C, 3] with their `shares` [C], which sum to 1."""

    colours: np.ndarray
    shares: np.ndarray


def palette(pixels: np.ndarray) -> Palette:
    """The main colours of pixels, sRGB uint8 [K, 3]: k-means in Lab, begun at the pixels farthest from one another."""
    import numpy as np

    lab = srgb_to_lab(pixels)
    centres = lab.mean(0, keepdims=True)
    for _ in range(CLUSTERS - 1):
        distance = np.linalg.norm(lab[:, None] - centres[None], axis=-1).min(1)
        centres = np.vstack([centres, lab[distance.argmax()]])
    for _ in range(ROUNDS):
        nearest = np.linalg.norm(lab[:, None] - centres[None], axis=-1).argmin(1)
        used = np.unique(nearest)
        centres = np.stack([lab[nearest == index].mean(0) for index in used])
    nearest = np.linalg.norm(lab[:, None] - centres[None], axis=-1).argmin(1)
    counts = np.bincount(nearest, minlength=len(centres))
    return Palette(centres[counts > 0], counts[counts > 0] / len(lab))
