"""What a person at a terminal sees: bars there, plain lines elsewhere; everything on stderr, results on stdout.

A program that started us asks with MODISTE_PROGRESS=json for each report as one line of JSON, `--json` or not.
"""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Any

from ..core.errors import ModisteError
from ..core.progress import Progress
from .training_view import TrainingView

LINE_EVERY_S = 5.0
TOLD = ("validation",)  # stages each of whose reports is worth a line
UNDER_THE_BAR = ("validation", "sample", "checkpoint")  # moments of a training, no work that a bar counts
FOR_PROGRAMS = "MODISTE_PROGRESS"


class Display:
    """A progress callback: on a terminal live bars, one a stage, and a training's numbers; else now and then a line."""

    def __init__(self, quiet: bool = False):
        self.quiet = quiet
        self._live: Any = None
        self._bars: Any = None
        self._training = TrainingView()
        self._tasks: dict[str, Any] = {}
        self._last_line, self._last_s = "", 0.0

    def __enter__(self) -> Display:
        if not self.quiet and sys.stderr.isatty() and FOR_PROGRAMS not in os.environ:
            from rich.console import Console, Group
            from rich.live import Live
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
            from rich.progress import Progress as RichProgress

            columns = (
                TextColumn("{task.description:<12}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[left]}"),  # what a pipe is told; rich's own would count what was there before
                TextColumn("{task.fields[message]}", markup=False),
            )
            console = Console(stderr=True)
            self._bars = RichProgress(*columns, console=console)
            self._live = Live(Group(self._bars, self._training), console=console)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if self._live is not None:
            self._live.stop()

    def __call__(self, progress: Progress) -> None:
        """Shows one report."""
        if os.environ.get(FOR_PROGRAMS) == "json":
            say(_as_json(progress))
            return
        if self.quiet:
            return
        if self._live is not None:
            self._training.take(progress)
            if progress.stage not in UNDER_THE_BAR:
                self._bar(progress)
        elif progress.stage in TOLD or progress.done == progress.total or self._silent_s() > LINE_EVERY_S:
            eta = f", about {progress.eta_s:.0f} s left" if progress.eta_s else ""
            line = f"{progress.stage} {progress.done}/{progress.total}{eta} {_one_line(progress.message)}".rstrip()
            if line != self._last_line:  # one report for each picture of a finished stage
                say(line)
            self._last_line, self._last_s = line, time.monotonic()

    def _silent_s(self) -> float:
        return time.monotonic() - self._last_s

    def _bar(self, progress: Progress) -> None:
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._bars.add_task(progress.stage, total=progress.total, message="", left="")
        message = "" if "loss" in progress.values else _one_line(progress.message)  # its numbers stand under the bar
        self._bars.update(
            self._tasks[progress.stage],
            completed=progress.done,
            total=progress.total,
            message=message,
            left=_clock(progress.eta_s),
        )


def _clock(seconds: float | None) -> str:
    """`1:05:00` left; empty where nobody knows, or nothing is left."""
    if not seconds:
        return ""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _as_json(progress: Progress) -> str:
    import json
    from dataclasses import asdict

    return json.dumps({"progress": asdict(progress)}, default=str)


def _one_line(text: str) -> str:
    """Without control characters, so that a file name can't move the cursor."""
    return "".join(char if char.isprintable() else "?" for char in text)


def say(text: str) -> None:
    """A line for people, on stderr."""
    print(text, file=sys.stderr, flush=True)


def say_error(error: ModisteError) -> None:
    """The error as one line that says what, where, and what to try."""
    say(f"error: {' '.join(str(error).split())}")


def print_json(document: Any) -> None:
    """The one JSON document of `--json`, on stdout."""
    import json

    print(json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False))
