"""One training for a graph: dataset → config → run folder → process → published file. Knows no ComfyUI.

The run's folder is named by what decides its weights. The same wish finds its folder again and goes on there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...core.files import make_folder, write_whole
from ...models.presets import PRESETS
from ...routes.dataset_folder import PHOTOS, lay_out
from ...trainer.data.caption_files import own_caption
from ...trainer.results import LORA_FILE, RECORD
from .config import Wish, config_of, preset_for, slug
from .dataset import SEEN_SIDE, read_photos
from .history import History, RunRecord, now, read_record, running
from .process import TrainingFailed, training_events

if TYPE_CHECKING:
    from PIL import Image

    from ...models.presets import Preset
    from ...trainer.config import TrainConfig

CONFIG, DATASET = "config.json", "dataset"
ID_DIGITS = 12

WordsOf = Callable[[list["Image.Image"]], list[str]]


@dataclass(frozen=True)
class LoraRun:
    """A training that is decided: `checkpoint` None is the embedded model."""

    id: str
    folder: Path
    wish: Wish
    checkpoint: Path | None
    photos: Path

    @property
    def preset(self) -> Preset:
        """What fits the base."""
        return preset_for(self.checkpoint) if self.checkpoint else PRESETS["mini"]

    @property
    def trained(self) -> Path:
        """The trainer's file."""
        return self.folder / LORA_FILE

    @property
    def finished(self) -> bool:
        """Whether it was trained to its end before."""
        return (self.folder / RECORD).is_file() and self.trained.is_file()

    @property
    def result(self) -> dict[str, Any]:
        """What the trainer writes at its end."""
        return json.loads((self.folder / RECORD).read_text(encoding="utf-8"))


def decide(wish: Wish, checkpoint: Path | None, photos: Path, fingerprint: str, root: Path) -> LoraRun:
    """Names the run by all that decides its weights; InputError for a wish that can't be trained."""
    run = LoraRun("", root, replace(wish, name=slug(wish.name)), checkpoint, photos)
    config = config_of(run.wish, run.preset, [photos])
    about = checkpoint.stat() if checkpoint else None
    decided = {
        "config": config.model_dump(mode="json", exclude={"device": True, "title": True, "data": {"folders": True}}),
        "checkpoint": [checkpoint.name, about.st_size, about.st_mtime_ns] if checkpoint and about else "mini",
        "photos": fingerprint,
    }
    digest = hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:ID_DIGITS]
    name = f"{run.wish.name}-{digest}"
    return replace(run, id=name, folder=root / name)


def prepare(run: LoraRun, words_of: WordsOf) -> TrainConfig:
    """The config, written into the run's folder; photos without captions get them, in a copy of ours."""
    make_folder(run.folder)
    captioned = run.folder / DATASET
    if not captioned.is_dir():
        photos = read_photos(run.photos, SEEN_SIDE).photos
        bare = [photo for photo in photos if own_caption(photo.path) is None]
        if bare:
            words = words_of([photo.image for photo in bare])
            written = {photo.sha256: text for photo, text in zip(bare, words, strict=True)}
            begun = captioned.with_name(f"{DATASET}.part")
            lay_out(photos, written, {}, begun)
            begun.rename(captioned)
    folder = captioned / PHOTOS if captioned.is_dir() else run.photos
    config = config_of(run.wish, run.preset, [folder])
    write_whole(run.folder / CONFIG, config.model_dump_json(indent=1).encode())
    return config


def train(
    run: LoraRun,
    config: TrainConfig,
    node: str,
    vision: Sequence[str],
    look: Callable[[], Any],
    tell: Callable[[dict[str, Any], History], Any],
) -> None:
    """Trains to the end, or goes on; `tell` hears each event as the page does.

    `vision`: arguments that tell the process who looks at the pictures it draws on the way, none for no pictures.
    What `look` raises, Cancel first of all, stops the process with a checkpoint and comes out here.
    """
    if run.id in running:
        raise InputError(f"the run {run.id} is being trained already", to_try="wait for it, or cancel it")
    record = RunRecord(run=run.id, node=node, title=run.wish.name, started=now(), total=config.steps)
    history = History.of(run.folder)
    root = run.folder.parent
    record.write(root)
    running.add(run.id)
    state = "stopped"
    try:
        arguments = [str(run.folder / CONFIG), "--out", str(run.folder), *vision]
        # Closed whatever comes out of `tell`, where Cancel may show first: only then has the process ended.
        with closing(training_events(arguments, run.folder, look)) as events:
            for event in events:
                tell({"node": node, **history.add(event)}, history)
        state = "done"
    except TrainingFailed:
        state = "failed"
        raise
    finally:
        running.discard(run.id)
        record.model_copy(update={"state": state, "message": history.message}).write(root)


def finish(run: LoraRun, node: str, file: str, total: int) -> None:
    """Notes in the run's record under which name loaders list its file."""
    fresh = RunRecord(run=run.id, node=node, title=run.wish.name, started=now(), total=total)
    record = read_record(run.folder) or fresh
    record.model_copy(update={"node": node, "state": "done", "file": file}).write(run.folder.parent)


def report(run: LoraRun, loads: str, warnings: Sequence[str] = ()) -> str:
    """What was trained and how well, for people."""
    result = run.result
    photos = result["photos"]
    lines = [
        f"{run.id}: best step {result['best_step']} of {result['steps']}",
        result["reason"],
        f"{photos['training']} photos trained on, {len(photos['held_out'])} held out",
        *(f"left out: {Path(one['path']).name}, {one['reason']}" for one in photos["skipped"]),
        *(f"note: {one}" for one in photos["notes"]),
        loads,
        *(f"warning: {one}" for one in warnings),
        f"in {run.folder}",
    ]
    return "\n".join(lines)
