"""What a person at a terminal sees: bars there, plain lines elsewhere; everything on stderr, results on stdout."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from .errors import ModisteError
from .progress import Progress

LINE_EVERY_S = 5.0


class Display:
    """A progress callback: one live bar a stage on a terminal, a line every few seconds otherwise."""

    def __init__(self, quiet: bool = False):
        self.quiet = quiet
        self._live: Any = None
        self._tasks: dict[str, Any] = {}
        self._last_line = 0.0
        self._notes: list[str] = []

    def __enter__(self) -> Display:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            columns = (
                TextColumn("{task.description:<12}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[message]}", markup=False),
            )
            self._live = RichProgress(*columns, console=Console(stderr=True))
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if self._live is not None:
            self._live.stop()

    def __call__(self, progress: Progress) -> None:
        """Shows one report."""
        if self.quiet:
            return
        if self._live is not None:
            self._bar(progress)
        elif progress.done == progress.total or time.monotonic() - self._last_line > LINE_EVERY_S:
            self._last_line = time.monotonic()
            eta = f", about {progress.eta_s:.0f} s left" if progress.eta_s else ""
            say(f"{progress.stage} {progress.done}/{progress.total}{eta} {_one_line(progress.message)}".rstrip())

    def _bar(self, progress: Progress) -> None:
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._live.add_task(progress.stage, total=progress.total, message="")
        self._live.update(
            self._tasks[progress.stage],
            completed=progress.done,
            total=progress.total,
            message=_one_line(progress.message),
        )


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
