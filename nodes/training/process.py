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
EVENTS, LOG = "events.jsonl", "trainer.log"  # in the run's folder: its events; output of the trainer and libraries
POLL_S = 0.2  # between two checks for Cancel
STOP_TIMEOUT_S = 300.0  # for the step under way, and to write a checkpoint
LOG_TAIL = 2000  # bytes of the log that an error message is taken from

# An embedded Python (ComfyUI's portable build) does not look into its working directory for `-m`.
BOOT = (
    "import importlib.util as u, runpy, sys; s = u.spec_from_file_location('modiste', sys.argv.pop(1)); "
    "m = u.module_from_spec(s); sys.modules['modiste'] = m; s.loader.exec_module(m); "
    "runpy.run_module('modiste.trainer', run_name='__main__', alter_sys=True)"
)


class TrainingFailed(ModisteError):
    """The process ended without a file; the message is the process's own."""

    exit_code = 4


def command(*arguments: str | Path, isolated: bool = bool(sys.flags.isolated)) -> list[str]:
    """`python -m modiste.trainer …`, to be started from the checkout's root."""
    start = ["-c", BOOT, str(ROOT / "modiste.py")] if isolated else ["-m", "modiste.trainer"]
    return [sys.executable, *start, *map(str, arguments)]


def training_events(
    arguments: Sequence[str], run: Path, check_cancelled: Callable[[], Any], root: Path = ROOT
) -> Iterator[dict[str, Any]]:
    """Starts `command(*arguments)` and yields its events, which are also appended to the run's EVENTS.

    `check_cancelled` is called every POLL_S. When it raises, the process gets SIGTERM, ends the current step, writes a
    checkpoint, and the exception goes on. TrainingFailed where the process ends without a `done`.
    """
    with (run / LOG).open("ab") as log_file, (run / EVENTS).open("a", encoding="utf-8") as event_file:
        process = subprocess.Popen(
            command(*arguments), cwd=root, stdout=subprocess.PIPE, stderr=log_file, env=_environment(), encoding="utf-8"
        )
        assert process.stdout is not None
        lines: queue.Queue[str | None] = queue.Queue()
        reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
        reader.start()
        ended: dict[str, Any] = {}
        try:
            for event in _events(lines, check_cancelled):
                event_file.write(json.dumps(event, ensure_ascii=False) + "\n")
                event_file.flush()
                if event["event"] in ("done", "error"):
                    ended = event
                yield event
        finally:
            _end(process)
            reader.join(timeout=STOP_TIMEOUT_S)
            process.stdout.close()
            for event in _remaining(lines):
                event_file.write(json.dumps(event, ensure_ascii=False) + "\n")
    if ended.get("event") != "done":
        raise TrainingFailed(ended.get("message") or _failure_message(run / LOG, process.returncode))


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "HF_HUB_OFFLINE": "1"}


def _read(stdout: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stdout:
        lines.put(line)
    lines.put(None)


def _events(lines: queue.Queue[str | None], check_cancelled: Callable[[], Any]) -> Iterator[dict[str, Any]]:
    while True:
        check_cancelled()
        try:
            line = lines.get(timeout=POLL_S)
        except queue.Empty:
            continue
        if line is None:
            return
        event = event_of(line)
        if event is not None:
            yield event


def _remaining(lines: queue.Queue[str | None]) -> Iterator[dict[str, Any]]:
    """Events that came while the process was being ended."""
    while not lines.empty():
        event = event_of(lines.get() or "")
        if event is not None:
            yield event


def event_of(line: str) -> dict[str, Any] | None:
    """The event of a line; None for any other line, such as a library's output."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and isinstance(value.get("event"), str) else None


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        log.warning(
            "the training did not stop in %.0f s and is killed; its last whole checkpoint stays", STOP_TIMEOUT_S
        )
        process.kill()
        process.wait()


def _failure_message(log_file: Path, returncode: int) -> str:
    """Why a process ended that sent no error event: its signal, or the last line of its log."""
    tail = log_file.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace").strip().splitlines()
    last = tail[-1] if tail else "its log is empty"
    if returncode < 0:
        return f"the training was killed (signal {-returncode}), often because memory ran out; see {log_file}"
    return f"the training ended with code {returncode}: {last}; see {log_file}"
