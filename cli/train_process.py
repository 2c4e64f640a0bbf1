"""One training run as a process: JSON lines on stdout (see trainer/__main__.py), log lines on stderr."""

from __future__ import annotations

import argparse
import json
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core.errors import InputError, ModisteError
from ..core.progress import Progress
from ..core.threads import wait_asleep
from ..models.presets import preset
from ..routes.finetune.finetune import finetune
from ..trainer.config import read_config
from .launch import first_process
from .stop_signals import stopping

HEARTBEAT_S = 5.0
MOMENTS = ("validation", "sample", "checkpoint")  # stages of the trainer that are events of their own


class Events:
    """Writes events, one line each, whole also from two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.last = Progress("start", 0, 0)

    def write(self, event: str, **values: Any) -> None:
        """One line, out at once."""
        with self._lock:
            line = {"event": event, **{name: _finite(value) for name, value in values.items()}}
            print(json.dumps(line, ensure_ascii=False, allow_nan=False), flush=True)

    def progress(self, now: Progress) -> None:
        """The trainer's callback."""
        if now.stage in MOMENTS:
            file = {"file": str(now.picture.absolute())} if now.picture else {}
            self.write(now.stage, **now.values, **file)
            return
        self.last = now
        counted = dict(stage=now.stage, done=now.done, total=now.total, message=now.message, eta_s=now.eta_s)
        self.write("progress", **counted, **now.values)

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Inside `with`, says every few seconds that the process lives."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT_S) and first_process():
                self.write("heartbeat", stage=self.last.stage, done=self.last.done)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _finite(value: Any) -> Any:
    """JSON has no infinity: None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    wait_asleep()
    parser = argparse.ArgumentParser(prog="python -m modiste.trainer", description=__doc__.partition("\n")[0])
    parser.add_argument("config", type=Path, help="a TrainConfig as JSON")
    parser.add_argument("--preset", help="whose tagger captions photos that have none: mini | sd15 | sdxl")
    parser.add_argument("--encoder", help="who tags and scores in place of the preset's: a folder or hub id")
    parser.add_argument("--engine", default="diffusers", help="diffusers (our own) | kohya (sd-scripts)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; the same one goes on")
    chosen = parser.parse_args(arguments)
    events = Events()
    try:
        config, tagger = read_config(chosen.config), preset(chosen.preset) if chosen.preset else None
        tagger = tagger.replaced(encoder=chosen.encoder) if tagger and chosen.encoder else tagger
        with events.heartbeat(), stopping() as stop:
            result = finetune(config, chosen.out, tagger, events.progress, stop, engine=chosen.engine)
    except ModisteError as error:
        events.write("error", message=str(error), exit_code=error.exit_code)
        return error.exit_code
    except OSError as error:
        wrapped = InputError(f"{error.strerror or error}", where=str(error.filename or chosen.out))
        events.write("error", message=str(wrapped), exit_code=wrapped.exit_code)
        return wrapped.exit_code
    record = result.record
    if first_process():
        events.write("done", file=str(result.file), best_step=record["best_step"], reason=record["reason"])
    return 3 if record["photos"]["skipped"] else 0
