"""The printed sheet that a garment is cut from.

It is fixed to the picture and seen through the garment's silhouette: one cell of the autoencoder's 8×8 latents then
always meets the same piece of print.
"""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from .colours import CREAM, GOLD, INK, RGB, ROSE, mix, second_colour
from .garment import Garment
from .shapes import UNITS


def blossom(draw: ImageDraw.ImageDraw, x: float, y: float, size: float, petal: RGB, centre: RGB) -> None:
    """Five petals around a contrasting heart, `size` pixels wide."""
    for k in range(5):
        angle = -math.pi / 2 + 2 * math.pi * k / 5
        px, py, r = x + 0.29 * size * math.cos(angle), y + 0.29 * size * math.sin(angle), 0.23 * size
        draw.ellipse((px - r, py - r, px + r, py + r), fill=petal)
    r = 0.15 * size
    draw.ellipse((x - r, y - r, x + r, y + r), fill=centre)


def fabric(garment: Garment, unit: int) -> Image.Image:
    """The printed sheet, RGB, 64 × `unit` pixels each way."""
    side = UNITS * unit
    sheet = Image.new("RGB", (side, side), garment.rgb)
    print_of = PRINTS.get(garment.pattern)
    if print_of is not None:
        print_of(ImageDraw.Draw(sheet), garment.rgb, second_colour(garment), unit)
    return sheet


ROWS = range(0, UNITS, 8)


def stripes(draw: ImageDraw.ImageDraw, base: RGB, other: RGB, unit: int) -> None:
    """Horizontal bands."""
    for y in ROWS:
        draw.rectangle((0, (y + 2.5) * unit, UNITS * unit, (y + 5.5) * unit - 1), fill=other)


def pinstripes(draw: ImageDraw.ImageDraw, base: RGB, other: RGB, unit: int) -> None:
    """Vertical lines."""
    for x in ROWS:
        draw.rectangle(((x + 3) * unit, 0, (x + 5) * unit - 1, UNITS * unit), fill=other)


def checks(draw: ImageDraw.ImageDraw, base: RGB, other: RGB, unit: int) -> None:
    """Lines both ways, full colour where they cross."""

    def fill(x0: int, y0: int, x1: int, y1: int, colour: RGB) -> None:
        draw.rectangle((x0 * unit, y0 * unit, x1 * unit - 1, y1 * unit - 1), fill=colour)

    for k in ROWS:
        fill(0, k + 3, UNITS, k + 5, mix(base, other, 0.75))
        fill(k + 3, 0, k + 5, UNITS, mix(base, other, 0.75))
    for y in ROWS:
        for x in ROWS:
            fill(x + 3, y + 3, x + 5, y + 5, other)


def dots(draw: ImageDraw.ImageDraw, base: RGB, other: RGB, unit: int) -> None:
    """Discs, each second row half a step to the side."""
    for row, y in enumerate(ROWS):
        for x in range(0, UNITS + 8, 8):
            cx, cy, r = (x + (4 if row % 2 else 0)) * unit, (y + 4) * unit, 2.35 * unit
            draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=other)


def flowers(draw: ImageDraw.ImageDraw, base: RGB, other: RGB, unit: int) -> None:
    """Blossoms, each second row half a step to the side."""
    petal, centre = (ROSE, CREAM) if other == INK else (CREAM, GOLD)
    for row, y in enumerate(range(0, UNITS, 12)):
        for x in range(-8, UNITS + 16, 16):
            blossom(draw, (x + (8 if row % 2 else 0)) * unit, (y + 6) * unit, 11.5 * unit, petal, centre)


def zigzags(draw: ImageDraw.ImageDraw, base: RGB, other: RGB, unit: int) -> None:
    """Lines that go up and down."""
    for y in range(-8, UNITS + 8, 8):
        points = [(x * unit, (y + (2 if x % 8 == 0 else 6)) * unit) for x in range(0, UNITS + 4, 4)]
        draw.line(points, fill=other, width=round(2.2 * unit), joint="curve")


PRINTS = {  # pattern label → what draws it; a plain sheet has nothing on it
    "striped": stripes,
    "pinstriped": pinstripes,
    "checked": checks,
    "dotted": dots,
    "floral": flowers,
    "zigzag": zigzags,
}
