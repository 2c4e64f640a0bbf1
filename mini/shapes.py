"""Outlines in units of 1/64 of a picture: boxes, arcs, mirrored halves, slices of a sleeve."""

from __future__ import annotations

import math

UNITS = 64  # of a picture's side
Point = tuple[float, float]


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
