"""Charts as SVG text, drawn here and not in the reader's browser: a gauge, bars, intervals, curves.

All are 360 units wide, so that their text stays readable from a phone to a page; colours are the page's CSS
variables, with a fallback that reads on white. Similarities and gains are 0 … 1 and shown as points of 100.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .prompt import Interval

WIDTH, MARGIN = 360, 10
HALF_LABEL = 16  # half of a "100" in the largest size
INK, MUTED, RULE, ACCENT = (
    f"var(--{name}, {colour})"
    for name, colour in (("ink", "#1d1b19"), ("muted", "#77706a"), ("rule", "#dcd6cd"), ("accent", "#8c2f39"))
)


class Bar(NamedTuple):
    """One strategy: its mean similarity, and over how many pictures."""

    label: str
    score: float
    note: str = ""
    chosen: bool = False


class AmountBar(NamedTuple):
    """An amount of whatever the chart's title says, and how it is written."""

    label: str
    amount: float
    figure: str


class GainBar(NamedTuple):
    """A mean difference with its interval."""

    label: str
    mean: float
    low: float
    high: float


class Curve(NamedTuple):
    """A line through (x, y); with a band where `low` and `high` are given, one value a point."""

    label: str
    points: Sequence[tuple[float, float]]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def points(value: float) -> str:
    """A similarity as whole points of 100; an em dash where there is none."""
    return f"{100 * value:.0f}".replace("-0", "0").replace("-", "−") if math.isfinite(value) else "—"


def signed(value: float) -> str:
    """A gain in points with its sign and one decimal."""
    if not math.isfinite(value):
        return "—"
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def signed_interval(gain: Interval) -> dict[str, str]:
    """`gain`, `low` and `high` in points with their signs, as the sentences of the reports name them."""
    return {"gain": signed(gain.mean), "low": signed(gain.low), "high": signed(gain.high)}


def gauge(title: str, score: float, baseline: float, minimal: float, low: float, high: float) -> str:
    """Where a prompt stands between 0 and 100: best (dot), baseline (tick), name alone (ring), interval.

    `low` and `high` bound the gain over the baseline, so the band lies where the best's true place may be.
    """
    y, parts = 34, []
    parts.append(_line(_x(0), y, _x(1), y, RULE, 1.5))
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(_line(_x(tick), y - 3, _x(tick), y + 3, RULE, 1.5))
    for tick in (0, 0.5, 1):
        parts.append(_text(_x(tick), y + 22, points(tick), MUTED, 10, "middle"))
    if math.isfinite(low) and math.isfinite(high):
        left, right = _x(baseline + low), _x(baseline + high)
        place = f'x="{left:.1f}" y="{y - 7}" width="{max(right - left, 1):.1f}" height="14" rx="7"'
        parts.append(f'<rect {place} style="fill:{ACCENT};opacity:.16"/>')
    parts.append(_line(_x(baseline), y, _x(score), y, ACCENT, 3))
    parts.append(_circle(_x(minimal), y, 4.5, "var(--paper, #fff)", MUTED))
    parts.append(_line(_x(baseline), y - 9, _x(baseline), y + 9, INK, 2))
    parts.append(_circle(_x(score), y, 6, ACCENT, "none"))
    labels = [(minimal, MUTED, 11), (baseline, INK, 11), (score, ACCENT, 14)]
    for (value, colour, size), x in zip(labels, _apart([_x(value) for value, *_ in labels], 24), strict=True):
        parts.append(_text(x, y - 15, points(value), colour, size, "middle"))
    figures = f"{points(score)} of 100; all tags {points(baseline)}; name alone {points(minimal)}"
    return _svg(title, f"{figures}; gain over all tags {_range(low, high)}", 62, parts)


def bars(title: str, rows: Sequence[Bar]) -> str:
    """One thin bar a row, in the order given: label and note on the left, points on the right."""
    parts, step = [], 31
    for index, row in enumerate(rows):
        y, colour = index * step + 13, ACCENT if row.chosen else INK
        note = f' <tspan style="fill:{MUTED};font-weight:400" dx="4">{escape(row.note)}</tspan>' if row.note else ""
        weight = "600" if row.chosen else "400"
        parts.append(_text(0, y, row.label, colour, 12, weight=weight, after=note))
        parts.append(_text(WIDTH, y, points(row.score), colour, 12, "end", weight))
        length = WIDTH * _clip(row.score)
        parts.append(_line(0, y + 8, WIDTH, y + 8, RULE, 1))
        if length > 0:
            parts.append(_line(0, y + 8, length, y + 8, colour, 3 if row.chosen else 2))
    figures = "; ".join(f"{row.label} {points(row.score)}" for row in rows)
    return _svg(title, figures, max(len(rows) * step - 6, 1), parts)


def amounts(title: str, rows: Sequence[AmountBar]) -> str:
    """One thin bar a row, in the order given, as long as its part of the largest amount; the first is the accent."""
    parts, step, top = [_text(0, 12, title, MUTED, 12)], 31, 22
    longest = max((row.amount for row in rows if math.isfinite(row.amount)), default=0.0)
    for index, row in enumerate(rows):
        y, colour = top + index * step + 13, INK if index else ACCENT
        parts.append(_text(0, y, row.label, colour, 12))
        parts.append(_text(WIDTH, y, row.figure, colour, 12, "end"))
        parts.append(_line(0, y + 8, WIDTH, y + 8, RULE, 1))
        if longest > 0 and row.amount > 0:
            parts.append(_line(0, y + 8, WIDTH * row.amount / longest, y + 8, colour, 3))
    figures = "; ".join(f"{row.label} {row.figure}" for row in rows)
    return _svg(title, figures, top + len(rows) * step - 6, parts)


def as_file(chart: str) -> str:
    """A chart as a file of its own: white ground, a margin, and letters that no page's style chooses."""
    opening, box, rest = re.split(r'viewBox="0 0 (\S+ \S+)"', chart, maxsplit=1)
    width, height = (float(side) + 2 * MARGIN for side in box.split())
    place = f'x="-{MARGIN}" y="-{MARGIN}" width="{width:g}" height="{height:g}"'
    ground = f'<style>text{{font-family:sans-serif}}</style><rect {place} fill="#fff"/>'
    frame = f'viewBox="-{MARGIN} -{MARGIN} {width:g} {height:g}" width="{2 * width:g}"'
    return opening + frame + rest.replace("</desc>", f"</desc>{ground}", 1) + "\n"


def intervals(title: str, rows: Sequence[GainBar]) -> str:
    """Gains on a common axis with a line at zero: mean as a dot, interval as a line."""
    low, high, tick = _axis([value for row in rows for value in row[1:]])

    def place(value: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * (value - low) / (high - low)

    step, parts = 44, []
    bottom = len(rows) * step
    for count in range(round((high - low) / tick) + 1):
        value = low + count * tick
        zero = abs(value) < tick / 2
        for top in range(20, bottom, step):  # beside the bars only: a line through the labels would strike them out
            parts.append(_line(place(value), top, place(value), top + 16, MUTED if zero else RULE, 1))
        parts.append(_text(place(value), bottom + 14, signed(value).removesuffix(".0"), MUTED, 10, "middle"))
    for index, row in enumerate(rows):
        y = index * step + 12
        parts.append(_text(0, y, row.label, INK, 12))
        parts.append(_text(WIDTH, y, f"{signed(row.mean)} ({_range(row.low, row.high)})", ACCENT, 12, "end"))
        if math.isfinite(row.low) and math.isfinite(row.high):
            parts.append(_line(place(row.low), y + 15, place(row.high), y + 15, ACCENT, 3))
        if math.isfinite(row.mean):
            parts.append(_circle(place(row.mean), y + 15, 5, ACCENT, "none"))
    figures = "; ".join(f"{row.label} {signed(row.mean)} ({_range(row.low, row.high)})" for row in rows)
    return _svg(title, figures, bottom + 20, parts)


def curves(
    title: str,
    lines: Sequence[Curve],
    figure: Callable[[float], str],
    mark: float | None = None,
    ticks: Sequence[float] = (),
) -> str:
    """Lines over a common x; `figure` writes a y, `mark` is an x to point out, `ticks` the x that get a figure.

    The first line is the accent, the second the ink; several have their labels below.
    """
    height, top, bottom, left = 190, 24, 160, 46
    finite = [value for line in lines for value in (*(y for _, y in line.points), *line.low, *line.high)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    room = 0.08 * (high - low) or 0.5
    low, high = low - room, high + room
    across = [x for line in lines for x, _ in line.points] or [0.0, 1.0]
    first, last = min(across), max(max(across), min(across) + 1e-9)

    def at(x: float, y: float) -> tuple[float, float]:
        share = (x - first) / (last - first)
        return left + (WIDTH - left - MARGIN) * share, top + (bottom - top) * (high - y) / (high - low)

    parts = []
    for part in range(4):
        value = low + (high - low) * (part + 0.5) / 4
        y = at(first, value)[1]
        parts += [_line(left, y, WIDTH - MARGIN, y, RULE, 1), _text(left - 6, y + 3, figure(value), MUTED, 10, "end")]
    if low < 0 < high:
        parts.append(_line(left, at(first, 0)[1], WIDTH - MARGIN, at(first, 0)[1], MUTED, 1))
    if mark is not None:
        x = at(min(max(mark, first), last), low)[0]
        parts.append(_line(x, top - 6, x, bottom, ACCENT, 1))
        parts.append(_text(min(max(x, left + 12), WIDTH - 24), top - 10, f"{mark:g}", ACCENT, 11, "middle", "600"))
    for index, line in enumerate(lines):
        colour = (ACCENT, INK, MUTED)[min(index, 2)]
        if line.low:
            around = [at(x, y) for (x, _), y in zip(line.points, line.high, strict=True)]
            around += [at(x, y) for (x, _), y in zip(line.points, line.low, strict=True)][::-1]
            places = " ".join(f"{x:.1f},{y:.1f}" for x, y in around)
            parts.append(f'<polygon points="{places}" style="fill:{colour};opacity:.14"/>')
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in line.points))
        parts.append(f'<polyline points="{places}" style="fill:none;stroke:{colour};stroke-width:2"/>')
        if len(line.points) <= 12:
            parts += [_circle(*at(*point), 3, colour, "none") for point in line.points]
        if len(lines) > 1:  # one line is what the title says
            parts.append(_text(left + 110 * index, height - 4, f"― {line.label}", colour, 11))
    for tick in ticks:
        parts.append(_text(min(at(tick, low)[0], WIDTH - MARGIN), bottom + 13, f"{tick:g}", MUTED, 10, "middle"))
    ends = "; ".join(f"{line.label} {figure(line.points[-1][1])}" for line in lines if line.points)
    return _svg(title, ends, height, parts)


def _axis(values: Sequence[float]) -> tuple[float, float, float]:
    """Both ends on round figures around the values and zero, and the step between marks: 3 to 7 of them."""
    finite = [value for value in values if math.isfinite(value)] + [0.0]
    span = max(max(finite) - min(finite), 0.05)
    tick = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 10.0) if span / step <= 5)
    low, high = math.floor(min(finite) / tick), math.ceil(max(finite) / tick)
    return low * tick, max(high, low + 1) * tick, tick


def _apart(places: Sequence[float], gap: float) -> list[float]:
    """The places moved as little as needed to stand `gap` apart, in their order, and within the picture."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = list(places)
    for before, after in zip(order, order[1:], strict=False):
        moved[after] = max(moved[after], moved[before] + gap)
    limit = WIDTH - HALF_LABEL
    for index in reversed(order):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - gap
    return moved


def _x(value: float) -> float:
    return MARGIN + (WIDTH - 2 * MARGIN) * _clip(value)


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0


def _range(low: float, high: float) -> str:
    return f"{signed(low)} … {signed(high)}"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {place} style="stroke:{colour};stroke-width:{width}"/>'


def _circle(x: float, y: float, radius: float, fill: str, stroke: str) -> str:
    place = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius}"'
    return f'<circle {place} style="fill:{fill};stroke:{stroke};stroke-width:1.5"/>'


def _text(
    x: float,
    y: float,
    text: str,
    colour: str,
    size: int,
    anchor: str = "start",
    weight: str = "400",
    after: str = "",
) -> str:
    style = f"fill:{colour};font-size:{size}px;font-weight:{weight}"
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="{style}">{escape(text)}{after}</text>'


def _svg(title: str, description: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(f"{title}: {description}")}"><title>{escape(title)}</title>'
        f"<desc>{escape(description)}</desc>{''.join(parts)}</svg>"
    )
