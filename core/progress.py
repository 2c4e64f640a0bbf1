"""Progress reports, of one form for the terminal, ComfyUI, the WebUI panel and the tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Progress:
    """A report: `done` of `total` units of `stage`; `eta_s` is None until it can be estimated."""

    stage: str
    done: int
    total: int
    message: str = ""
    eta_s: float | None = None
    picture: Path | None = None
    values: Mapping[str, float] = field(default_factory=dict)  # what was measured, by name: loss, rate, memory_mb, …


ProgressCallback = Callable[[Progress], None]


# Before it no estimate: what a batch gives at once says nothing about the next one.
LEAST_MEASURED_S = 0.2


class Pace:
    """Counts the units of one stage and reports them; the time left is estimated from the units that were computed.

    The clock starts with the first unit: opening models and reading photos before it would be counted as its work.
    """

    def __init__(self, stage: str, total: int, callback: ProgressCallback):
        self.stage, self.total, self.callback = stage, total, callback
        self.done, self._worked = 0, 0
        self._first_s: float | None = None  # when the first unit was computed

    def step(self, picture: Path | None = None, message: str = "", **values: float) -> None:
        """Counts one more computed unit, with its `picture` (if it made one) and its measured `values`."""
        self.done, self._worked = self.done + 1, self._worked + 1
        self._report(message, picture, values)

    def advance(self, count: int, message: str = "", **values: float) -> None:
        """Counts `count` computed units at once, with what was measured at the last one."""
        self.done, self._worked = self.done + count, self._worked + count
        self._report(message, None, values)

    def known(self, count: int) -> None:
        """Counts `count` units that an earlier run has computed; they say nothing about the time left."""
        self.done += count
        self._report("", None)

    def found(self, done: int, total: int, item: Path) -> None:
        """Reports `item` as number `done` of `total`, for work whose extent is known only once it has begun."""
        self.total, self._worked = total, self._worked + 1
        self.reach(done, item.name)

    def reach(self, done: int, message: str = "") -> None:
        """Reports that `done` units are complete, computed now or before."""
        self.done = done
        self._report(message, None)

    def _report(self, message: str, picture: Path | None, values: Mapping[str, float] | None = None) -> None:
        done = min(self.done, self.total)
        self.callback(Progress(self.stage, done, self.total, message, self._eta_s(), picture, values or {}))

    def _eta_s(self) -> float | None:
        """Seconds left; None where nothing was measured yet."""
        if not self._worked:
            return None
        now = time.monotonic()
        self._first_s = now if self._first_s is None else self._first_s
        return time_left_s(now - self._first_s, self._worked - 1, self.total - self.done)


def time_left_s(measured_s: float, units: float, left: float) -> float | None:
    """Seconds for the `left` units after `units` of them took `measured_s`; None where too little was measured."""
    if left <= 0:
        return 0.0
    return measured_s / units * left if units > 0 and measured_s >= LEAST_MEASURED_S else None


def silent(progress: Progress) -> None:
    """The callback that ignores every report."""
