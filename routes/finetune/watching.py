"""What a person can look at while a run trains: `run.html` in its folder, and the trackers that `log` names.

the trainer's reports → page (losses, validations, samples, choices) and trackers → whoever asked for the reports
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.files import make_folder, write_whole
from ...reports.training_page import GainRow, PictureRow, SampleRow, TrainingStory, render_training
from ...trainer.results import RECORD
from ...trainer.run import CHECKPOINTS, FIRST_PLAN
from ...trainer.trackers import Trackers

if TYPE_CHECKING:
    from ...core.progress import Progress, ProgressCallback
    from ...trainer.config import TrainConfig

PAGE = "run.html"
WRITE_EVERY_S = 5.0
MOST_MESSAGES = 12
PLAN = ("device", "precision", "batch_size", "micro_batch", "checkpointing")


@contextmanager
def watched(config: TrainConfig, out: Path, progress: ProgressCallback) -> Iterator[ProgressCallback]:
    """The callback for a run: it keeps the page, feeds the trackers, and passes on what it is told.

    In further processes of one run it is `progress` itself. InputError for a tracker that is not installed.
    """
    if int(os.environ.get("RANK", 0)):
        yield progress
        return
    page, trackers = RunPage(config, out), Trackers.of(config, out)

    def take(now: Progress) -> None:
        page.take(now)
        trackers.take(now)
        progress(now)

    try:
        yield take
        page.end("finished")
    except BaseException:
        page.end("stopped")  # Ctrl-C too: a page that nobody writes any more is not to be read again
        raise
    finally:
        trackers.finish()


class RunPage:
    """Gathers a run's reports, those of earlier starts too, and writes its page now and then."""

    def __init__(self, config: TrainConfig, out: Path):
        self.out, self._written_s = out, 0.0
        self.story = TrainingStory(config.title, total=config.last_step, choices=_choices(config))
        self._recall()

    def take(self, now: Progress) -> None:
        """Remembers a report; the page is written where one of them is worth it, or time has passed."""
        story, values = self.story, now.values
        if now.stage == "train":
            story.step, story.total = now.done, now.total
            if "loss" in values:
                story.losses.append((now.done, values["loss"]))
        elif now.stage == "validation" and "mean" in values:
            story.gains.append(GainRow(int(values["step"]), values["mean"], values["low"], values["high"]))
            if "similarity" in values:
                story.pictures.append(PictureRow(int(values["step"]), values["similarity"], values.get("judge")))
        elif now.stage == "sample" and now.picture is not None:
            file = _within(now.picture, self.out)
            story.samples.append(SampleRow(int(values["step"]), file, now.message, values.get("similarity")))
        elif now.message and now.stage in ("model", "captions", "data"):
            story.messages = [*story.messages, now.message][-MOST_MESSAGES:]
        if story.total and (now.stage in ("validation", "sample") or self._is_due()):
            self.write()

    def end(self, state: str) -> None:
        """Writes the page for the last time: it is not read again by itself."""
        self.story.state = state
        if not self.story.step and state == "stopped":
            return  # nothing was trained: the error says what there is to say
        with suppress(OSError, ValueError, KeyError):
            record = json.loads((self.out / RECORD).read_text(encoding="utf-8"))
            if state == "finished":
                self.story.reason, self.story.best_step = record["reason"], record["best_step"]
                self.story.chosen_by = record.get("choice", {}).get("by", "loss")
                self.story.step = record["steps"]
        self.write()

    def write(self) -> None:
        """The page as it stands; a disk that is full stops the run elsewhere, not here."""
        self._written_s = time.monotonic()
        self.story.written = time.strftime("%Y-%m-%d %H:%M:%S")
        self.story.choices = {**self.story.choices, **_planned(self.out)}
        language = "zh-TW" if os.environ.get("LANG", "").lower().startswith("zh") else "en"
        with suppress(OSError):
            make_folder(self.out)
            write_whole(self.out / PAGE, render_training(self.story, self.out, language).encode("utf-8", "replace"))

    def _is_due(self) -> bool:
        return time.monotonic() - self._written_s >= WRITE_EVERY_S

    def _recall(self) -> None:
        """What earlier starts have left in the newest checkpoint."""
        from ...trainer.loop.checkpoint import newest_manifest
        from ...trainer.loop.validation import Validation

        manifest = newest_manifest(self.out / CHECKPOINTS)
        if manifest is None:
            return
        story, record = self.story, manifest["record"]
        story.step = manifest["step"]
        story.losses = [(float(index), loss) for index, loss in enumerate(record["losses"], 1)]
        validation = Validation.from_json(record["looks"])
        for result in validation.results:
            gain = validation.gain(result)
            story.gains.append(GainRow(result.step, gain.mean, gain.low, gain.high))
            if result.pictures:
                story.pictures.append(PictureRow(result.step, result.pictures.mean, result.pictures.judge_mean))
        for row in record.get("samples", ()):
            story.samples.append(SampleRow(row["step"], row["file"], row["prompt"], row.get("similarity")))


def _choices(config: TrainConfig) -> dict[str, str]:
    network = config.network
    choices = {
        "base": config.base,
        "method": config.method if config.method == "full" else f"{network.kind} of rank {network.rank}",
        "steps": f"{config.last_step}",
        "optimizer": f"{config.optimizer}, rate {config.learning_rate:g}, {config.schedule}",
        "trigger": config.data.trigger,
        "seed": f"{config.seed}",
    }
    return {name: value for name, value in choices.items() if value}


def _planned(out: Path) -> dict[str, str]:
    """The plan's choices, once it is made, and what they rest on."""
    try:
        plan: dict[str, Any] = json.loads((out / FIRST_PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    choices = {name: str(plan[name]) for name in PLAN if plan.get(name) is not None}
    return {**choices, "reasons": "; ".join(plan.get("reasons", ()))}


def _within(picture: Path, out: Path) -> str:
    return picture.relative_to(out).as_posix() if picture.is_relative_to(out) else picture.name
