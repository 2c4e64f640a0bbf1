"""The size of a run's pictures: as told, or of the preset's area in the shape of each photo."""

from __future__ import annotations

import math
import re

from ..core.errors import InputError
from ..trainer.data.buckets import make_buckets, nearest

PHOTO = "photo"  # the aspect that follows each photo
LATENT_STEP, LEAST, MOST = 8, 64, 2048  # pixels
MAX_ASPECT = 2.0  # long side over short side; beyond it, models of square pictures repeat what they draw


def refuse_size(width: int, height: int) -> None:
    """InputError for sides that no latent has, with the nearest that one has."""
    for name, side in (("width", width), ("height", height)):
        if side % LATENT_STEP or not LEAST <= side <= MOST:
            fitting = min(MOST, max(LEAST, round(side / LATENT_STEP) * LATENT_STEP))
            raise InputError(
                f"a {name} of {side} pixels can't be drawn: {LEAST} to {MOST}, a multiple of {LATENT_STEP}",
                to_try=f"--{name} {fitting}",
            )


def refuse_aspect(aspect: str | None) -> None:
    """InputError for what is neither `photo` nor W:H."""
    if aspect is not None and aspect != PHOTO:
        _ratio(aspect)


def size_in_aspect(width: int, height: int, aspect: str) -> tuple[int, int]:
    """(width, height) of about the area of `width` × `height` in the aspect W:H."""
    return fitting_size(width, height, _ratio(aspect))


def fitting_size(width: int, height: int, shape: tuple[int, int]) -> tuple[int, int]:
    """The bucket of the area `width` × `height` whose aspect is nearest to that of `shape` (width, height).

    A side below the least that a host draws makes it larger.
    """
    side = math.sqrt(width * height)
    step = 64 if side >= 256 else 16
    bucket = nearest(shape, make_buckets(max(step, round(side / step) * step), step, MAX_ASPECT))
    scale = max(1.0, LEAST / min(bucket.width, bucket.height))
    sides = [round(pixels * scale / LATENT_STEP) * LATENT_STEP for pixels in (bucket.width, bucket.height)]
    return sides[0], sides[1]


def size_for(width: int, height: int, aspect: str | None, photo: tuple[int, int]) -> tuple[int, int]:
    """The size in which a photo of the shape `photo` is drawn: as told, or in an aspect of about the same area."""
    if aspect is None:
        return width, height
    return fitting_size(width, height, photo) if aspect == PHOTO else size_in_aspect(width, height, aspect)


def _ratio(aspect: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4}):(\d{1,4})", aspect)
    if match is None or not int(match[1]) or not int(match[2]):
        raise InputError(f"there is no aspect {aspect!r}", to_try="--aspect photo, or W:H such as 3:4")
    return int(match[1]), int(match[2])
