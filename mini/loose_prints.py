"""Prints at any scale and angle, their motifs regular or each with its own place and size.

The words are those of the regular prints (fabric.py): stripes lie across, pinstripes stand and are thin.
"""

from __future__ import annotations

import math
from random import Random

from PIL import Image, ImageDraw

from .colours import CREAM, GOLD, INK, ROSE, mix, second_colour
from .garment import Garment
from .shapes import UNITS
from .style import Style

MARGIN = 1.5  # of the sheet's side: what a turned print needs


class PrintSheet:
    """A square to print on, larger than the garment; `step` is the print's period in pixels."""

    def __init__(self, garment: Garment, style: Style, unit: int):
        self.style, self.rng = style, Random(f"print-{style.print_seed}")
        self.side = round(MARGIN * UNITS * unit)
        self.step = 8 * unit * style.print_scale
        self.base, self.other = garment.rgb, second_colour(garment)
        self.image = Image.new("RGB", (self.side, self.side), garment.rgb)
        self.draw = ImageDraw.Draw(self.image)

    def places(self, across: float, down: float) -> list[tuple[float, float, float]]:
        """Centres and sizes (about 1) of motifs, each second row half a step to the side."""
        loose, rng, places, row, y = self.style.loose, self.rng, [], 0, 0.0
        while y < self.side + down:
            x = across / 2 * (row % 2)
            while x < self.side + across:
                dx, dy = (loose * 0.35 * rng.uniform(-1, 1) for _ in range(2))
                places.append((x + dx * across, y + dy * down, 1 + loose * rng.uniform(-0.35, 0.3)))
                x += across
            row, y = row + 1, y + down
        return places

    def bands(self) -> list[tuple[float, float]]:
        """Positions of bands a period apart, and how wide each is as a share of what it would be (about 1)."""
        loose, rng = self.style.loose, self.rng
        count = math.ceil(self.side / self.step) + 1
        return [(k * self.step, 1 + loose * rng.uniform(-0.4, 0.5)) for k in range(count)]


def stripes(sheet: PrintSheet) -> None:
    """Bands across."""
    for y, width in sheet.bands():
        sheet.draw.rectangle((0, y, sheet.side, y + 0.4 * sheet.step * width), fill=sheet.other)


def pinstripes(sheet: PrintSheet) -> None:
    """Thin lines down."""
    for x, width in sheet.bands():
        sheet.draw.rectangle((x, 0, x + 0.2 * sheet.step * width, sheet.side), fill=sheet.other)


def checks(sheet: PrintSheet) -> None:
    """Bands both ways, full colour where they cross."""
    bands = [(at, 0.25 * sheet.step * width) for at, width in sheet.bands()]
    half = mix(sheet.base, sheet.other, 0.7)
    for at, width in bands:
        sheet.draw.rectangle((0, at, sheet.side, at + width), fill=half)
        sheet.draw.rectangle((at, 0, at + width, sheet.side), fill=half)
    for y, high in bands:
        for x, wide in bands:
            sheet.draw.rectangle((x, y, x + wide, y + high), fill=sheet.other)


def dots(sheet: PrintSheet) -> None:
    """Discs."""
    for x, y, size in sheet.places(sheet.step, sheet.step):
        r = 0.29 * sheet.step * size
        sheet.draw.ellipse((x - r, y - r, x + r, y + r), fill=sheet.other)


def flowers(sheet: PrintSheet) -> None:
    """Blossoms of any number of petals, some with a leaf."""
    petal, centre = (ROSE, CREAM) if sheet.other == INK else (CREAM, GOLD)
    leaf = mix(sheet.base, (60, 110, 60), 0.7)
    for x, y, size in sheet.places(2 * sheet.step, 1.5 * sheet.step):
        reach, turn = 0.72 * sheet.step * size, sheet.rng.uniform(0, 6.3)
        if sheet.style.loose > 0.4:
            points = [
                (x, y),
                (x + reach, y + 0.35 * reach),
                (x + 1.15 * reach, y + 0.9 * reach),
                (x + 0.4 * reach, y + 0.7 * reach),
            ]
            sheet.draw.polygon(points, fill=leaf)
        for k in range(sheet.style.petals):
            angle = turn + 2 * math.pi * k / sheet.style.petals
            px, py = x + 0.55 * reach * math.cos(angle), y + 0.55 * reach * math.sin(angle)
            r = 0.42 * reach * min(1.0, 5.5 / sheet.style.petals)
            sheet.draw.ellipse((px - r, py - r, px + r, py + r), fill=petal)
        r = 0.28 * reach
        sheet.draw.ellipse((x - r, y - r, x + r, y + r), fill=centre)


def zigzags(sheet: PrintSheet) -> None:
    """Lines that go up and down."""
    for y, width in sheet.bands():
        half = sheet.step / 2
        count = math.ceil(sheet.side / half) + 1
        points = [(k * half, y + (0 if k % 2 else half)) for k in range(count)]
        sheet.draw.line(points, fill=sheet.other, width=max(1, round(0.26 * sheet.step * width)), joint="curve")


PRINTS = {
    "striped": stripes,
    "pinstriped": pinstripes,
    "checked": checks,
    "dotted": dots,
    "floral": flowers,
    "zigzag": zigzags,
}


def loose_fabric(garment: Garment, style: Style, unit: int) -> Image.Image:
    """The printed sheet, RGB, 64 × `unit` pixels each way."""
    sheet = PrintSheet(garment, style, unit)
    if garment.pattern in PRINTS:
        PRINTS[garment.pattern](sheet)
    turned = sheet.image.rotate(math.degrees(style.print_angle), Image.Resampling.BILINEAR)
    corner, side = (sheet.side - UNITS * unit) // 2, UNITS * unit
    return turned.crop((corner, corner, corner + side, corner + side))
