"""How a garment is photographed: place, light, backdrop, grain; a second photo of it, and a bad one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from .shapes import UNITS


@dataclass(frozen=True)
class RenderedPhoto:
    """How a garment was photographed: all of a picture that is not the garment. Offsets in units."""

    scale: float = 1.0
    dx: float = 0.0
    dy: float = 0.0
    light: float = 0.1  # brightness difference across the picture, as a share
    light_angle: float = 0.8  # radians
    exposure: float = 1.0
    fold: float = 0.0  # phase of the soft folds, radians
    backdrop: tuple[tuple[int, int, int], tuple[int, int, int]] = ((226, 224, 230), (206, 208, 216))
    backdrop_angle: float = 1.2  # radians
    noise: int = 0  # seed of the fine grain


def sample_photo(rng: Random) -> RenderedPhoto:
    """A random photo: a pastel backdrop, mild changes of scale, place and light."""
    hue, sat = rng.random(), rng.uniform(0, 22)
    grey = rng.uniform(186, 226)
    first = tuple(round(grey + sat * math.cos(2 * math.pi * (hue + i / 3))) for i in range(3))
    step = rng.uniform(-16, 16)
    second = tuple(round(min(242, c + step + rng.uniform(-6, 6))) for c in first)
    return RenderedPhoto(
        rng.uniform(0.92, 1.06),
        rng.uniform(-2, 2),
        rng.uniform(-1.5, 1.5),
        rng.uniform(0.02, 0.14),
        rng.uniform(0, 2 * math.pi),
        rng.uniform(0.95, 1.04),
        rng.uniform(0, 2 * math.pi),
        (first, second),
        rng.uniform(0, 2 * math.pi),
        rng.getrandbits(31),
    )


def another_photo(photo: RenderedPhoto, rng: Random) -> RenderedPhoto:
    """A second photo of the same garment: nothing of the first but its existence."""
    return replace(sample_photo(rng), noise=photo.noise ^ 1)


def degrade(picture: Image.Image, rng: Random) -> Image.Image:
    """A bad photo of the same thing: what the words of the negative prompt mean."""
    kind = rng.choice(("blur", "blur", "washed", "noise"))
    unit = picture.width / UNITS
    if kind == "blur":
        return picture.filter(ImageFilter.GaussianBlur(rng.uniform(1.2, 2.2) * unit))
    pixels = np.asarray(picture, np.float32)
    if kind == "washed":
        pixels = pixels + (rng.choice((225, 170)) - pixels) * rng.uniform(0.45, 0.65)
    else:
        pixels = pixels + np.random.default_rng(rng.getrandbits(31)).normal(0, rng.uniform(24, 40), pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.7 * unit))
