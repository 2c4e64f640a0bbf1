"""The stages of one run folder: each is done once, however often the run is killed and started again.

pipeline.json    the settings that the folder belongs to
split.json       which photo is for what, decided once
stages.json      what is finished, and what it took: seconds of every start together, also of those that were killed
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import BaseModel, ConfigDict

from ...core.errors import InputError
from ...core.files import write_whole
from ...core.folder_lock import lock_folder
from ...core.progress import Progress, ProgressCallback
from ...core.state_files import json_object, read_state
from ...runs.settings import OTHER_FOLDER, canonical, refusal
from .split import Split

SETTINGS, SPLIT, RECORD, LOCK = "pipeline.json", "split.json", "stages.json", "pipeline.lock"
STAGES = ("prompt", "finetune", "compare")
PROMPT, CLASS, DATASET, TRAINING = "prompt", "class", "dataset", "training"  # folders
WRITE_EVERY_S = 5.0
CONTINUE = "delete the file; the run continues with the settings and photos of this command"


class Stage(BaseModel):
    """What is known of one stage."""

    model_config = ConfigDict(extra="forbid")

    finished: bool = False
    seconds: float = 0.0
    memory_bytes: int | None = None  # peak of the process and of the card, at the stage's end


class Stages:
    """The open folder of a run: one writer; `only` is the single stage to do, None: all."""

    def __init__(self, folder: Path, settings: dict[str, Any], split: Split, only: str | None = None):
        """InputError where the folder belongs to other settings or photos, or to another process."""
        if only is not None and only not in STAGES:
            raise InputError(f"there is no stage {only!r}", to_try=f"one of {', '.join(STAGES)}")
        self.folder, self.only = folder, only
        self._refuse_other(settings, split)
        self._lock = lock_folder(folder, LOCK, "at work here")
        try:
            self.of = self._read(RECORD, _stages) or {name: Stage() for name in STAGES}
            write_whole(folder / SETTINGS, json.dumps(settings, indent=1).encode())
            write_whole(folder / SPLIT, (split.model_dump_json(indent=1) + "\n").encode())
        except BaseException:
            self._lock.release()
            raise

    def _refuse_other(self, settings: dict[str, Any], split: Split) -> None:
        reason = refusal(self._read(SETTINGS) or settings, json.loads(canonical(settings)))
        if reason:
            raise InputError(reason, where=str(self.folder), to_try=OTHER_FOLDER)
        before = self._read(SPLIT, _split)
        now = split.model_dump(mode="json")
        if before and [_contents(before[part]) for part in now] != [_contents(now[part]) for part in now]:
            raise InputError(
                "the photos are others than those that the run folder was begun with",
                where=str(self.folder),
                to_try="use another --out, or the old photos",
            )

    def once(self, name: str, work: Callable[[ProgressCallback], Any], progress: ProgressCallback) -> None:
        """Does the stage unless it is finished or `only` is another; `work` gets a progress callback.

        InputError where the stage `only` needs it first.
        """
        stage = self.of[name]
        if stage.finished:
            return
        if self.only not in (None, name):
            if STAGES.index(name) < STAGES.index(self.only):
                raise InputError(
                    f"the stage {self.only} needs the stage {name}, which is not finished",
                    where=str(self.folder),
                    to_try=f"--stage {name} first, or no --stage",
                )
            return
        before, began, written = stage.seconds, time.monotonic(), time.monotonic()

        def tell(report: Progress) -> None:
            nonlocal written
            if time.monotonic() - written > WRITE_EVERY_S:
                written = time.monotonic()
                stage.seconds = round(before + written - began, 1)
                self._write()
            progress(report)

        try:
            work(tell)
            stage.finished, stage.memory_bytes = True, peak_memory_bytes()
        finally:
            stage.seconds = round(before + time.monotonic() - began, 1)
            self._write()

    def _write(self) -> None:
        known = {name: stage.model_dump() for name, stage in self.of.items()}
        write_whole(self.folder / RECORD, (json.dumps(known, indent=1) + "\n").encode())

    def _read(self, name: str, form: Callable[[Any], dict[str, Any]] = json_object) -> dict[str, Any] | None:
        file = self.folder / name
        return read_state(file, form, CONTINUE) if file.is_file() else None

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.release()


def _stages(record: Any) -> dict[str, Any]:
    return {name: Stage.model_validate(json_object(record).get(name, {})) for name in STAGES}


def _split(record: Any) -> dict[str, Any]:
    return Split.model_validate(record).model_dump(mode="json")


def _contents(photos: list[dict[str, str]]) -> list[str]:
    return [photo["sha256"] for photo in photos]


def peak_memory_bytes() -> int | None:
    """The most that this process has had in memory so far, and on its card; None where the system does not say."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    torch = sys.modules.get("torch")
    return peak + (torch.cuda.max_memory_allocated() if torch is not None and torch.cuda.is_available() else 0)
