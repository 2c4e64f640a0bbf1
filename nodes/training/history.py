"""Runs as folders: `output/modiste/RUN/` with run.json, events.jsonl and what the trainer leaves; read for the page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ...core.files import make_folder, write_whole
from ...core.folder_lock import lock_holder
from ...trainer.results import LORA_FILE, RECORD
from ...trainer.run import LOCK
from .process import EVENTS, event_of

RUN = "run.json"
MAX_RUNS, MAX_POINTS = 50, 500
TRAINED_ALONE = "trained to the end while ComfyUI was away: queue it again, and the file is put where loaders list it"

running: set[str] = set()  # ids of runs that this process has started and that have not ended


class RunRecord(BaseModel):
    """A run as its node knows it; written when it starts and when it ends."""

    model_config = ConfigDict(extra="forbid")

    run: str
    node: str  # the id of the node in its graph
    title: str
    started: float  # seconds since 1970
    total: int  # steps
    state: str = "running"  # running | done | stopped | failed
    file: str | None = None  # the LoRA's name as loaders list it
    message: str = ""

    def write(self, root: Path) -> None:
        """Writes run.json into the run's folder."""
        folder = root / self.run
        make_folder(folder)
        write_whole(folder / RUN, self.model_dump_json(indent=1).encode())


def read_record(folder: Path) -> RunRecord | None:
    """The record of a run's folder, None where it is no run. A run whose process is gone is `stopped`.

    A process whose host was ended goes on: as long as it holds the folder's lock, the run is `running`.
    """
    try:
        record = RunRecord.model_validate_json((folder / RUN).read_bytes())
    except (OSError, ValueError):  # no file, no valid record, or a name that no file can have
        return None
    if record.state == "running" and record.run not in running and lock_holder(folder / LOCK) is None:
        record.state = "stopped"
        if (folder / RECORD).is_file() and (folder / LORA_FILE).is_file():
            record.message = TRAINED_ALONE
    return record


def list_runs(root: Path) -> list[dict[str, Any]]:
    """The newest runs first, as `/modiste/runs` gives them."""
    folders = root.iterdir() if root.is_dir() else iter(())
    records = [record for folder in folders if (record := read_record(folder))]
    newest = sorted(records, key=lambda record: -record.started)[:MAX_RUNS]
    return [_line(record, root / record.run) for record in newest]


def trained_files(root: Path) -> list[str]:
    """LoRAs of the finished runs by their names in loaders' lists, the newest first; each file once."""
    folders = root.iterdir() if root.is_dir() else iter(())
    records = [record for folder in folders if (record := read_record(folder)) and record.file]
    return list(dict.fromkeys(str(record.file) for record in sorted(records, key=lambda record: -record.started)))


def _line(record: RunRecord, folder: Path) -> dict[str, Any]:
    history = History.of(folder)
    trained = [validation for validation in history.held_out if validation["step"]]
    best = min(trained, key=lambda validation: validation["loss"], default=None)
    gain = {key: best[key] for key in ("mean", "low", "high")} if best else None
    return {
        **record.model_dump(include={"run", "node", "title", "state", "total", "file", "started"}),
        "steps": history.steps,
        "best_step": history.best_step if history.best_step is not None else best and best["step"],
        "gain": gain if gain and None not in gain.values() else None,
    }


def show_run(root: Path, run: str) -> dict[str, Any] | None:
    """One run, as `/modiste/runs/{run}` gives it; None for an unknown name."""
    folder = root / run
    if folder.parent != root or (record := read_record(folder)) is None:
        return None
    history = History.of(folder)
    return {
        **record.model_dump(include={"run", "node", "state", "total", "file"}),
        "live": record.run in running,
        "losses": thinned(history.losses),
        "rates": thinned(history.rates),
        "held_out": history.held_out,
        "checkpoints": history.checkpoints,
        "samples": history.samples,
        "eta_s": history.eta_s if record.state == "running" else None,
        "memory_mb": history.memory_mb,
        "best_step": history.best_step,
        "reason": history.reason,
        "message": record.message or history.message,
    }


def thinned(points: list[list[float]]) -> list[list[float]]:
    """At most MAX_POINTS points [x, y]: windows of neighbours, y their mean and x the last of them."""
    window = -(-len(points) // MAX_POINTS)
    if window <= 1:
        return points
    parts = [points[start : start + window] for start in range(0, len(points), window)]
    return [[part[-1][0], sum(y for _, y in part) / len(part)] for part in parts]


class History:
    """A run's state so far, from its events; a step done again after a stop replaces the first one."""

    def __init__(self, run: str):
        self.run = run
        self.done, self.total = 0, 0  # of the stage that is under way
        self.steps = 0  # trained
        self.stage, self.message, self.reason = "", "", ""
        self.eta_s: float | None = None
        self.memory_mb: float | None = None
        self.best_step: int | None = None
        self._losses: dict[int, float] = {}
        self._rates: dict[int, float] = {}
        self._held_out: dict[int, dict[str, Any]] = {}
        self._samples: dict[str, dict[str, Any]] = {}
        self.checkpoints: list[int] = []
        self.newest_picture: Path | None = None

    @classmethod
    def of(cls, folder: Path) -> History:
        """The history that the run's file of events tells."""
        history = cls(folder.name)
        for event in _events(folder / EVENTS):
            history.add(event)
        return history

    @property
    def losses(self) -> list[list[float]]:
        """[step, loss], in order."""
        return [[step, self._losses[step]] for step in sorted(self._losses)]

    @property
    def rates(self) -> list[list[float]]:
        """[step, learning rate], in order."""
        return [[step, self._rates[step]] for step in sorted(self._rates)]

    @property
    def held_out(self) -> list[dict[str, Any]]:
        """Validations on held-out photos, the base model's first where it is known."""
        return [self._held_out[step] for step in sorted(self._held_out)]

    @property
    def samples(self) -> list[dict[str, Any]]:
        """Pictures drawn on the way: step and url."""
        return list(self._samples.values())

    def add(self, event: dict[str, Any]) -> dict[str, Any]:
        """Adds an event; returns it as the page receives it live."""
        kind, step = event["event"], event.get("step", event.get("done"))
        validation = sample = checkpoint = None
        if kind in ("progress", "heartbeat"):
            self.stage, self.done = event.get("stage", self.stage), event.get("done", self.done)
            self.steps = self.done if self.stage == "train" else self.steps
        if kind == "progress":
            self.total, self.message = event.get("total", self.total), event.get("message", "")
            self.eta_s = event.get("eta_s")
        self.memory_mb = event.get("memory_mb", self.memory_mb)
        if kind == "progress" and self.stage == "train" and isinstance(step, int):
            for series, value in ((self._losses, event.get("loss")), (self._rates, event.get("rate"))):
                if value is not None:
                    series[step] = value
        if kind == "validation":
            validation = {key: event.get(key) for key in ("step", "loss", "mean", "low", "high")}
            self._held_out[validation["step"]] = validation
        if kind == "checkpoint":
            checkpoint = step
            self.checkpoints.append(checkpoint)
        if kind == "sample" and event.get("file"):
            self.newest_picture = Path(event["file"])
            sample = self.picture_url(self.newest_picture)
            self._samples[sample] = {"step": step, "url": sample}
        if kind == "done":
            self.best_step, self.reason = event.get("best_step"), event.get("reason", "")
        if kind == "error":
            self.message = event.get("message", "")
        return {
            "run": self.run,
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "message": self.message,
            "eta_s": self.eta_s,
            "loss": event.get("loss") if kind == "progress" else None,
            "rate": event.get("rate") if kind == "progress" else None,
            "memory_mb": self.memory_mb,
            "held_out": validation,
            "checkpoint": checkpoint,
            "sample": sample,
        }

    def picture_url(self, path: Path) -> str:
        """The /view address of a picture in the run's folder; the host itself refuses paths outside its output."""
        from urllib.parse import urlencode

        within = path.parts[path.parts.index(self.run) + 1 : -1] if self.run in path.parts else ()
        folder = "/".join(("modiste", self.run, *within))
        return f"/view?{urlencode({'filename': path.name, 'subfolder': folder, 'type': 'output'})}"


def _events(file: Path) -> Iterator[dict[str, Any]]:
    if file.is_file():
        with file.open(encoding="utf-8", errors="replace") as lines:
            yield from filter(None, map(event_of, lines))


def now() -> float:
    """Seconds since 1970."""
    return time.time()
