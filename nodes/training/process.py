"""The training as a process of its own: its events as they come, and an end that keeps a checkpoint.

An out-of-memory, a crash or inference mode stays on its own side; nothing of ComfyUI's memory is shared.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import ModisteError

if TYPE_CHECKING:
    import psutil

log = logging.getLogger("modiste")

ROOT = Path(__file__).parents[2]
EVENTS, LOG = "events.jsonl", "trainer.log"  # in the run's folder: its events; output of the trainer and libraries
POLL_S = 0.05  # between two looks for events, and for Cancel
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
    """Starts `command(*arguments)`, which writes its events into the run's EVENTS, and yields them.

    The process writes into the file itself, so that it goes on where this one is killed; `followed_events` takes it up
    again. `check_cancelled` is called every POLL_S. When it raises, the process gets SIGTERM, ends the current step,
    writes a checkpoint, and the exception goes on. TrainingFailed where the process ends without a `done`.
    """
    start = _whole_lines(run / EVENTS)
    with (run / LOG).open("ab") as log_file, (run / EVENTS).open("ab") as event_file:
        process = subprocess.Popen(
            command(*arguments), cwd=root, stdout=event_file, stderr=log_file, env=_environment()
        )
    ended: dict[str, Any] = {}
    try:
        for event in _events(run / EVENTS, start, lambda: process.poll() is None, check_cancelled):
            if event["event"] in ("done", "error"):
                ended = event
            yield event
    finally:
        _end(process)
    if ended.get("event") != "done":
        raise TrainingFailed(ended.get("message") or _failure_message(run / LOG, process.returncode))


def followed_events(run: Path, pid: int, start: int, check_cancelled: Callable[[], Any]) -> Iterator[dict[str, Any]]:
    """Events, from byte `start` of the run's EVENTS, of the process `pid` that a host started which is gone now.

    Ends with that process. When `check_cancelled` raises, the process is stopped as in `training_events`.
    """
    import psutil

    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        process = None

    def alive() -> bool:
        """The process, not its lock: it lets the run go before it writes that it is done."""
        with suppress(psutil.NoSuchProcess):
            return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return False

    try:
        yield from _events(run / EVENTS, start, alive, check_cancelled)
    finally:
        if process is not None and alive():
            with suppress(psutil.NoSuchProcess):
                _end(process)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "HF_HUB_OFFLINE": "1"}


def _whole_lines(file: Path) -> int:
    """The file's size in bytes, after its last line, which a killed process may have left open, was ended."""
    with file.open("ab+") as stream:
        size = stream.tell()
        if size:
            stream.seek(size - 1)
            if stream.read(1) != b"\n":
                stream.write(b"\n")
    return file.stat().st_size


def _events(
    file: Path, start: int, alive: Callable[[], bool], check_cancelled: Callable[[], Any]
) -> Iterator[dict[str, Any]]:
    """The file's events from byte `start`, as they come, until who writes them is not `alive` any more."""
    with file.open("rb") as stream:
        stream.seek(start)
        rest = b""
        while True:
            check_cancelled()
            last = not alive()  # before the file is read: what was written until then is read now
            *lines, rest = (rest + stream.read()).split(b"\n")
            for line in lines:
                check_cancelled()
                event = event_of(line.decode("utf-8", "replace"))
                if event is not None:
                    yield event
            if last:
                return
            if not lines:
                time.sleep(POLL_S)


def event_of(line: str) -> dict[str, Any] | None:
    """The event of a line; None for any other line, such as a library's output."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and isinstance(value.get("event"), str) else None


def _end(process: subprocess.Popen[bytes] | psutil.Process) -> None:
    import psutil

    process.terminate()  # does nothing where it has ended
    try:
        process.wait(STOP_TIMEOUT_S)
    except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
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
