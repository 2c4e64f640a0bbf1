"""kill -9 over training on the embedded model, again and again, each start forked from a process with the libraries.

For a process of its own: `python -c "from training_kills import kill_training; kill_training('FOLDER', 200)"`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from train_samples import ROOT, config, run_of

from modiste.cli.train_process import main
from modiste.models.presets import MINI_WEIGHTS
from modiste.trainer.loop.checkpoint import newest_manifest, verify, whole_checkpoints
from modiste.trainer.results import RECORD
from modiste.trainer.run import CHECKPOINTS

SAME_RECORD = ("losses", "validation", "best_step", "reason", "steps")
STEPS = 10
TRAININGS: dict[str, dict[str, Any]] = {
    "LoRA, moving average": {"network": {"rank": 4}, "ema": 0.9},
    "LoKr, text encoder": {"network": {"kind": "lokr", "rank": 4, "text_rank": 2}},
    "full": {"method": "full", "learning_rate": 1e-6},
}


@dataclass
class RepeatedKills:
    """Runs of one config in `folder`, killed again and again; each that comes to its end is compared with `whole`."""

    name: str
    folder: Path
    dice: random.Random
    start_s: float = 0.0  # from the fork to the first step, and from the first to the last and the file
    steps_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    reached: int = 0  # the newest whole checkpoint's step of the run under way

    @property
    def whole(self) -> Path:
        """Of the run that nobody disturbed."""
        return self.folder / "whole"

    @property
    def killed(self) -> Path:
        """Of the run that is killed."""
        return self.folder / "killed"

    def begin(self, photos: Path) -> None:
        """Writes the config, and lets one run come to its end undisturbed."""
        self.folder.mkdir()
        validation = {"every": 4, "timesteps": 2, "most": 2, "patience": 0}
        fields = {"base": str(MINI_WEIGHTS / "sd"), "steps": STEPS, "batch_size": 2, "save_every": 1, "device": "cpu"}
        data = {"folders": [str(photos)], "resolution": 64}
        settings = {**fields, "precision": "fp32", "data": data, "validation": validation, **TRAININGS[self.name]}
        (self.folder / "config.json").write_text(json.dumps(settings))
        begun = time.monotonic()
        child, reading = self.start(self.whole)
        _read_steps(reading, 1)
        first = time.monotonic()
        _read_steps(reading, STEPS)
        assert self.ended(child, reading) == 0
        self.start_s, self.steps_s = first - begun, time.monotonic() - first

    def kill_once(self) -> None:
        """One start: a quarter of the kills fall anywhere before its first step, the others anywhere behind."""
        child, reading = self.start(self.killed)
        if self.dice.random() < 0.25:
            time.sleep(self.dice.uniform(0, self.start_s))
        else:
            _read_steps(reading, 1)
            time.sleep(self.dice.uniform(0, self.steps_s))
        os.kill(child, signal.SIGKILL)
        code = self.ended(child, reading)
        if code == 0:
            self.compare()
        else:
            assert code == -signal.SIGKILL, f"a run that goes on ended with {code}"
            self.look()

    def start(self, out: Path) -> tuple[int, int]:
        """Forks the command; its process id, and the end of a pipe that its events come out of."""
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            code = 1
            try:
                os.dup2(writing, 1)
                sys.stdout = os.fdopen(1, "w", closefd=False)
                code = main([str(self.folder / "config.json"), "--out", str(out)])
            finally:
                sys.stdout.flush()
                os._exit(code)
        os.close(writing)
        return child, reading

    def ended(self, child: int, reading: int) -> int:
        """Waits for the process; its exit code, negative where it was killed."""
        while os.read(reading, 65536):
            pass
        os.close(reading)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def look(self) -> None:
        """After a kill: the newest checkpoint with a manifest reads back whole, and none is lost."""
        kept = whole_checkpoints(self.killed / CHECKPOINTS)
        assert not kept or verify(kept[-1]) is not None, f"{kept[-1]} is damaged"
        manifest = newest_manifest(self.killed / CHECKPOINTS)
        now = manifest["step"] if manifest else 0
        assert now >= self.reached, f"a run that had a checkpoint of step {self.reached} has one of step {now}"
        unfinished = [folder for folder in (self.killed / CHECKPOINTS).glob("step-*") if folder not in kept]
        self.reached = now
        behind = now == STEPS
        self.counts.update(
            {"kills": 1, "within a save": bool(unfinished), "before a checkpoint": not kept, "behind the last": behind}
        )
        print(f"{self.name}: kill {self.counts['kills']}, newest whole checkpoint {now}", flush=True)

    def compare(self) -> None:
        """What a run of many starts leaves is what the undisturbed one left, bit for bit; then a new one begins."""
        files = sorted(file.relative_to(self.whole) for file in self.whole.rglob("*.safetensors"))
        assert files == sorted(file.relative_to(self.killed) for file in self.killed.rglob("*.safetensors"))
        for file in files:
            expected, tensors = load_file(self.whole / file), load_file(self.killed / file)
            assert tensors.keys() == expected.keys()
            assert all(tensors[name].numpy().tobytes() == expected[name].numpy().tobytes() for name in expected), file
        records = [json.loads((folder / RECORD).read_text(encoding="utf-8")) for folder in (self.whole, self.killed)]
        assert [records[0][name] for name in SAME_RECORD] == [records[1][name] for name in SAME_RECORD]
        self.counts.update(ends=1)
        self.reached = 0
        print(f"{self.name}: end {self.counts['ends']} after {self.counts['kills']} kills: identical", flush=True)
        shutil.rmtree(self.killed)


def _read_steps(reading: int, count: int) -> None:
    """Reads events up to so many steps more, or to their end."""
    while count > 0 and (events := os.read(reading, 65536)):
        count -= events.count(b'"stage": "train"')


def _import_libraries(photos: Path) -> None:
    """What a step needs is imported here, once for all starts: three of their four seconds."""
    run_of(config(MINI_WEIGHTS / "sd", photos), photos.parent / "imports")


def kill_training(folder: str, kills: int, seed: int = 0) -> None:
    """Kills each training in turn, lets each come to its end once more, and prints the counts as JSON."""
    photos = Path(folder) / "photos"
    photos.mkdir(parents=True)
    for photo in sorted((ROOT / "examples" / "collection").glob("*.jpg"))[:6]:
        shutil.copy(photo, photos)
        (photos / f"{photo.stem}.txt").write_text("a dress, vesper")
    _import_libraries(photos)
    trainings = [
        RepeatedKills(name, Path(folder) / str(index), random.Random(seed + index))
        for index, name in enumerate(TRAININGS)
    ]
    for training in trainings:
        training.begin(photos)
    turn = 0
    while sum(training.counts["kills"] for training in trainings) < kills:
        trainings[turn % len(trainings)].kill_once()
        turn += 1
    for training in trainings:
        while training.killed.exists():
            child, reading = training.start(training.killed)
            assert training.ended(child, reading) == 0
            training.compare()
    print(json.dumps({training.name: dict(training.counts) for training in trainings}), flush=True)
