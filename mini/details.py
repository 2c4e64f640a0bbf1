"""What lies on the cloth: the traits that no word names, then seams, collars, fronts and buttons."""

from __future__ import annotations

from .canvas import Canvas
from .colours import CREAM, GOLD, INK, edge_colour, mix, second_colour
from .cut import Pattern, collar_flaps
from .garment import Garment, Trait
from .shapes import Point, arc, box

EMBLEMS = ("disc", "diamond", "heart", "ring")


def emblem(canvas: Canvas, x: float, y: float, trait: Trait) -> None:
    """A disc, diamond, heart or ring, as the trait's form says."""
    kind = EMBLEMS[min(3, int(trait.form * 4))]
    if kind == "diamond":
        canvas.shape([(x, y - 4.4), (x + 3.6, y), (x, y + 4.4), (x - 3.6, y)], trait.rgb)
    elif kind == "heart":
        left, right = arc(x - 1.9, y - 1, 2.1, 2.2, 0.45, 1, 8), arc(x + 1.9, y - 1, 2.1, 2.2, 0.5, 1.05, 8)
        canvas.shape([(x, y + 4), *left, *right], trait.rgb)
    else:
        canvas.dot(x, y, 3.7, trait.rgb)
        if kind == "ring":
            canvas.dot(x, y, 1.8, CREAM if sum(trait.rgb) < 480 else INK)


def pocket(canvas: Canvas, pattern: Pattern, trait: Trait) -> None:
    """A patch pocket opposite the emblem's side."""
    x, y = 64 - pattern.chest[0], pattern.chest[1]
    outline = [(x - 3.3, y - 3.2), (x + 3.3, y - 3.2), (x + 3.3, y + 2.6), (x, y + 4.2), (x - 3.3, y + 2.6)]
    canvas.shape(outline, trait.rgb)


def sash(canvas: Canvas, pattern: Pattern, trait: Trait) -> None:
    """A band from one shoulder to the other hip."""
    sign, y = (1 if trait.form < 0.5 else -1), (pattern.shoulder_y + pattern.waist_y) / 2 + 4
    left, right = 32 - 30 * sign, 32 + 30 * sign
    canvas.shape([(left, y - 26), (left, y - 19), (right, y + 27), (right, y + 20)], trait.rgb)


def draw_traits(canvas: Canvas, garment: Garment, pattern: Pattern) -> None:
    """What no word names, the small things last."""
    for trait in sorted(garment.traits, key=lambda t: t.kind in ("emblem", "pocket")):
        if trait.kind in ("hem_band", "cuffs"):
            for region in pattern.hem if trait.kind == "hem_band" else pattern.cuffs:
                canvas.shape(region, trait.rgb)
        elif trait.kind == "yoke":
            canvas.shape(pattern.yoke, trait.rgb)
        elif trait.kind == "sash":
            sash(canvas, pattern, trait)
        elif trait.kind == "emblem":
            emblem(canvas, *pattern.chest, trait)
        elif trait.kind == "pocket":
            pocket(canvas, pattern, trait)


# ── what makes a jacket a jacket ──


def jacket(canvas: Canvas, garment: Garment, pattern: Pattern) -> None:
    """Open over a pale shirt, with lapels and two pockets."""
    seam, top, bottom = edge_colour(garment.rgb), pattern.shoulder_y, pattern.bottom_y
    lapel = mix(garment.rgb, seam, 0.25)
    canvas.shape([(27.5, top - 2), (36.5, top - 2), (34.2, bottom + 1), (29.8, bottom + 1)], CREAM)
    for sign in (1, -1):
        half = [(4.2, top - 2), (8.4, top + 4), (7.2, top + 8), (3.4, top + 16)]
        front = [(8.4, top + 4), (3.4, top + 16), (2.3, bottom)]
        canvas.shape([(32 + sign * x, y) for x, y in half], lapel)
        canvas.line([(32 + sign * x, y) for x, y in front], seam, 0.8)
        canvas.line([(32 + sign * 6, top + 27), (32 + sign * 11, top + 26)], seam, 1)


def coat(canvas: Canvas, garment: Garment, pattern: Pattern) -> None:
    """Closed, double-breasted, belted."""
    seam, top, waist = edge_colour(garment.rgb), pattern.shoulder_y, pattern.waist_y
    for sign in (1, -1):
        lapel = [(32, top + 10), (32 + sign * 4.5, top - 2), (32 + sign * 7.5, top + 4.5)]
        canvas.shape(lapel, mix(garment.rgb, seam, 0.25))
        canvas.line([(32, top + 10), (32 + sign * 7.5, top + 4.5), (32 + sign * 4.5, top - 1)], seam, 0.7)
    canvas.line([(32, top + 10), (32, pattern.bottom_y + 1)], seam, 0.8)
    canvas.shape(box(14, waist + 0.5, 50, waist + 4), mix(garment.rgb, seam, 0.75))
    canvas.shape(box(30, waist, 34, waist + 4.5), GOLD if garment.colour != "yellow" else INK)
    for y in (top + 13, waist + 8):
        for x in (28.6, 35.4):
            canvas.dot(x, y, 1, second_colour(garment))


def hoodie(canvas: Canvas, garment: Garment, pattern: Pattern) -> None:
    """A pouch, the hood with its opening, two cords."""
    seam, top, bottom = edge_colour(garment.rgb), pattern.shoulder_y, pattern.bottom_y
    plain = mix(garment.rgb, seam, 0.25)
    pouch = [(25, bottom - 13), (39, bottom - 13), (42, bottom - 4), (22, bottom - 4)]
    canvas.shape(pouch, plain)
    canvas.line([*pouch, pouch[0]], seam, 0.8)
    canvas.shape(hood(pattern), plain)
    canvas.line(arc(32, top - 3.5, 9, 8, 0, 0.5, 24), seam, 0.9)
    canvas.shape(arc(32, top - 3.6, 5.4, 5, 0, 1, 24), mix(garment.rgb, (10, 8, 16), 0.62))
    for x in (29.6, 34.4):
        canvas.line([(x, top + 3.5), (x, top + 11)], CREAM if garment.colour != "white" else INK, 1)


def hood(pattern: Pattern) -> list[Point]:
    """The outline of a hood, which lies above the shoulders."""
    return arc(32, pattern.shoulder_y - 3.5, 9, 8, 0, 1, 24)


def waistband(canvas: Canvas, garment: Garment, pattern: Pattern) -> None:
    """A band around the top of skirts, trousers and shorts."""
    top = pattern.shoulder_y
    canvas.shape(box(14, top - 1, 50, top + 2.6), mix(garment.rgb, edge_colour(garment.rgb), 0.6))


def skirt(canvas: Canvas, garment: Garment, pattern: Pattern) -> None:
    """A waistband and three pleats."""
    waistband(canvas, garment, pattern)
    for share in (-0.45, 0, 0.45):
        pleat = [(32 + share * 14, pattern.shoulder_y + 8), (32 + share * 24, pattern.bottom_y - 1)]
        canvas.line(pleat, edge_colour(garment.rgb), 0.5)


def trousers(canvas: Canvas, garment: Garment, pattern: Pattern) -> None:
    """A waistband, a fly and two pockets."""
    seam, top = edge_colour(garment.rgb), pattern.shoulder_y
    waistband(canvas, garment, pattern)
    canvas.line([(32, top + 2.6), (32, top + 17)], seam, 0.8)
    for sign in (1, -1):
        canvas.line([(32 + sign * 6, top + 3), (32 + sign * 12, top + 8)], seam, 0.8)


def dress(canvas: Canvas, garment: Garment, pattern: Pattern) -> None:
    """A waist seam."""
    waist = pattern.waist_y
    canvas.line([(16, waist), (32, waist + 0.8), (48, waist)], edge_colour(garment.rgb), 1)


def jumpsuit(canvas: Canvas, garment: Garment, pattern: Pattern) -> None:
    """A belt and the seam of the legs."""
    seam, waist = edge_colour(garment.rgb), pattern.waist_y
    canvas.shape(box(14, waist - 1.4, 50, waist + 1.4), mix(garment.rgb, seam, 0.7))
    canvas.line([(32, waist + 1.4), (32, waist + 13)], seam, 0.8)


def collar(canvas: Canvas, garment: Garment, pattern: Pattern) -> None:
    """A shirt collar in the print's colour, a button tape and three buttons."""
    other, top = second_colour(garment), pattern.shoulder_y
    for flap in collar_flaps(pattern):
        canvas.shape(flap, other)
        canvas.line([*flap, flap[0]], edge_colour(other), 0.6)
    stop = pattern.waist_y - 2 if garment.category != "top" else pattern.bottom_y
    canvas.line([(32, top + 4), (32, stop)], edge_colour(garment.rgb), 0.8)
    for k in range(3):
        canvas.dot(32, top + 8 + k * (stop - top - 10) / 3, 0.95, other)


def high_neck(canvas: Canvas, garment: Garment, pattern: Pattern) -> None:
    """A stand-up collar with two seams."""
    seam, top = edge_colour(garment.rgb), pattern.shoulder_y
    canvas.shape(high_collar(pattern), mix(garment.rgb, seam, 0.25))
    for y in (top - 0.8, top - 3.2):
        canvas.line([(27, y), (37, y)], seam, 0.7)


def high_collar(pattern: Pattern) -> list[Point]:
    """The visible part of a stand-up collar."""
    return box(27, pattern.shoulder_y - 7, 37, pattern.shoulder_y - 0.6)


OF_CATEGORY = {
    "jacket": jacket,
    "coat": coat,
    "hoodie": hoodie,
    "skirt": skirt,
    "trousers": trousers,
    "shorts": trousers,
    "dress": dress,
    "jumpsuit": jumpsuit,
}
OF_NECKLINE = {"collar": collar, "high": high_neck}


def draw_details(canvas: Canvas, garment: Garment, pattern: Pattern) -> None:
    """Seams, collars, fronts, buttons: those of the category, then those of the neckline."""
    for draw in (OF_CATEGORY.get(garment.category), OF_NECKLINE.get(garment.neckline or "")):
        if draw is not None:
            draw(canvas, garment, pattern)
