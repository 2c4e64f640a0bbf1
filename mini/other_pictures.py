"""Pictures that show no garment: texts, faces, objects, noise, blanks. They measure what the tagger refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from .colours import RGB, mix

SIDE = 384  # pixels
DARK, LIGHT = (34, 32, 40), (236, 234, 230)
WORDS = "the of invoice total terms and conditions apply see reverse chapter one menu open daily price list".split()


class Sketch:
    """A sheet to draw on in shares of its side, with a random ground and two random colours."""

    def __init__(self, rng: Random):
        self.rng = rng
        ground = (rng.randint(170, 245),) * 3 if rng.random() < 0.5 else random_colour(rng)
        self.image = Image.new("RGB", (SIDE, SIDE), ground)
        self.draw = ImageDraw.Draw(self.image)
        self.first, self.second = random_colour(rng), random_colour(rng)

    def at(self, *shares: float) -> list[float]:
        """Shares of the side as pixels."""
        return [SIDE * share for share in shares]

    def oval(self, x: float, y: float, rx: float, ry: float, fill: RGB) -> None:
        """A filled ellipse around (x, y)."""
        self.draw.ellipse(self.at(x - rx, y - ry, x + rx, y + ry), fill=fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: RGB) -> None:
        """A filled rectangle."""
        self.draw.rectangle(self.at(x0, y0, x1, y1), fill=fill)

    def polygon(self, points: list[tuple[float, float]], fill: RGB) -> None:
        """A filled polygon."""
        self.draw.polygon([(SIDE * x, SIDE * y) for x, y in points], fill=fill)

    def line(self, points: list[tuple[float, float]], fill: RGB, width: float = 0.015) -> None:
        """A line of a width in shares of the side."""
        self.draw.line([(SIDE * x, SIDE * y) for x, y in points], fill=fill, width=max(1, round(SIDE * width)))


def random_colour(rng: Random) -> RGB:
    """Any colour."""
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)


def page_of_text(sketch: Sketch) -> None:
    """Lines of words on paper."""
    rng, size = sketch.rng, sketch.rng.choice((14, 22, 40))
    sketch.box(0, 0, 1, 1, LIGHT)
    font = ImageFont.load_default(size)
    for y in range(12, SIDE - size, round(size * 1.5)):
        sketch.draw.text((14, y), " ".join(rng.choices(WORDS, k=400 // size)), DARK, font)


def face(sketch: Sketch) -> None:
    """A head with hair, eyes, nose and mouth."""
    skin, hair = mix((250, 214, 180), (110, 70, 50), sketch.rng.random()), sketch.first
    sketch.oval(0.5, 0.46, 0.3, 0.36, hair)
    sketch.oval(0.5, 0.52, 0.24, 0.3, skin)
    for x in (0.41, 0.59):
        sketch.oval(x, 0.47, 0.045, 0.025, (255, 255, 255))
        sketch.oval(x, 0.47, 0.02, 0.022, DARK)
    sketch.line([(0.5, 0.5), (0.48, 0.6), (0.52, 0.6)], mix(skin, DARK, 0.4))
    sketch.oval(0.5, 0.69, 0.08, 0.025, (180, 60, 70))


def cat(sketch: Sketch) -> None:
    """A sitting cat."""
    sketch.oval(0.5, 0.68, 0.2, 0.25, sketch.first)
    sketch.oval(0.5, 0.36, 0.16, 0.14, sketch.first)
    for sign in (1, -1):
        sketch.polygon([(0.5 + sign * 0.15, 0.34), (0.5 + sign * 0.13, 0.14), (0.5 + sign * 0.03, 0.26)], sketch.first)
        sketch.oval(0.5 + sign * 0.06, 0.35, 0.025, 0.03, (230, 220, 90))
    sketch.line([(0.68, 0.85), (0.82, 0.7), (0.8, 0.5)], sketch.first, 0.05)


def cup(sketch: Sketch) -> None:
    """A cup with a handle."""
    sketch.polygon([(0.3, 0.3), (0.66, 0.3), (0.62, 0.74), (0.34, 0.74)], sketch.first)
    sketch.draw.arc(sketch.at(0.56, 0.38, 0.8, 0.64), -90, 90, fill=sketch.first, width=16)
    sketch.oval(0.48, 0.3, 0.18, 0.04, mix(sketch.first, DARK, 0.5))


def house(sketch: Sketch) -> None:
    """A house under a sky."""
    sketch.box(0, 0, 1, 0.7, (150, 190, 235))
    sketch.box(0, 0.7, 1, 1, (90, 150, 80))
    sketch.box(0.25, 0.45, 0.75, 0.8, sketch.first)
    sketch.polygon([(0.2, 0.45), (0.5, 0.2), (0.8, 0.45)], sketch.second)
    sketch.box(0.45, 0.6, 0.55, 0.8, DARK)
    for x in (0.3, 0.62):
        sketch.box(x, 0.52, x + 0.08, 0.6, LIGHT)


def car(sketch: Sketch) -> None:
    """A car from the side."""
    sketch.box(0.1, 0.5, 0.9, 0.66, sketch.first)
    sketch.polygon([(0.26, 0.5), (0.36, 0.36), (0.66, 0.36), (0.76, 0.5)], sketch.first)
    for x in (0.28, 0.72):
        sketch.oval(x, 0.67, 0.08, 0.08, DARK)
        sketch.oval(x, 0.67, 0.035, 0.035, (170, 170, 175))


def tree(sketch: Sketch) -> None:
    """A tree with a round crown."""
    sketch.box(0.46, 0.55, 0.54, 0.92, (110, 76, 48))
    for _ in range(9):
        x, y = 0.5 + sketch.rng.uniform(-0.18, 0.18), 0.36 + sketch.rng.uniform(-0.16, 0.16)
        sketch.oval(x, y, 0.13, 0.12, (60, sketch.rng.randint(110, 170), 60))


def chair(sketch: Sketch) -> None:
    """A chair from the front."""
    sketch.box(0.32, 0.14, 0.68, 0.5, sketch.first)
    sketch.box(0.28, 0.5, 0.72, 0.58, mix(sketch.first, DARK, 0.3))
    for x in (0.29, 0.67):
        sketch.box(x, 0.58, x + 0.04, 0.9, mix(sketch.first, DARK, 0.5))


def bottle(sketch: Sketch) -> None:
    """A bottle with a label."""
    sketch.box(0.38, 0.36, 0.62, 0.9, sketch.first)
    sketch.polygon([(0.38, 0.36), (0.62, 0.36), (0.55, 0.26), (0.45, 0.26)], sketch.first)
    sketch.box(0.45, 0.1, 0.55, 0.27, sketch.first)
    sketch.box(0.38, 0.52, 0.62, 0.72, LIGHT)


def telephone(sketch: Sketch) -> None:
    """A smartphone with icons."""
    sketch.draw.rounded_rectangle(sketch.at(0.32, 0.08, 0.68, 0.92), 24, fill=DARK)
    sketch.box(0.35, 0.14, 0.65, 0.86, sketch.first)
    for row in range(5):
        for column in range(3):
            x, y = 0.38 + column * 0.09, 0.2 + row * 0.12
            sketch.box(x, y, x + 0.06, y + 0.06, random_colour(sketch.rng))


def clock(sketch: Sketch) -> None:
    """A clock's face."""
    sketch.oval(0.5, 0.5, 0.36, 0.36, sketch.first)
    sketch.oval(0.5, 0.5, 0.32, 0.32, LIGHT)
    for hour in range(12):
        angle = math.pi * hour / 6
        sketch.oval(0.5 + 0.27 * math.cos(angle), 0.5 + 0.27 * math.sin(angle), 0.015, 0.015, DARK)
    for length in (0.16, 0.24):
        angle = sketch.rng.uniform(0, 6.3)
        sketch.line([(0.5, 0.5), (0.5 + length * math.cos(angle), 0.5 + length * math.sin(angle))], DARK)


def fish(sketch: Sketch) -> None:
    """A fish in water."""
    sketch.box(0, 0, 1, 1, (70, 130, 170))
    sketch.oval(0.45, 0.5, 0.26, 0.14, sketch.first)
    sketch.polygon([(0.66, 0.5), (0.86, 0.36), (0.86, 0.64)], sketch.second)
    sketch.oval(0.3, 0.46, 0.025, 0.025, LIGHT)


def chart(sketch: Sketch) -> None:
    """Bars over an axis."""
    sketch.box(0, 0, 1, 1, (255, 255, 255))
    for index in range(7):
        x = 0.14 + index * 0.11
        sketch.box(x, 0.85 - sketch.rng.uniform(0.1, 0.7), x + 0.07, 0.85, sketch.first)
    sketch.line([(0.1, 0.1), (0.1, 0.85), (0.92, 0.85)], DARK, 0.008)


def barcode(sketch: Sketch) -> None:
    """Upright bars on white."""
    sketch.box(0, 0, 1, 1, (255, 255, 255))
    x = 0.15
    while x < 0.85:
        width = sketch.rng.choice((0.006, 0.012, 0.02))
        sketch.box(x, 0.25, x + width, 0.75, (0, 0, 0))
        x += width + sketch.rng.choice((0.006, 0.014))


def blank(sketch: Sketch) -> None:
    """One colour, or a gradient between two."""
    if sketch.rng.random() < 0.5:
        share = np.linspace(0, 1, SIDE)[:, None, None]
        pixels = np.array(sketch.first) * (1 - share) + np.array(sketch.second) * share
        sketch.image.paste(Image.fromarray(np.broadcast_to(pixels, (SIDE, SIDE, 3)).astype(np.uint8)))


def noise(sketch: Sketch) -> None:
    """Noise of a random grain, gray or coloured."""
    side, channels = sketch.rng.choice((6, 24, SIDE)), sketch.rng.choice((1, 3))
    values = np.random.default_rng(sketch.rng.getrandbits(31)).integers(0, 256, (side, side, channels), np.uint8)
    picture = Image.fromarray(np.broadcast_to(values, (side, side, 3)).copy())
    sketch.image.paste(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def landscape(sketch: Sketch) -> None:
    """Sky, hills, sun."""
    sketch.box(0, 0, 1, 1, mix((120, 170, 230), sketch.first, 0.3))
    sketch.oval(sketch.rng.uniform(0.2, 0.8), 0.2, 0.08, 0.08, (250, 230, 140))
    for level in range(3):
        y = 0.5 + 0.15 * level
        hill = [(x / 20, y + 0.08 * math.sin(x / 3 + level * 2)) for x in range(21)]
        sketch.polygon([*hill, (1, 1), (0, 1)], mix((70, 130, 80), DARK, 0.25 * level))


def shapes(sketch: Sketch) -> None:
    """Anything: ovals, boxes, polygons and lines all over."""
    rng = sketch.rng
    for _ in range(rng.randint(1, 9)):
        colour, x, y = random_colour(rng), rng.random(), rng.random()
        wide, tall = rng.uniform(0.03, 0.4), rng.uniform(0.03, 0.4)
        corners = [(x + rng.uniform(-0.3, 0.3), y + rng.uniform(-0.3, 0.3)) for _ in range(rng.randint(3, 6))]
        what = rng.choice(("oval", "box", "polygon", "line"))
        if what == "oval":
            sketch.oval(x, y, wide, tall, colour)
        elif what == "box":
            sketch.box(x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2, colour)
        elif what == "polygon":
            sketch.polygon(corners, colour)
        else:
            sketch.line(corners[:2], colour, rng.uniform(0.005, 0.06))


def vase(sketch: Sketch) -> None:
    """One thing in the middle, the same on both sides, as garments are."""
    rng, points = sketch.rng, sketch.rng.randint(3, 7)
    half = [(rng.uniform(0.05, 0.4), 0.1 + 0.8 * step / points) for step in range(points + 1)]
    sketch.polygon([(0.5 + x, y) for x, y in half] + [(0.5 - x, y) for x, y in reversed(half)], random_colour(rng))
    for _ in range(rng.randint(0, 4)):
        x, y, radius, colour = rng.uniform(0.3, 0.5), rng.uniform(0.2, 0.8), rng.uniform(0.02, 0.08), random_colour(rng)
        sketch.oval(x, y, radius, radius, colour)
        sketch.oval(1 - x, y, radius, radius, colour)


def tiles(sketch: Sketch) -> None:
    """A wall of tiles or dots."""
    count, dots = sketch.rng.randint(2, 9), sketch.rng.random() < 0.5
    half = sketch.rng.uniform(0.2, 0.45) / count
    for row in range(count):
        for column in range(count):
            x, y, fill = (column + 0.5) / count, (row + 0.5) / count, (sketch.first, sketch.second)[(row + column) % 2]
            if dots:
                sketch.oval(x, y, half, half, fill)
            else:
                sketch.box(x - half, y - half, x + half, y + half, fill)


KINDS: dict[str, Callable[[Sketch], None]] = {
    draw.__name__: draw
    for draw in (
        *(page_of_text, face, cat, cup, house, car, tree, chair, bottle, telephone, clock, fish, chart, barcode),
        *(blank, noise, landscape, shapes, vase, tiles),
    )
}

SCENES = (house, car, tree, chair, landscape, blank)  # what may stand behind somebody


def other_pictures(count: int, seed: str) -> list[tuple[str, Image.Image]]:
    """Kinds and pictures, RGB, SIDE × SIDE, all kinds in turn; every third one a little out of focus."""
    rng, pictures = Random(seed), []
    for index in range(count):
        name = list(KINDS)[index % len(KINDS)]
        sketch = Sketch(rng)
        KINDS[name](sketch)
        picture = sketch.image.filter(ImageFilter.GaussianBlur(1.5)) if index % 3 == 2 else sketch.image
        pictures.append((name, picture))
    return pictures
