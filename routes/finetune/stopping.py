"""A wish to stop, heard where a training takes no steps: photos, captions, latents, first and last pictures.

The trainer itself looks for it after every step and keeps a checkpoint (trainer/train.py). What it does before its
first step, and behind its last checkpoint, can take minutes and has nothing to keep: there a report is a place to end.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ...core.errors import Stopped
from ...core.progress import Progress, ProgressCallback


def heard_between_steps(progress: ProgressCallback, stop: Callable[[], bool], out: Path) -> ProgressCallback:
    """The callback, which raises Stopped after a report where `stop` says so and no step would be lost by it.

    Of several processes none may leave alone: they go by the trainer's own look.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        return progress
    kept: int | None = None  # the step that a checkpoint has
    reached: int | None = None

    def take(now: Progress) -> None:
        nonlocal kept, reached
        progress(now)
        if now.stage == "train":
            kept = now.done if reached is None else kept  # where it begins, or was left
            reached = now.done
        elif now.stage == "checkpoint":
            kept = int(now.values["step"])
        elif kept == reached and stop():
            raise Stopped(
                f"stopped at the stage {now.stage}, between steps; what is finished is kept",
                where=str(out),
                to_try="the same command goes on",
            )

    return take
