"""Reliability of a tagger: its confidences against the share of right answers, counted and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    import torch

BINS = 10
SIDE, MARGIN, GAP = 210, 46, 26  # pixels of a panel, of the page's edge, between panels
SCALE = 3  # drawn larger and made small again: lines without stairs
INK, MUTED, RULE, ACCENT, FAINT, PAPER = "#1d1b19", "#77706a", "#dcd6cd", "#8c2f39", "#d9b8bb", "#ffffff"


class Bin(NamedTuple):
    """The answers in a range of confidence: their mean confidence, the share of right ones, their share of all."""

    confidence: float
    accuracy: float
    share: float


def reliability(probabilities: torch.Tensor, target: torch.Tensor) -> list[Bin]:
    """The bins with answers, of BINS equal ranges; probabilities [N, labels], target [N]."""
    confidence, choice = probabilities.max(1)
    right, bins = (choice == target).float(), []
    for low in range(BINS):
        inside = (confidence > low / BINS) & (confidence <= (low + 1) / BINS)
        if inside.any():
            values = (confidence[inside].mean(), right[inside].mean(), inside.float().mean())
            bins.append(Bin(*(round(float(value), 4) for value in values)))
    return bins


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """Mean gap between confidence and accuracy, 0…1.

    Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), eq. 3.
    """
    return sum(bin_.share * abs(bin_.confidence - bin_.accuracy) for bin_ in bins)


def draw_reliability(groups: Mapping[str, Sequence[Bin]], columns: int = 3) -> Image.Image:
    """A panel for each group: confidence to the right, accuracy upwards; a dot's area is its share of the answers.

    On the diagonal, answers with confidence 80 % are right in 80 of 100 cases.
    """
    rows = -(-len(groups) // columns)
    size = (2 * MARGIN + columns * SIDE + (columns - 1) * (GAP + MARGIN), MARGIN + rows * (SIDE + GAP + MARGIN))
    page = Image.new("RGB", tuple(SCALE * side for side in size), PAPER)
    pen = ImageDraw.Draw(page)
    for index, (group, bins) in enumerate(groups.items()):
        left = MARGIN + index % columns * (SIDE + GAP + MARGIN)
        top = MARGIN + index // columns * (SIDE + GAP + MARGIN)
        _panel(pen, left, top, group, bins)
    return page.resize(size, Image.Resampling.LANCZOS)


def _panel(pen: ImageDraw.ImageDraw, left: int, top: int, group: str, bins: Sequence[Bin]) -> None:
    def at(confidence: float, accuracy: float) -> tuple[float, float]:
        return SCALE * (left + SIDE * confidence), SCALE * (top + SIDE * (1 - accuracy))

    def write(x: float, y: float, text: str, colour: str, size: int, anchor: str) -> None:
        pen.text((SCALE * x, SCALE * y), text, colour, ImageFont.load_default(SCALE * size), anchor)

    for tick in (0, 0.5, 1):
        pen.line([at(tick, 0), at(tick, 1)], RULE, SCALE)
        pen.line([at(0, tick), at(1, tick)], RULE, SCALE)
        write(left + SIDE * tick, top + SIDE + 6, f"{100 * tick:.0f}", MUTED, 11, "ma")
        write(left - 7, top + SIDE * (1 - tick), f"{100 * tick:.0f}", MUTED, 11, "rm")
    pen.line([at(0, 0), at(1, 1)], MUTED, SCALE)
    pen.line([at(bin_.confidence, bin_.accuracy) for bin_ in bins], FAINT, SCALE)  # between few answers it says little
    for bin_ in bins:
        x, y = at(bin_.confidence, bin_.accuracy)
        radius = SCALE * (2.5 + 9 * bin_.share**0.5)
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], ACCENT)
    write(left, top - 16, group, INK, 15, "ls")
    write(left + SIDE, top - 16, f"gap {100 * expected_calibration_error(bins):.1f} points", MUTED, 11, "rs")
    write(left + SIDE / 2, top + SIDE + 22, "confidence, % (right answers upwards, %)", MUTED, 11, "ma")
