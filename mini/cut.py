"""The paper pattern of a garment: what its category, length, sleeves and neckline make of an outline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .garment import Garment
from .shapes import Point, arc, box, mirrored, slice_of

SHORT = ("top", "hoodie", "jacket")  # garments that end at the hip, drawn larger
LOWER = ("skirt", "trousers", "shorts")
SHOULDER_Y = {"dress": 7.5, "jumpsuit": 6, "coat": 7.5, "top": 12, "hoodie": 17, "jacket": 12}
HEM_Y = {"mini": 42, "midi": 51, "maxi": 61}  # of garments that hang from the shoulder, by length
HEM_Y_WITHOUT_LENGTH = {"jumpsuit": 61, "top": 52, "hoodie": 55, "jacket": 53}
SKIRT_TOP_Y = {"mini": 18, "midi": 11, "maxi": 6}
SKIRT_HEM_Y = {"mini": 39, "midi": 47, "maxi": 60}
NECK_DEPTH = {"v": 12, "round": 6}


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


def cut(garment: Garment) -> Pattern:
    """The paper pattern of any garment, its hem slanted where the trait asks for it."""
    pattern = (cut_lower if garment.category in LOWER else cut_upper)(garment)
    asymmetric = next((t for t in garment.traits if t.kind == "asymmetric_hem"), None)
    if asymmetric:  # the last third of the height slants
        sign, start = (1 if asymmetric.form < 0.5 else -1), pattern.bottom_y - 9
        pattern.body = [(x, y - max(0, y - start) / 9 * (4.5 + sign * (x - 32) * 0.32)) for x, y in pattern.body]
    return pattern


class Bodice(NamedTuple):
    """Half widths and heights of a garment that hangs from the shoulder, in units."""

    top: float  # y of the shoulder
    shoulder: float
    chest: float
    waist: float
    waist_y: float
    hem: float
    bottom: float  # y of the hem
    neck: float


def cut_upper(garment: Garment) -> Pattern:
    """Dress, top, hoodie, jacket, coat, jumpsuit: shoulders, arms, neck."""
    bodice = bodice_of(garment)
    arms = [arm(garment, bodice, sign) for sign in (1, -1)]
    return Pattern(
        mirrored(right_side(garment, bodice)),
        [sleeve for sleeve, _ in arms if sleeve],
        neckline(garment, bodice),
        [box(0, bodice.bottom - 4.5, 64, bodice.bottom + 4)],
        [cuff for _, cuff in arms],
        box(0, 0, 64, bodice.top + 7),
        (32 + bodice.shoulder * 0.48, bodice.top + 12.5),
        bodice.waist_y,
        bodice.top,
        bodice.bottom,
    )


def bodice_of(garment: Garment) -> Bodice:
    """The measures that category, length and cut give."""
    category, short = garment.category, garment.category in SHORT
    top = SHOULDER_Y[category]
    shoulder = (14 if short else 9.5 if category != "coat" else 11) + 0.8 * garment.width
    bottom = HEM_Y[garment.length] if garment.length else HEM_Y_WITHOUT_LENGTH[category]
    bottom += 0.8 * garment.hem
    chest = shoulder - 0.5
    if category == "dress":
        waist, hem = chest - 1.8, chest + 3.5 + (bottom - 40) * 0.22 + 2 * garment.flare
    elif category == "coat":
        waist, hem = chest - 0.2, chest + 2.5 + 1.2 * garment.flare
    elif category == "jumpsuit":
        waist, hem = chest - 1.5, chest + 2.5 + 2 * garment.flare
    else:
        waist = chest - 0.3 + 0.6 * garment.flare
        hem = chest + (-0.6 if category == "hoodie" else 0.4) + 0.8 * garment.flare
    return Bodice(top, shoulder, chest, waist, top + (22 if short else 17), hem, bottom, 5.2 if short else 4.4)


def right_side(garment: Garment, bodice: Bodice) -> list[Point]:
    """The right half of the outline, from the neck down to the middle of the hem."""
    side = [
        (bodice.neck, bodice.top - 1.2),
        (bodice.shoulder, bodice.top + 1.2),
        (bodice.chest, bodice.top + 9),
        (bodice.waist, bodice.waist_y),
        (bodice.hem, bodice.bottom),
    ]
    right = [(32 + x, y) for x, y in side]
    if garment.category == "jumpsuit":
        right += [(33.4, bodice.bottom), (32, bodice.waist_y + 13)]
    elif garment.category in ("dress", "coat"):
        right += [(32 + bodice.hem * 0.5, bodice.bottom + 0.9), (32, bodice.bottom + 1.2)]
    return right


def arm(garment: Garment, bodice: Bodice, sign: int) -> tuple[list[Point], list[Point]]:
    """The sleeve (empty: none) and what cuffs would colour, on the right (`sign` 1) or the left (−1)."""
    short = garment.category in SHORT
    top, shoulder, chest = bodice.top, bodice.shoulder, bodice.chest
    length = (25 if short else 21) if garment.sleeves == "long" else 8.5
    spread = 0.36 * length + 1
    wide, narrow = (8.6, 5.4) if short else (6.8, 4.4)
    if garment.sleeves == "short":
        narrow = wide - 0.6

    def outline(*points: Point) -> list[Point]:
        return [(32 + sign * x, y) for x, y in points]

    if garment.sleeves == "puff":
        r = 6.2 if short else 5.2
        cuff = outline(
            (shoulder + 0.2, top + 4 + r),
            (shoulder + 9, top + 4 + r),
            (shoulder + 9, top + 13),
            (shoulder + 0.2, top + 13),
        )
        return arc(32 + sign * (shoulder + 0.4), top + 6, r + 0.6, r, 0, 1, 24), cuff
    if garment.sleeves == "sleeveless":
        return [], outline(
            (shoulder - 2.6, top - 1), (shoulder + 1, top - 1), (chest + 1, top + 9.5), (chest - 2.6, top + 9.5)
        )
    limb = outline(
        (chest - 1, top + 1 + wide),
        (shoulder - 0.5, top + 1),
        (shoulder + spread + narrow * 0.45, top + 1.5 + length),
        (shoulder + spread - narrow * 0.5, top + 3 + length + narrow * 0.2),
    )
    return limb, slice_of(limb, 1 - 4.2 / length, 1.05)


def neckline(garment: Garment, bodice: Bodice) -> list[Point]:
    """What the neckline leaves open; nothing for a high one."""
    top, neck = bodice.top, bodice.neck
    depth = NECK_DEPTH.get(garment.neckline or "", 5) + 0.6 * garment.neck
    if garment.neckline == "v":
        return [(32 - neck - 0.4, top - 2), (32 + neck + 0.4, top - 2), (32, top + depth)]
    if garment.neckline == "round":
        return [(32 - neck, top - 2), (32 + neck, top - 2), *arc(32, top - 1.2, neck, depth, 0, 0.5)]
    if garment.neckline == "collar":
        return [(32 - 2.6, top - 2), (32 + 2.6, top - 2), (32, top + 4)]
    return []


def cut_lower(garment: Garment) -> Pattern:
    """Skirt, trousers, shorts."""
    if garment.category == "skirt":
        assert garment.length is not None  # every skirt has one
        top = SKIRT_TOP_Y[garment.length]
        hip = (12 if garment.length == "mini" else 10) + 0.8 * garment.width
        bottom = SKIRT_HEM_Y[garment.length] + 0.8 * garment.hem
        hem = hip + 5.5 + (bottom - top) * 0.13 + 2 * garment.flare
        right = [(32 + hip, top), (32 + hem, bottom), (32 + hem * 0.5, bottom + 1.1), (32, bottom + 1.5)]
    else:
        trousers = garment.category == "trousers"
        top, hip = (5, 10.5) if trousers else (13, 14)
        bottom = (60 if trousers else 46) + 0.8 * garment.hem
        hip += 0.8 * garment.width
        outer = hip + 1.5 + 2 * garment.flare if trousers else hip + 5 + 1.2 * garment.flare
        inner = 2.6 - 0.6 * garment.flare if trousers else 2.8
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


def collar_flaps(pattern: Pattern) -> list[list[Point]]:
    """The two halves of a shirt collar, right and left."""
    top = pattern.shoulder_y
    half = [(0.2, top + 4.2), (3, top - 2.4), (7.4, top - 1), (5.6, top + 6.4)]
    return [[(32 + sign * x, y) for x, y in half] for sign in (1, -1)]
