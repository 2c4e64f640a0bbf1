"""What stands around a garment in other styles: grounds, bodies, mannequins, hangers."""

from __future__ import annotations

import math
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from .colours import DARK_WOOD, RGB, mix
from .cut import LOWER, Pattern
from .garment import Garment
from .other_pictures import SCENES, Sketch
from .shapes import Point, arc, box
from .style import Style

SKINS: tuple[RGB, RGB] = ((250, 218, 190), (92, 58, 42))
FORMS: tuple[RGB, ...] = ((232, 222, 206), (246, 246, 246), (60, 58, 62), (176, 150, 120), (190, 190, 194))
PALE: tuple[RGB, ...] = ((248, 247, 243), (238, 232, 220), (232, 236, 240))
NEUTRAL: tuple[RGB, ...] = ((240, 240, 240), (70, 70, 76), (150, 150, 156), (214, 206, 196))
LIMB_UNITS = 3.6  # width of an arm

Part = tuple[list[Point], RGB]


def ground(style: Style, size: int) -> np.ndarray:
    """The picture without a garment, float32 [size, size, 3]."""
    rng = Random(f"ground-{style.seed}")
    if style.ground == "scene":
        return scene(rng, size)
    if style.ground == "white":
        return np.full((size, size, 3), rng.uniform(244, 255), np.float32)
    colour = np.array(_ground_colour(style, rng), np.float32)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    noise = np.random.default_rng(rng.getrandbits(31))
    share = np.zeros((size, size), np.float32)
    if style.ground == "gradient":
        angle = rng.uniform(0, 6.3)
        share = rng.uniform(0.03, 0.16) * (x * math.cos(angle) + y * math.sin(angle))
    elif style.ground == "paper":
        share = noise.normal(0, 0.012, (size, size)).astype(np.float32)
    elif style.ground == "linen":
        share = 0.05 * (np.sin(2 * math.pi * 21 * x) + np.sin(2 * math.pi * 21 * y)) / 2
        share = share + noise.normal(0, 0.02, (size, size)).astype(np.float32)
    elif style.ground == "wood":
        planks = rng.randint(3, 6)
        board = np.floor(planks * x)
        grain = np.sin(2 * math.pi * (1.5 * y + 0.7 * np.sin(9 * x + board)) + 3 * board)
        share = 0.06 * grain + 0.08 * np.sin(5.1 * board) + 0.25 * ((planks * x) % 1 < 0.05)
    elif style.ground == "tiles":
        count = rng.randint(3, 7)
        joint = ((count * x) % 1 < 0.06) | ((count * y) % 1 < 0.06)
        share = 0.2 * joint + 0.03 * np.sin(7 * np.floor(count * x) + 13 * np.floor(count * y))
    return colour * (1 - share[..., None])


def _ground_colour(style: Style, rng: Random) -> RGB:
    if style.ground == "wood":
        return mix((214, 180, 140), DARK_WOOD, rng.random())
    if style.medium == "poster":
        red, green, blue = (rng.randint(90, 250) for _ in range(3))
        return red, green, blue
    pale = rng.choice(PALE)
    return mix(pale, (150, 150, 160), rng.uniform(0, 0.5)) if style.ground != "paper" else pale


def scene(rng: Random, size: int) -> np.ndarray:
    """Things out of focus: one of the pictures without garments, float32 [size, size, 3]."""
    sketch = Sketch(rng)
    rng.choice(SCENES)(sketch)
    blurred = sketch.image.filter(ImageFilter.GaussianBlur(rng.uniform(2, 14)))
    picture = np.asarray(blurred.resize((size, size), Image.Resampling.BOX), np.float32)
    return picture * rng.uniform(0.7, 1.05)


def figure(style: Style, garment: Garment, pattern: Pattern) -> list[Part]:
    """What carries the garment, behind it: outlines in units and their colours."""
    rng = Random(f"figure-{style.seed}")
    if style.figure == "hanger":
        return hanger(garment, pattern, rng)
    if style.figure == "mannequin":
        return mannequin(garment, pattern, rng)
    return person(garment, pattern, rng) if style.figure == "person" else []


def shoulders(garment: Garment, pattern: Pattern) -> tuple[float, float]:
    """Half the width of the body's shoulders and how high they are, as the garment has it or would have it."""
    if garment.category in LOWER:
        return 11.0, pattern.shoulder_y - 21
    return (pattern.chest[0] - 32) / 0.48 - 0.8, pattern.shoulder_y + 1


def person(garment: Garment, pattern: Pattern, rng: Random) -> list[Part]:
    """Head, neck, arms, legs and, over a skirt or trousers, a plain top."""
    skin, hair = mix(*SKINS, rng.random()), mix((230, 200, 120), (24, 18, 16), rng.random())
    half, top = shoulders(garment, pattern)
    hip, floor = top + 24, top + 70
    parts: list[Part] = []
    for sign in (1, -1):
        parts += limb((32 + sign * 4.6, hip - 2), (32 + sign * 5.2, floor), 5.4, 3.4, skin)
        parts.append((arc(32 + sign * 6, floor + 1, 3.4, 1.7, 0, 1, 10), mix(hair, (40, 40, 44), 0.5)))
        hand = (32 + sign * (half + rng.uniform(4, 9)), top + 29)
        parts += limb((32 + sign * (half - 1), top + 1.5), hand, LIMB_UNITS, 2.8, skin)
        parts.append((arc(*hand, 2, 2.4, 0, 1, 10), skin))
    torso = [(32 - half, top), (32 + half, top), (32 + 0.8 * half, hip), (32 - 0.8 * half, hip)]
    parts.append((torso, rng.choice(NEUTRAL) if garment.category in LOWER else skin))
    parts.append((box(29.6, top - 6, 34.4, top + 2), skin))
    parts.append((arc(32, top - 9.5, 5.4, 6.6, 0, 1, 18), hair))
    parts.append((arc(32, top - 8.6, 4.1, 5.4, 0, 1, 18), skin))
    return parts


def mannequin(garment: Garment, pattern: Pattern, rng: Random) -> list[Part]:
    """A neck and a torso of one colour on a pole."""
    form, (half, top) = rng.choice(FORMS), shoulders(garment, pattern)
    pole = mix(form, (30, 30, 34), 0.6)
    torso = [(32 - half, top), (32 + half, top), (32 + 0.72 * half, top + 17), (32 + 0.9 * half, top + 27)]
    torso += [(32 - 0.9 * half, top + 27), (32 - 0.72 * half, top + 17)]
    return [
        (box(31, top + 20, 33, top + 72), pole),
        (arc(32, top + 72, 9, 1.6, 0, 1, 14), pole),
        (torso, form),
        (box(29.4, top - 5, 34.6, top + 2), form),
        (arc(32, top - 5, 2.6, 1.3, 0, 1, 12), mix(form, (30, 30, 34), 0.3)),
    ]


def hanger(garment: Garment, pattern: Pattern, rng: Random) -> list[Part]:
    """A bar within the shoulders, or above the waist, and a hook."""
    wood, top = mix((220, 180, 130), DARK_WOOD, rng.random()), pattern.shoulder_y
    if garment.category in LOWER:
        bar = box(20, top - 3.4, 44, top - 1.2)
        clips = [box(x, top - 4, x + 2, top + 2) for x in (22, 40)]
        return [
            (bar, wood),
            *((clip, mix(wood, (20, 20, 20), 0.5)) for clip in clips),
            (box(31.5, top - 9, 32.5, top - 3), wood),
        ]
    half = (pattern.chest[0] - 32) / 0.48
    bar = [(32 - half + 1, top + 3), (32, top - 2.6), (32 + half - 1, top + 3), (32, top - 0.4)]
    return [(bar, wood), (box(31.5, top - 8, 32.5, top - 2), wood), (arc(33, top - 8.5, 1.6, 1.6, 0.4, 1.1, 8), wood)]


def limb(start: Point, end: Point, wide: float, narrow: float, colour: RGB) -> list[Part]:
    """A quadrilateral from `start` to `end`, and a disc at its start."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy) or 1.0
    nx, ny = -dy / length / 2, dx / length / 2
    outline = [
        (start[0] + nx * wide, start[1] + ny * wide),
        (end[0] + nx * narrow, end[1] + ny * narrow),
        (end[0] - nx * narrow, end[1] - ny * narrow),
        (start[0] - nx * wide, start[1] - ny * wide),
    ]
    return [(outline, colour), (arc(*start, wide / 2, wide / 2, 0, 1, 12), colour)]
