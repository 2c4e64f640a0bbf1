"""One training for a graph: dataset → config → run folder → process → published file. Knows no ComfyUI.

The run's folder is named by a digest of everything that decides its weights, so that the same options resume it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...core.files import make_folder, write_whole
from ...core.folder_lock import lock_holder
from ...core.state_files import json_object, read_state
from ...models.presets import PRESETS
from ...routes.dataset_folder import PHOTOS, lay_out
from ...trainer.data.caption_files import own_caption
from ...trainer.results import LORA_FILE, RECORD
from ...trainer.run import LOCK
from .config import TrainingWidgets, config_of, preset_for, slug
from .dataset import ENCODER_SIDE, read_photos
from .history import History, RunRecord, now, read_record, running
from .process import EVENTS, TrainingFailed, followed_events, training_events

if TYPE_CHECKING:
    from PIL import Image

    from ...models.presets import Preset
    from ...trainer.config import TrainConfig

CONFIG, DATASET = "config.json", "dataset"
ID_DIGITS = 12

CaptionWriter = Callable[[list["Image.Image"]], list[str]]


@dataclass(frozen=True)
class LoraRun:
    """A training with its id, options, base (`checkpoint`, None for the embedded model) and folder of photos."""

    id: str
    folder: Path
    options: TrainingWidgets
    checkpoint: Path | None
    photos: Path

    @property
    def preset(self) -> Preset:
        """The preset that fits the base."""
        return preset_for(self.checkpoint) if self.checkpoint else PRESETS["mini"]

    @property
    def trained(self) -> Path:
        """The LoRA that the trainer writes."""
        return self.folder / LORA_FILE

    @property
    def finished(self) -> bool:
        """Whether the run has ended with a LoRA."""
        return (self.folder / RECORD).is_file() and self.trained.is_file()

    @property
    def result(self) -> dict[str, Any]:
        """The trainer's record of a finished run, train.json."""
        return read_state(self.folder / RECORD, json_object, "delete the run's folder to train again")


def decide(options: TrainingWidgets, checkpoint: Path | None, photos: Path, fingerprint: str, root: Path) -> LoraRun:
    """The run, named by a digest of all that decides its weights; InputError for options that can't be trained."""
    run = LoraRun("", root, replace(options, name=slug(options.name)), checkpoint, photos)
    config = config_of(run.options, run.preset, [photos])
    status = checkpoint.stat() if checkpoint else None
    inputs = {
        "config": config.model_dump(mode="json", exclude={"device": True, "title": True, "data": {"folders": True}}),
        "checkpoint": [checkpoint.name, status.st_size, status.st_mtime_ns] if checkpoint and status else "mini",
        "photos": fingerprint,
    }
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:ID_DIGITS]
    name = f"{run.options.name}-{digest}"
    return replace(run, id=name, folder=root / name)


def prepare(run: LoraRun, write_captions: CaptionWriter) -> TrainConfig:
    """Writes the config into the run's folder; photos without captions are copied there and captioned."""
    make_folder(run.folder)
    copied = run.folder / DATASET
    if not copied.is_dir():
        photos = read_photos(run.photos, ENCODER_SIDE).photos
        uncaptioned = [photo for photo in photos if own_caption(photo.path) is None]
        if uncaptioned:
            captions = write_captions([photo.image for photo in uncaptioned])
            by_sha256 = {photo.sha256: text for photo, text in zip(uncaptioned, captions, strict=True)}
            partial = copied.with_name(f"{DATASET}.part")
            lay_out(photos, by_sha256, {}, partial)
            partial.rename(copied)
    folder = copied / PHOTOS if copied.is_dir() else run.photos
    config = config_of(run.options, run.preset, [folder])
    write_whole(run.folder / CONFIG, config.model_dump_json(indent=1).encode())
    return config


def train(
    run: LoraRun,
    config: TrainConfig,
    node: str,
    vision: Sequence[str],
    check_cancelled: Callable[[], Any],
    on_event: Callable[[dict[str, Any], History], Any],
) -> None:
    """Trains to the end, resumes, or follows a process that is at it.

    `on_event` gets each event as the page receives it, with the history. `vision`: arguments that name the encoder that
    scores samples; none for no samples. An exception of `check_cancelled` (Cancel) stops the process with a checkpoint
    and is raised again.
    """
    if run.id in running:
        raise InputError(f"the run {run.id} is being trained already", to_try="wait for it, or cancel it")
    record = RunRecord(run=run.id, node=node, title=run.options.name, started=now(), total=config.steps)
    history = History.of(run.folder)
    root = run.folder.parent
    record.write(root)
    running.add(run.id)
    state = "stopped"
    try:
        arguments = [str(run.folder / CONFIG), "--out", str(run.folder), *vision]
        # Closed also when `on_event` raises, which may notice Cancel first: only then has the process ended.
        with closing(_events(run, arguments, check_cancelled)) as events:
            for event in events:
                on_event({"node": node, **history.add(event)}, history)
        state = "done"
    except TrainingFailed:
        state = "failed"
        raise
    finally:
        running.discard(run.id)
        record.model_copy(update={"state": state, "message": history.message}).write(root)


def _events(run: LoraRun, arguments: Sequence[str], check_cancelled: Callable[[], Any]) -> Iterator[dict[str, Any]]:
    """The run's events; where a host that is gone has left its process at work, that one's before any other's."""
    pid = lock_holder(run.folder / LOCK)
    if pid is not None:
        yield from followed_events(run.folder, pid, (run.folder / EVENTS).stat().st_size, check_cancelled)
    if not run.finished:
        yield from training_events(arguments, run.folder, check_cancelled)


def finish(run: LoraRun, node: str, file: str, total: int) -> None:
    """Writes the name under which loaders list the run's file into its record."""
    fresh = RunRecord(run=run.id, node=node, title=run.options.name, started=now(), total=total)
    record = read_record(run.folder) or fresh
    record.model_copy(update={"node": node, "state": "done", "file": file}).write(run.folder.parent)


def report(run: LoraRun, loads: str, warnings: Sequence[str] = ()) -> str:
    """The run as lines of text: best step, reason, photos, notes, loading, warnings, folder."""
    result = run.result
    photos = result["photos"]
    lines = [
        f"{run.id}: best step {result['best_step']} of {result['steps']}",
        result["reason"],
        f"{photos['training']} photos trained on, {len(photos['held_out'])} held out",
        *(f"left out: {Path(entry['path']).name}, {entry['reason']}" for entry in photos["skipped"]),
        *(f"note: {entry}" for entry in photos["notes"]),
        loads,
        *(f"warning: {entry}" for entry in warnings),
        f"in {run.folder}",
    ]
    return "\n".join(lines)
