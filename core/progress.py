"""One progress report for the terminal, ComfyUI, the WebUI panel and the tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of `stage`; `eta_s` in seconds where it can be told."""

    stage: str
    done: int
    total: int
    message: str = ""
    eta_s: float | None = None
    picture: Path | None = None
    values: Mapping[str, float] = field(default_factory=dict)  # what was measured, by name: loss, rate, memory_mb, …


ProgressCallback = Callable[[Progress], None]


class Pace:
    """Counts units of one stage, tells the callback, and guesses what is left from the units really worked on."""

    def __init__(self, stage: str, total: int, callback: ProgressCallback):
        self.stage, self.total, self.callback = stage, total, callback
        self.done, self._worked, self._began = 0, 0, time.monotonic()

    def step(self, picture: Path | None = None, message: str = "", **values: float) -> None:
        """One unit more; `picture` is its result where there is one, `values` what it measured."""
        self.done, self._worked = self.done + 1, self._worked + 1
        self._tell(message, picture, values)

    def found(self, done: int, total: int, item: Path) -> None:
        """`item` is done, the `done`th of `total`: for work whose extent shows only when it has begun."""
        self.total, self._worked = total, self._worked + 1
        self.reach(done, item.name)

    def reach(self, done: int, message: str = "") -> None:
        """So far now, whether worked or found done already."""
        self.done = done
        self._tell(message, None)

    def _tell(self, message: str, picture: Path | None, values: Mapping[str, float] | None = None) -> None:
        left = max(0, self.total - self.done)
        each = (time.monotonic() - self._began) / self._worked if self._worked else None
        eta_s = each * left if each is not None else None
        done = min(self.done, self.total)
        self.callback(Progress(self.stage, done, self.total, message, eta_s, picture, values or {}))


def silent(progress: Progress) -> None:
    """The callback for a caller who does not want to hear."""
