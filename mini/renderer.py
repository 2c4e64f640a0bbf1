"""Garment + photo → picture. Vector shapes in units of 1/64 picture, drawn four times too large and reduced.

Fabric is a printed sheet fixed to the picture, seen through the garment's silhouette:
one cell of the autoencoder's 8×8 latents then always meets the same piece of print.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from .garment import Garment, Trait

UNITS = 64
SUPERSAMPLE = 4
CREAM, INK, ROSE, GOLD = (250, 241, 222), (38, 34, 52), (206, 52, 92), (252, 196, 48)
LIGHT_COLOURS = {"yellow", "white", "pink", "orange"}
Point = tuple[float, float]


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


# ── colour ──


def mix(a, b, share: float) -> tuple[int, int, int]:
    """`share` of the way from colour `a` to colour `b`."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))


def second_colour(garment: Garment) -> tuple[int, int, int]:
    """The print's other colour: a function of the base colour alone, so that a word pair says all of it."""
    return INK if garment.colour in LIGHT_COLOURS else CREAM


def edge_colour(rgb) -> tuple[int, int, int]:
    """Seams and outlines: darker than the fabric, except on near-black, where they are lighter."""
    return mix(rgb, (96, 96, 104), 0.5) if sum(rgb) < 170 else mix(rgb, (18, 14, 26), 0.42)


# ── fabric ──


def blossom(draw: ImageDraw.ImageDraw, x: float, y: float, size: float, petal, centre) -> None:
    """Five petals around a contrasting heart, `size` pixels wide."""
    for k in range(5):
        angle = -math.pi / 2 + 2 * math.pi * k / 5
        px, py, r = x + 0.29 * size * math.cos(angle), y + 0.29 * size * math.sin(angle), 0.23 * size
        draw.ellipse((px - r, py - r, px + r, py + r), fill=petal)
    r = 0.15 * size
    draw.ellipse((x - r, y - r, x + r, y + r), fill=centre)


def fabric(garment: Garment, unit: int) -> Image.Image:
    """The printed sheet, RGB, 64 × `unit` pixels each way."""
    base, other = garment.rgb, second_colour(garment)
    side = UNITS * unit
    sheet = Image.new("RGB", (side, side), base)
    draw = ImageDraw.Draw(sheet)
    rows = range(0, UNITS, 8)
    if garment.pattern == "striped":
        for y in rows:
            draw.rectangle((0, (y + 2.5) * unit, side, (y + 5.5) * unit - 1), fill=other)
    elif garment.pattern == "pinstriped":
        for x in range(0, UNITS, 8):
            draw.rectangle(((x + 3) * unit, 0, (x + 5) * unit - 1, side), fill=other)
    elif garment.pattern == "checked":
        for k in rows:
            for box in ((0, k + 3, UNITS, k + 5), (k + 3, 0, k + 5, UNITS)):
                draw.rectangle(
                    (box[0] * unit, box[1] * unit, box[2] * unit - 1, box[3] * unit - 1),
                    fill=mix(base, other, 0.75),
                )
        for y in rows:
            for x in rows:
                draw.rectangle(((x + 3) * unit, (y + 3) * unit, (x + 5) * unit - 1, (y + 5) * unit - 1), fill=other)
    elif garment.pattern == "dotted":
        for row, y in enumerate(rows):
            for x in range(0, UNITS + 8, 8):
                cx, cy, r = (x + (4 if row % 2 else 0)) * unit, (y + 4) * unit, 2.35 * unit
                draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=other)
    elif garment.pattern == "floral":
        petal = ROSE if other == INK else CREAM
        centre = CREAM if other == INK else GOLD
        for row, y in enumerate(range(0, UNITS, 12)):
            for x in range(-8, UNITS + 16, 16):
                blossom(draw, (x + (8 if row % 2 else 0)) * unit, (y + 6) * unit, 11.5 * unit, petal, centre)
    elif garment.pattern == "zigzag":
        for y in range(-8, UNITS + 8, 8):
            points = [((x) * unit, (y + (2 if x % 8 == 0 else 6)) * unit) for x in range(0, UNITS + 4, 4)]
            draw.line(points, fill=other, width=round(2.2 * unit), joint="curve")
    return sheet


# ── shapes ──


@dataclass
class Pattern:
    """The paper pattern of one garment, in units before the photo's scale and place; x = 32 is the middle."""

    body: list[Point]
    sleeves: list[list[Point]]
    hole: list[Point]  # what the neckline leaves open
    hem: list[list[Point]]  # regions that the unnamed traits colour, clipped to the garment
    cuffs: list[list[Point]]
    yoke: list[Point]
    chest: Point
    waist_y: float
    shoulder_y: float
    bottom_y: float


def mirrored(right: list[Point]) -> list[Point]:
    """The right half of an outline, closed by its mirror image."""
    return right + [(UNITS - x, y) for x, y in reversed(right)]


def box(x0: float, y0: float, x1: float, y1: float) -> list[Point]:
    """The rectangle as a polygon."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float, n: int = 14) -> list[Point]:
    """Points on an ellipse, angles in turns."""
    return [
        (
            cx + rx * math.cos(2 * math.pi * (start + (stop - start) * i / n)),
            cy + ry * math.sin(2 * math.pi * (start + (stop - start) * i / n)),
        )
        for i in range(n + 1)
    ]


def slice_of(limb: list[Point], start: float, stop: float) -> list[Point]:
    """The part of a four-cornered limb (inner top, outer top, outer end, inner end) between two shares of
    its length."""

    def at(a: Point, b: Point, t: float) -> Point:
        return a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t

    inner, outer, outer_end, inner_end = limb
    return [
        at(inner, inner_end, start),
        at(outer, outer_end, start),
        at(outer, outer_end, stop),
        at(inner, inner_end, stop),
    ]


def cut_upper(g: Garment) -> Pattern:
    """Dress, top, hoodie, jacket, coat, jumpsuit: shoulders, arms, neck."""
    short = g.category in ("top", "hoodie", "jacket")
    top = {"dress": 7.5, "jumpsuit": 6, "coat": 7.5, "top": 12, "hoodie": 17, "jacket": 12}[g.category]
    shoulder = (14 if short else 9.5 if g.category != "coat" else 11) + 0.8 * g.width
    waist_y = top + (22 if short else 17)
    bottom = (
        {"mini": 42, "midi": 51, "maxi": 61}[g.length]
        if g.length
        else {"jumpsuit": 61, "top": 52, "hoodie": 55, "jacket": 53}[g.category]
    )
    bottom += 0.8 * g.hem
    chest = shoulder - 0.5
    if g.category == "dress":
        waist, hem = chest - 1.8, chest + 3.5 + (bottom - 40) * 0.22 + 2 * g.flare
    elif g.category == "coat":
        waist, hem = chest - 0.2, chest + 2.5 + 1.2 * g.flare
    elif g.category == "jumpsuit":
        waist, hem = chest - 1.5, chest + 2.5 + 2 * g.flare
    else:
        waist, hem = (
            chest - 0.3 + 0.6 * g.flare,
            chest + (-0.6 if g.category == "hoodie" else 0.4) + 0.8 * g.flare,
        )
    neck = 5.2 if short else 4.4
    side = [(neck, top - 1.2), (shoulder, top + 1.2), (chest, top + 9), (waist, waist_y), (hem, bottom)]
    right = [(32 + x, y) for x, y in side]
    hem_regions = [box(0, bottom - 4.5, 64, bottom + 4)]
    if g.category == "jumpsuit":
        right += [(33.4, bottom), (32, waist_y + 13)]
    elif g.category in ("dress", "coat"):
        right += [(32 + hem * 0.5, bottom + 0.9), (32, bottom + 1.2)]
    # arms run from the shoulder down and out
    length = (25 if short else 21) if g.sleeves == "long" else 8.5
    spread = 0.36 * length + 1
    wide, narrow = (8.6, 5.4) if short else (6.8, 4.4)
    if g.sleeves == "short":
        narrow = wide - 0.6
    sleeves, cuffs = [], []
    for sign in (1, -1):

        def put(x: float, y: float, sign=sign) -> Point:
            return 32 + sign * x, y

        limb = [
            put(chest - 1, top + 1 + wide),
            put(shoulder - 0.5, top + 1),
            put(shoulder + spread + narrow * 0.45, top + 1.5 + length),
            put(shoulder + spread - narrow * 0.5, top + 3 + length + narrow * 0.2),
        ]
        if g.sleeves == "puff":
            r = 6.2 if short else 5.2
            sleeves.append(arc(32 + sign * (shoulder + 0.4), top + 6, r + 0.6, r, 0, 1, 24))
            cuffs.append(
                [
                    put(shoulder + 0.2, top + 4 + r),
                    put(shoulder + 9, top + 4 + r),
                    put(shoulder + 9, top + 13),
                    put(shoulder + 0.2, top + 13),
                ]
            )
        elif g.sleeves != "sleeveless":
            sleeves.append(limb)
            cuffs.append(slice_of(limb, 1 - 4.2 / length, 1.05))
        else:
            cuffs.append(
                [
                    put(shoulder - 2.6, top - 1),
                    put(shoulder + 1, top - 1),
                    put(chest + 1, top + 9.5),
                    put(chest - 2.6, top + 9.5),
                ]
            )
    depth = {"v": 12, "round": 6}.get(g.neckline, 5) + 0.6 * g.neck
    if g.neckline == "v":
        hole = [(32 - neck - 0.4, top - 2), (32 + neck + 0.4, top - 2), (32, top + depth)]
    elif g.neckline == "round":
        hole = [(32 - neck, top - 2)] + [(32 + neck, top - 2)] + arc(32, top - 1.2, neck, depth, 0, 0.5)
    elif g.neckline == "collar":
        hole = [(32 - 2.6, top - 2), (32 + 2.6, top - 2), (32, top + 4)]
    else:
        hole = []
    return Pattern(
        mirrored(right),
        sleeves,
        hole,
        hem_regions,
        cuffs,
        box(0, 0, 64, top + 7),
        (32 + shoulder * 0.48, top + 12.5),
        waist_y,
        top,
        bottom,
    )


def cut_lower(g: Garment) -> Pattern:
    """Skirt, trousers, shorts."""
    if g.category == "skirt":
        top, hip = (
            {"mini": 18, "midi": 11, "maxi": 6}[g.length],
            (12 if g.length == "mini" else 10) + 0.8 * g.width,
        )
        bottom = {"mini": 39, "midi": 47, "maxi": 60}[g.length] + 0.8 * g.hem
        hem = hip + 5.5 + (bottom - top) * 0.13 + 2 * g.flare
        right = [(32 + hip, top), (32 + hem, bottom), (32 + hem * 0.5, bottom + 1.1), (32, bottom + 1.5)]
    else:
        trousers = g.category == "trousers"
        top, hip = (5, 10.5) if trousers else (13, 14)
        bottom = (60 if trousers else 46) + 0.8 * g.hem
        hip += 0.8 * g.width
        outer, inner = (hip + 1.5 + 2 * g.flare, 2.6 - 0.6 * g.flare) if trousers else (hip + 5 + 1.2 * g.flare, 2.8)
        right = [
            (32 + hip, top),
            (32 + hip + 1.2, top + 12),
            (32 + outer, bottom),
            (32 + inner, bottom),
            (32, top + (19 if trousers else 16)),
        ]
    return Pattern(
        mirrored(right),
        [],
        [],
        [box(0, bottom - 4.5, 64, bottom + 4)],
        [box(0, top - 1, 64, top + 3.4)],
        box(0, 0, 64, top + 8),
        (32 + hip * 0.55, top + 11),
        top + 3,
        top,
        bottom,
    )


def cut(garment: Garment) -> Pattern:
    """The paper pattern of any garment, its hem slanted where the trait asks for it."""
    pattern = (cut_lower if garment.category in ("skirt", "trousers", "shorts") else cut_upper)(garment)
    asymmetric = next((t for t in garment.traits if t.kind == "asymmetric_hem"), None)
    if asymmetric:  # the last third of the height slants
        sign, start = (1 if asymmetric.form < 0.5 else -1), pattern.bottom_y - 9
        pattern.body = [(x, y - max(0, y - start) / 9 * (4.5 + sign * (x - 32) * 0.32)) for x, y in pattern.body]
    return pattern


# ── the picture ──


class Canvas:
    """Draws in units on a large RGB fabric sheet, through the photo's scale and place."""

    def __init__(self, garment: Garment, photo: RenderedPhoto, unit: int) -> None:
        self.unit, self.photo = unit, photo
        self.sheet = fabric(garment, unit)
        self.mask = Image.new("L", self.sheet.size, 0)
        self.draw, self.mask_draw = ImageDraw.Draw(self.sheet), ImageDraw.Draw(self.mask)

    def place(self, points: list[Point]) -> list[Point]:
        """Units → pixels of the sheet, as the photo has it."""
        p, u = self.photo, self.unit
        return [((32 + (x - 32) * p.scale + p.dx) * u, (33 + (y - 33) * p.scale + p.dy) * u) for x, y in points]

    def cut_out(self, points: list[Point], fill: int = 255) -> None:
        """Add to the silhouette, or with `fill=0` take away."""
        self.mask_draw.polygon(self.place(points), fill=fill)

    def shape(self, points: list[Point], fill) -> None:
        """A filled polygon on the cloth."""
        self.draw.polygon(self.place(points), fill=fill)

    def line(self, points: list[Point], fill, width: float = 0.7) -> None:
        """A line on the cloth, `width` in units."""
        self.draw.line(self.place(points), fill=fill, width=max(1, round(width * self.unit)), joint="curve")

    def dot(self, x: float, y: float, r: float, fill) -> None:
        """A disc on the cloth."""
        self.shape(arc(x, y, r, r, 0, 1, 16), fill)


EMBLEMS = ("disc", "diamond", "heart", "ring")


def emblem(canvas: Canvas, x: float, y: float, trait: Trait) -> None:
    """A disc, diamond, heart or ring, as the trait's form says."""
    kind = EMBLEMS[min(3, int(trait.form * 4))]
    if kind == "diamond":
        canvas.shape([(x, y - 4.4), (x + 3.6, y), (x, y + 4.4), (x - 3.6, y)], trait.rgb)
    elif kind == "heart":
        canvas.shape(
            [(x, y + 4)] + arc(x - 1.9, y - 1, 2.1, 2.2, 0.45, 1, 8) + arc(x + 1.9, y - 1, 2.1, 2.2, 0.5, 1.05, 8),
            trait.rgb,
        )
    else:
        canvas.dot(x, y, 3.7, trait.rgb)
        if kind == "ring":
            canvas.dot(x, y, 1.8, CREAM if sum(trait.rgb) < 480 else INK)


def draw_traits(canvas: Canvas, g: Garment, p: Pattern) -> None:
    """What no word names, the small things last."""
    for trait in sorted(g.traits, key=lambda t: t.kind in ("emblem", "pocket")):
        if trait.kind in ("hem_band", "cuffs"):
            for region in p.hem if trait.kind == "hem_band" else p.cuffs:
                canvas.shape(region, trait.rgb)
        elif trait.kind == "yoke":
            canvas.shape(p.yoke, trait.rgb)
        elif trait.kind == "sash":
            sign, y = (1 if trait.form < 0.5 else -1), (p.shoulder_y + p.waist_y) / 2 + 4
            canvas.shape(
                [
                    (32 - 30 * sign, y - 26),
                    (32 - 30 * sign, y - 19),
                    (32 + 30 * sign, y + 27),
                    (32 + 30 * sign, y + 20),
                ],
                trait.rgb,
            )
        elif trait.kind == "emblem":
            emblem(canvas, *p.chest, trait)
        elif trait.kind == "pocket":
            x, y = 64 - p.chest[0], p.chest[1]
            canvas.shape(
                [
                    (x - 3.3, y - 3.2),
                    (x + 3.3, y - 3.2),
                    (x + 3.3, y + 2.6),
                    (x, y + 4.2),
                    (x - 3.3, y + 2.6),
                ],
                trait.rgb,
            )


def draw_details(canvas: Canvas, g: Garment, p: Pattern) -> None:
    """Seams, collars, fronts, buttons: what makes a jacket a jacket."""
    seam, other, top = edge_colour(g.rgb), second_colour(g), p.shoulder_y
    plain = mix(g.rgb, seam, 0.25)
    if g.category == "jacket":  # open over a pale shirt
        canvas.shape([(27.5, top - 2), (36.5, top - 2), (34.2, p.bottom_y + 1), (29.8, p.bottom_y + 1)], CREAM)
        for sign in (1, -1):
            canvas.shape(
                [
                    (32 + sign * 4.2, top - 2),
                    (32 + sign * 8.4, top + 4),
                    (32 + sign * 7.2, top + 8),
                    (32 + sign * 3.4, top + 16),
                ],
                plain,
            )
            canvas.line(
                [(32 + sign * 8.4, top + 4), (32 + sign * 3.4, top + 16), (32 + sign * 2.3, p.bottom_y)],
                seam,
                0.8,
            )
            canvas.line([(32 + sign * 6, top + 27), (32 + sign * 11, top + 26)], seam, 1)
    elif g.category == "coat":  # closed, double-breasted, belted
        for sign in (1, -1):
            canvas.shape([(32, top + 10), (32 + sign * 4.5, top - 2), (32 + sign * 7.5, top + 4.5)], plain)
            canvas.line([(32, top + 10), (32 + sign * 7.5, top + 4.5), (32 + sign * 4.5, top - 1)], seam, 0.7)
        canvas.line([(32, top + 10), (32, p.bottom_y + 1)], seam, 0.8)
        canvas.shape(box(14, p.waist_y + 0.5, 50, p.waist_y + 4), mix(g.rgb, seam, 0.75))
        canvas.shape(box(30, p.waist_y, 34, p.waist_y + 4.5), GOLD if g.colour != "yellow" else INK)
        for y in (top + 13, p.waist_y + 8):
            for x in (28.6, 35.4):
                canvas.dot(x, y, 1, other)
    elif g.category == "hoodie":
        pouch = [(25, p.bottom_y - 13), (39, p.bottom_y - 13), (42, p.bottom_y - 4), (22, p.bottom_y - 4)]
        canvas.shape(pouch, plain)
        canvas.line([*pouch, pouch[0]], seam, 0.8)
        canvas.shape(arc(32, top - 3.5, 9, 8, 0, 1, 24), plain)
        canvas.line(arc(32, top - 3.5, 9, 8, 0, 0.5, 24), seam, 0.9)
        canvas.shape(arc(32, top - 3.6, 5.4, 5, 0, 1, 24), mix(g.rgb, (10, 8, 16), 0.62))
        for x in (29.6, 34.4):
            canvas.line([(x, top + 3.5), (x, top + 11)], CREAM if g.colour != "white" else INK, 1)
    elif g.category == "skirt":
        canvas.shape(box(14, top - 1, 50, top + 2.6), mix(g.rgb, seam, 0.6))
        for share in (-0.45, 0, 0.45):
            canvas.line([(32 + share * 14, top + 8), (32 + share * 24, p.bottom_y - 1)], seam, 0.5)
    elif g.category in ("trousers", "shorts"):
        canvas.shape(box(14, top - 1, 50, top + 2.6), mix(g.rgb, seam, 0.6))
        canvas.line([(32, top + 2.6), (32, top + 17)], seam, 0.8)
        for sign in (1, -1):
            canvas.line([(32 + sign * 6, top + 3), (32 + sign * 12, top + 8)], seam, 0.8)
    elif g.category == "dress":
        canvas.line([(16, p.waist_y), (32, p.waist_y + 0.8), (48, p.waist_y)], seam, 1)
    elif g.category == "jumpsuit":
        canvas.shape(box(14, p.waist_y - 1.4, 50, p.waist_y + 1.4), mix(g.rgb, seam, 0.7))
        canvas.line([(32, p.waist_y + 1.4), (32, p.waist_y + 13)], seam, 0.8)
    if g.neckline == "collar":
        for sign in (1, -1):
            flap = [
                (32 + sign * 0.2, top + 4.2),
                (32 + sign * 3, top - 2.4),
                (32 + sign * 7.4, top - 1),
                (32 + sign * 5.6, top + 6.4),
            ]
            canvas.shape(flap, other)
            canvas.line([*flap, flap[0]], edge_colour(other), 0.6)
        stop = p.waist_y - 2 if g.category != "top" else p.bottom_y
        canvas.line([(32, top + 4), (32, stop)], seam, 0.8)
        for k in range(3):
            canvas.dot(32, top + 8 + k * (stop - top - 10) / 3, 0.95, other)
    elif g.neckline == "high":
        canvas.shape(box(27, top - 7, 37, top - 0.6), plain)
        for y in (top - 0.8, top - 3.2):
            canvas.line([(27, y), (37, y)], seam, 0.7)


def render(garment: Garment, photo: RenderedPhoto | None = None, size: int = 64) -> Image.Image:
    """The picture, RGB, `size` × `size` (64 for the models, about 384 for people)."""
    photo = photo or RenderedPhoto()
    unit = max(1, round(SUPERSAMPLE * size / UNITS)) if size <= 128 else max(2, round(2 * size / UNITS))
    canvas, pattern = Canvas(garment, photo, unit), cut(garment)
    outline = edge_colour(garment.rgb)
    # silhouette
    for sleeve in pattern.sleeves:
        canvas.cut_out(sleeve)
    canvas.cut_out(pattern.body)
    if garment.category == "hoodie":
        canvas.cut_out(arc(32, pattern.shoulder_y - 3.5, 9, 8, 0, 1, 24))
    elif garment.neckline == "high":
        canvas.cut_out(box(27, pattern.shoulder_y - 7, 37, pattern.shoulder_y))
    if pattern.hole:
        canvas.cut_out(pattern.hole, 0)
    if garment.neckline == "collar":
        for sign in (1, -1):
            canvas.cut_out(
                [
                    (32 + sign * 0.2, pattern.shoulder_y + 4.2),
                    (32 + sign * 3, pattern.shoulder_y - 2.4),
                    (32 + sign * 7.4, pattern.shoulder_y - 1),
                    (32 + sign * 5.6, pattern.shoulder_y + 6.4),
                ]
            )
    # on the cloth
    draw_traits(canvas, garment, pattern)
    for sleeve in pattern.sleeves:
        canvas.line([*sleeve, sleeve[0]], outline, 0.9)
    if pattern.hole and garment.neckline != "collar":
        canvas.line(pattern.hole[1:] + pattern.hole[:1] if garment.neckline == "v" else pattern.hole[2:], outline, 1.3)
    draw_details(canvas, garment, pattern)
    rim = ImageChops.subtract(canvas.mask, shrunk(canvas.mask, unit))
    canvas.sheet.paste(outline, mask=rim.point(lambda v: v * 7 // 10))
    return develop(canvas, garment, photo, size)


def shrunk(mask: Image.Image, unit: int) -> Image.Image:
    """The mask without its outermost 0.6 unit: shifted copies are many times faster than a minimum filter."""
    step, inner = max(1, round(0.6 * unit)), mask
    for dx, dy in ((step, 0), (-step, 0), (0, step), (0, -step)):
        inner = ImageChops.darker(inner, ImageChops.offset(mask, dx, dy))
    return inner


def develop(canvas: Canvas, garment: Garment, photo: RenderedPhoto, size: int) -> Image.Image:
    """Light, folds, backdrop, shadow, grain; and the reduction to `size`."""
    cloth = np.asarray(canvas.sheet.resize((size, size), Image.Resampling.BOX), np.float32)
    alpha_image = canvas.mask.resize((size, size), Image.Resampling.BOX)
    alpha = np.asarray(alpha_image, np.float32)[..., None] / 255
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
    light = photo.exposure * (1 + photo.light * (x * math.cos(photo.light_angle) + y * math.sin(photo.light_angle)))
    drape = np.sin(2 * math.pi * (3.1 * x + 0.35 * np.sin(5 * y)) + photo.fold) * (0.35 + y + 0.5)
    cloth = cloth * (light * (1 + 0.045 * drape))[..., None] + 3 * drape[..., None]
    share = (x * math.cos(photo.backdrop_angle) + y * math.sin(photo.backdrop_angle) + 0.7)[..., None] / 1.4
    first, second = (np.array(c, np.float32) for c in photo.backdrop)
    backdrop = (first + (second - first) * share) * light[..., None]
    u = size / UNITS
    shadow = ImageChops.offset(alpha_image, round(1.2 * u), round(2 * u)).filter(ImageFilter.GaussianBlur(1.6 * u))
    backdrop *= 1 - 0.26 * np.asarray(shadow, np.float32)[..., None] / 255
    picture = backdrop + (cloth - backdrop) * alpha
    grain = np.random.default_rng(photo.noise).normal(0, 1.2, (size, size, 1)).astype(np.float32)
    return Image.fromarray(np.clip(picture + grain + 0.5, 0, 255).astype(np.uint8))


def degrade(picture: Image.Image, rng: Random) -> Image.Image:
    """A bad photo of the same thing: what the words of the negative prompt mean."""
    kind = rng.choice(("blur", "blur", "washed", "noise"))
    u = picture.width / UNITS
    if kind == "blur":
        return picture.filter(ImageFilter.GaussianBlur(rng.uniform(1.2, 2.2) * u))
    pixels = np.asarray(picture, np.float32)
    if kind == "washed":
        pixels = pixels + (rng.choice((225, 170)) - pixels) * rng.uniform(0.45, 0.65)
    else:
        pixels = pixels + np.random.default_rng(rng.getrandbits(31)).normal(0, rng.uniform(24, 40), pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.7 * u))


def another_photo(photo: RenderedPhoto, rng: Random) -> RenderedPhoto:
    """A second photo of the same garment: nothing of the first but its existence."""
    return replace(sample_photo(rng), noise=photo.noise ^ 1)


def grid(pictures: list[Image.Image], columns: int, gap: int = 2, paper=(255, 255, 255)) -> Image.Image:
    """A contact sheet, row by row."""
    w, h = pictures[0].size
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (w + gap) + gap, rows * (h + gap) + gap), paper)
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (gap + i % columns * (w + gap), gap + i // columns * (h + gap)))
    return sheet
