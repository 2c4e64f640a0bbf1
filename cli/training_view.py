"""A training as a person at a terminal sees it under its bar: the loss and its curve, the rate, memory, what held-out
photos say, the last picture."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..core.progress import Progress

SMOOTH = 0.05  # share of the newest loss: about the mean of the last twenty
BARS, WIDTH = "▁▂▃▄▅▆▇█", 32


class TrainingView:
    """Takes the trainer's reports; renders as nothing until there is one."""

    def __init__(self) -> None:
        self.losses: list[float] = []  # smoothed, a step each
        self._lines = {"train": "", "validation": "", "sample": ""}

    def take(self, now: Progress) -> None:
        """Remembers what a report measured, if it is one of a training."""
        seen = now.values
        if now.stage == "train" and math.isfinite(seen.get("loss", math.nan)):
            before = self.losses[-1] if self.losses else seen["loss"]
            self.losses.append(before + SMOOTH * (seen["loss"] - before))
            self._lines["train"] = f"loss {self.losses[-1]:.4f} {curve(self.losses)}"
            if "rate" in seen:
                self._lines["train"] += f"  rate {seen['rate']:.1e}"
            if "memory_mb" in seen:
                self._lines["train"] += f"  {seen['memory_mb']:,.0f} MB"
        elif now.stage == "validation" and "mean" in seen:
            interval = f"{seen['mean']:+.5f} ({seen['low']:+.5f} … {seen['high']:+.5f})"
            self._lines["validation"] = f"held out {seen['loss']:.5f}, better by {interval} at step {seen['step']:.0f}"
        elif now.stage == "sample":
            self._lines["sample"] = f"picture {now.message}: {now.picture}"

    def lines(self) -> list[str]:
        """What there is to say."""
        return [line for line in self._lines.values() if line]

    def __rich_console__(self, console: Any, options: Any) -> Iterable[Any]:
        from rich.text import Text

        for line in self.lines():
            yield Text(f"  {line}", style="dim", no_wrap=True, overflow="ellipsis")


def curve(values: list[float]) -> str:
    """The means of at most WIDTH equal parts as small bars; the least is the lowest bar."""
    parts = min(WIDTH, len(values))
    edges = [index * len(values) // parts for index in range(parts + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in zip(edges, edges[1:], strict=False)]
    low, high = min(means), max(means)
    return "".join(BARS[round((len(BARS) - 1) * (one - low) / ((high - low) or 1))] for one in means)
