"""The loss curve as a picture: what every step lost, its running mean, and the held-out photos' loss beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

    from .validation import Validation

SIZE, MARGIN, SCALE = (960, 420), 56, 2  # pixels; drawn twice as large and made small again
INK, MUTED, RULE, ACCENT, FAINT, PAPER = "#1d1b19", "#77706a", "#dcd6cd", "#8c2f39", "#d9b8bb", "#ffffff"
Line = tuple[str, int, Sequence[tuple[float, float]]]  # colour, width, (step, value)
WINDOW = 0.05  # of a run: what the running mean covers


def draw_curve(losses: Sequence[float], validation: Validation, title: str, kept: int | None = None) -> Image.Image:
    """Two panels: the training loss, and base − tuned on held-out photos with its interval and the kept step marked."""
    from PIL import Image, ImageDraw

    page = Image.new("RGB", (SIZE[0] * SCALE, SIZE[1] * SCALE), PAPER)
    pen = ImageDraw.Draw(page)
    half = (SIZE[0] - 3 * MARGIN) / 2
    boxes = [(MARGIN + column * (half + MARGIN), MARGIN, half, SIZE[1] - 2 * MARGIN) for column in (0, 1)]
    _write(pen, MARGIN, 26, title, INK, 16, "lm")
    steps = max(len(losses), 1)
    smooth = running_mean(losses, max(1, round(WINDOW * steps)))
    _panel(
        pen,
        boxes[0],
        "training loss",
        (0, steps),
        [(FAINT, 1, list(enumerate(losses, 1))), (ACCENT, 2, list(enumerate(smooth, 1)))],
    )
    gains = [
        (result.step, validation.gain(result)) for result in validation.results[1:]
    ]  # the first is the base model itself
    lines = [
        (FAINT, 1, [(0, 0.0), *((step, gain.low) for step, gain in gains)]),
        (FAINT, 1, [(0, 0.0), *((step, gain.high) for step, gain in gains)]),
        (ACCENT, 2, [(0, 0.0), *((step, gain.mean) for step, gain in gains)]),
    ]
    best = validation.best_trained.step if validation.best_trained else None
    mark = kept if kept is not None and best is not None else best
    _panel(pen, boxes[1], f"better than {validation.start} on held-out photos, by loss", (0, steps), lines, mark)
    return page.resize(SIZE, Image.Resampling.LANCZOS)


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of each value and up to `window` − 1 before it."""
    means, total = [], 0.0
    for index, value in enumerate(values):
        total += value - (values[index - window] if index >= window else 0.0)
        means.append(total / min(index + 1, window))
    return means


def _panel(
    pen: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    name: str,
    across: tuple[int, int],
    lines: Sequence[Line],
    mark: int | None = None,
) -> None:
    """One panel in `box` (left, top, width, height), its x axis from the first to the second step of `across`."""
    left, top, width, height = box
    values = [value for _, _, line in lines for _, value in line] or [0.0]
    low, high = min(values), max(values)
    if mark is not None:
        low, high = min(low, 0.0), max(high, 0.0)
    room = 0.06 * (high - low) or 0.5
    low, high = low - room, high + room

    def at(step: float, value: float) -> tuple[float, float]:
        x = left + width * (step - across[0]) / max(1, across[1] - across[0])
        return SCALE * x, SCALE * (top + height * (high - value) / (high - low))

    for value in [low + (high - low) * part / 4 for part in range(5)]:
        pen.line([at(across[0], value), at(across[1], value)], RULE, SCALE)
        _write(pen, left - 6, at(0, value)[1] / SCALE, f"{value:.3g}", MUTED, 10, "rm")
    if mark is not None:
        pen.line([at(across[0], 0), at(across[1], 0)], MUTED, SCALE)
        pen.line([at(mark, low), at(mark, high)], INK, SCALE)
        _write(pen, at(mark, high)[0] / SCALE, top - 6, f"step {mark}", INK, 10, "mb")
    for colour, thick, line in lines:
        if len(line) > 1:
            pen.line([at(*point) for point in line], colour, thick * SCALE, joint="curve")
    for step in (across[0], across[1]):
        _write(pen, at(step, low)[0] / SCALE, top + height + 6, f"{step}", MUTED, 10, "ma")
    _write(pen, left + width / 2, top + height + 22, name, MUTED, 11, "ma")


def _write(pen: ImageDraw.ImageDraw, x: float, y: float, text: str, colour: str, size: int, anchor: str) -> None:
    from PIL import ImageFont

    pen.text((SCALE * x, SCALE * y), text, colour, ImageFont.load_default(SCALE * size), anchor)
