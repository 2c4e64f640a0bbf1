"""`python -m modiste.trainer config.json`: one training run as a process of its own, for every front end.

Standard output carries JSON lines, one event each, and nothing else:

    {"event": "progress", "stage": "train", "done": 12, "total": 400, "message": "loss 0.0412, …", "eta_s": 31.0}
    {"event": "heartbeat", "stage": "train", "done": 12}        every few seconds, also while nothing else is said
    {"event": "done", "file": "…", "best_step": 165, "reason": "…"}
    {"event": "error", "message": "…", "exit_code": 2}

SIGTERM and Ctrl-C keep a checkpoint and exit with 4; the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import InputError, ModisteError
from ..finetuning import finetune
from ..presets import preset
from ..progress import Progress
from .config import read_config
from .stopping import stopping

HEARTBEAT_S = 5.0


class Events:
    """Writes events, one line each, whole also from two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.last = Progress("start", 0, 0)

    def write(self, event: str, **values: Any) -> None:
        """One line, out at once."""
        with self._lock:
            print(json.dumps({"event": event, **values}, ensure_ascii=False), flush=True)

    def progress(self, now: Progress) -> None:
        """The trainer's callback."""
        self.last = now
        self.write("progress", stage=now.stage, done=now.done, total=now.total, message=now.message, eta_s=now.eta_s)

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


def first_process() -> bool:
    """Whether this one speaks for all that `accelerate launch` or torchrun has started."""
    return int(os.environ.get("RANK", 0)) == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m modiste.trainer", description=__doc__.partition("\n")[0])
    parser.add_argument("config", type=Path, help="a TrainConfig as JSON")
    parser.add_argument("--preset", help="whose tagger captions photos that have none: mini | sd15 | sdxl")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; the same one goes on")
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    events = Events()
    try:
        config, tagger = read_config(chosen.config), preset(chosen.preset) if chosen.preset else None
        with events.heartbeat(), stopping() as stop:
            result = finetune(config, chosen.out, tagger, events.progress, stop)
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


if __name__ == "__main__":
    sys.exit(main())
