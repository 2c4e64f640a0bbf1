"""One progress report for the terminal, ComfyUI, the WebUI panel and the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


ProgressCallback = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """The callback for a caller who does not want to hear."""
