"""The training as a process of its own: its events as they come, and an end that keeps a checkpoint.

An out-of-memory, a crash or inference mode stays on its own side; nothing of ComfyUI's memory is shared.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from ...core.errors import ModisteError

log = logging.getLogger("modiste")

ROOT = Path(__file__).parents[2]
EVENTS, SAID = "events.jsonl", "trainer.log"  # in the run's folder: its events; what it and its libraries print
LOOK_S = 0.2  # between two looks whether somebody pressed Cancel
STOP_S = 300.0  # for the step under way, and to write a checkpoint
TAIL = 2000  # characters of what a process said before it died

# An embedded Python (ComfyUI's portable build) does not look into its working directory for `-m`.
BOOT = (
    "import importlib.util as u, runpy, sys; s = u.spec_from_file_location('modiste', sys.argv.pop(1)); "
    "m = u.module_from_spec(s); sys.modules['modiste'] = m; s.loader.exec_module(m); "
    "runpy.run_module('modiste.trainer', run_name='__main__', alter_sys=True)"
)


class TrainingFailed(ModisteError):
    """The process ended with something other than a file; the message is its own."""

    exit_code = 4


def command(*arguments: str | Path, isolated: bool = bool(sys.flags.isolated)) -> list[str]:
    """`python -m modiste.trainer …`, to be started from the checkout's root."""
    start = ["-c", BOOT, str(ROOT / "modiste.py")] if isolated else ["-m", "modiste.trainer"]
    return [sys.executable, *start, *map(str, arguments)]


def training_events(
    arguments: Sequence[str], run: Path, look: Callable[[], Any], root: Path = ROOT
) -> Iterator[dict[str, Any]]:
    """Starts `command(*arguments)` and gives its events, written to the run's EVENTS as well.

    `look` is called several times a second; what it raises ends the process: SIGTERM, the step under way, a
    checkpoint, and only then is it raised on. TrainingFailed where the process ends without a `done`.
    """
    with (run / SAID).open("ab") as said, (run / EVENTS).open("a", encoding="utf-8") as kept:
        process = subprocess.Popen(
            command(*arguments), cwd=root, stdout=subprocess.PIPE, stderr=said, env=_environment(), encoding="utf-8"
        )
        assert process.stdout is not None
        lines: queue.Queue[str | None] = queue.Queue()
        reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
        reader.start()
        ended: dict[str, Any] = {}
        try:
            for event in _parsed(lines, look):
                kept.write(json.dumps(event, ensure_ascii=False) + "\n")
                kept.flush()
                if event["event"] in ("done", "error"):
                    ended = event
                yield event
        finally:
            _end(process)
            reader.join(timeout=STOP_S)
            process.stdout.close()
            for event in _left(lines):
                kept.write(json.dumps(event, ensure_ascii=False) + "\n")
    if ended.get("event") != "done":
        raise TrainingFailed(ended.get("message") or _last_words(run / SAID, process.returncode))


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "HF_HUB_OFFLINE": "1"}


def _read(stdout: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stdout:
        lines.put(line)
    lines.put(None)


def _parsed(lines: queue.Queue[str | None], look: Callable[[], Any]) -> Iterator[dict[str, Any]]:
    while True:
        look()
        try:
            line = lines.get(timeout=LOOK_S)
        except queue.Empty:
            continue
        if line is None:
            return
        event = event_of(line)
        if event is not None:
            yield event


def _left(lines: queue.Queue[str | None]) -> Iterator[dict[str, Any]]:
    """What was said while it was being ended."""
    while not lines.empty():
        event = event_of(lines.get() or "")
        if event is not None:
            yield event


def event_of(line: str) -> dict[str, Any] | None:
    """The event of a line; None for a line that is none, as a library may print."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("event"), str) else None


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        log.warning("the training did not stop in %.0f s and is killed; its last whole checkpoint stays", STOP_S)
        process.kill()
        process.wait()


def _last_words(said: Path, returncode: int) -> str:
    """Why a process died that did not say so itself."""
    tail = said.read_bytes()[-TAIL:].decode("utf-8", "replace").strip().splitlines()
    last = tail[-1] if tail else "it said nothing"
    if returncode < 0:
        return f"the training was killed (signal {-returncode}), often for want of memory; see {said}"
    return f"the training ended with code {returncode}: {last}; see {said}"
