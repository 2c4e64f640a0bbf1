"""The colours beside a garment's own: of prints, seams and trims."""

from __future__ import annotations

from .garment import Garment

RGB = tuple[int, int, int]
CREAM, INK, ROSE, GOLD = (250, 241, 222), (38, 34, 52), (206, 52, 92), (252, 196, 48)
DARK_WOOD = (92, 62, 40)
LIGHT_COLOURS = {"yellow", "white", "pink", "orange"}


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """`share` of the way from colour `a` to colour `b`."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def second_colour(garment: Garment) -> RGB:
    """The print's other colour: a function of the base colour alone, so that a word pair says all of it."""
    return INK if garment.colour in LIGHT_COLOURS else CREAM


def edge_colour(rgb: RGB) -> RGB:
    """Seams and outlines: darker than the fabric, except on near-black, where they are lighter."""
    return mix(rgb, (96, 96, 104), 0.5) if sum(rgb) < 170 else mix(rgb, (18, 14, 26), 0.42)
