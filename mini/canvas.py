"""Cloth to draw on in units: a printed sheet and the silhouette through which it is seen."""

from __future__ import annotations

from PIL import Image, ImageDraw

from .colours import RGB
from .fabric import fabric
from .garment import Garment
from .photo import RenderedPhoto
from .shapes import Point, arc


class Canvas:
    """Draws in units on a large RGB fabric sheet, through the photo's scale and place."""

    def __init__(self, garment: Garment, photo: RenderedPhoto, unit: int) -> None:
        self.unit, self.photo = unit, photo
        self.sheet = fabric(garment, unit)
        self.mask = Image.new("L", self.sheet.size, 0)
        self.draw, self.mask_draw = ImageDraw.Draw(self.sheet), ImageDraw.Draw(self.mask)

    def place(self, points: list[Point]) -> list[Point]:
        """Units → pixels of the sheet, as the photo has it."""
        photo, unit = self.photo, self.unit
        return [
            ((32 + (x - 32) * photo.scale + photo.dx) * unit, (33 + (y - 33) * photo.scale + photo.dy) * unit)
            for x, y in points
        ]

    def cut_out(self, points: list[Point], fill: int = 255) -> None:
        """Add to the silhouette, or with `fill=0` take away."""
        self.mask_draw.polygon(self.place(points), fill=fill)

    def shape(self, points: list[Point], fill: RGB) -> None:
        """A filled polygon on the cloth."""
        self.draw.polygon(self.place(points), fill=fill)

    def line(self, points: list[Point], fill: RGB, width: float = 0.7) -> None:
        """A line on the cloth, `width` in units."""
        self.draw.line(self.place(points), fill=fill, width=max(1, round(width * self.unit)), joint="curve")

    def dot(self, x: float, y: float, r: float, fill: RGB) -> None:
        """A disc on the cloth."""
        self.shape(arc(x, y, r, r, 0, 1, 16), fill)
