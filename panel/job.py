"""A command of Modiste as a process that writes into files of its own: it outlives browsers, pages and a reloaded UI.

job.json        what runs: kind, command, folder of the run, options, process id
progress.jsonl  its stderr: lines {"progress": {stage, done, total, message, eta_s, picture}}, or log text
document.json   its stdout: one JSON document
ended.json      its exit code
job.lock        held by the process itself for as long as it lives (not on Windows)
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from ..core.folder_lock import lock_file

RECORD, PROGRESS, DOCUMENT, ENDED, LOCK = "job.json", "progress.jsonl", "document.json", "ended.json", "job.lock"
TRACEBACK = "Traceback (most recent call last)"
MAX_LINES = 200  # of the log, the last ones
MAX_PICTURES = 24  # the last ones, shown while it runs
POLL_S = 0.1  # between two looks at the files
EXIT_OK, EXIT_SKIPS, EXIT_STOPPED, EXIT_INTERRUPTED = 0, 3, 4, 130


@dataclass(frozen=True)
class JobOrder:
    """What is to run. `kind` decides how its results are shown; `out`: the run's folder, empty where it has none."""

    kind: str
    command: tuple[str, ...]
    cwd: str
    out: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    plain: bool = False  # stdout is text for people
    started: float = 0.0  # seconds since 1970
    pid: int = 0


class CommandProcess:
    """One process, started here or left by an earlier start of the WebUI. Its methods may be called from any thread."""

    def __init__(self, order: JobOrder, place: Path, process: subprocess.Popen[bytes] | None):
        self.order, self.place = order, place
        self.progress: dict[str, Any] = {}
        self.pictures: deque[str] = deque(maxlen=MAX_PICTURES)
        self.lines: deque[str] = deque(maxlen=MAX_LINES)
        self.cancelled = False
        self.exit_code: int | None = None
        self._changed = threading.Condition()
        self._updates = 0
        self._process = process
        self._others_wait_s = 0.0  # for the exit code that another part of this WebUI is about to write

    @classmethod
    def start(cls, order: JobOrder, place: Path, environ: Mapping[str, str], on_end: Callable[[], None] = lambda: None):
        """Starts the command; BlockingIOError where the process of `place` is still at work.

        `on_end` is called on a thread when it has ended.
        """
        place.mkdir(parents=True, exist_ok=True)
        with (place / LOCK).open("a+") as lock:
            lock_file(lock)
            for name in (ENDED, DOCUMENT, PROGRESS):
                (place / name).unlink(missing_ok=True)
            process = _popen(order, place, environ, lock)
        order = replace(order, pid=process.pid, started=time.time())
        _write(place / RECORD, asdict(order))
        job = cls(order, place, process)
        atexit.register(job.cancel)
        threading.Thread(target=job._follow, args=(on_end,), daemon=True).start()
        return job

    @classmethod
    def adopt(cls, place: Path, on_end: Callable[[], None] = lambda: None) -> CommandProcess | None:
        """The running or last job of `place`, whoever started it; None where there is none or its record is damaged."""
        record = _read(place / RECORD)
        try:
            order = JobOrder(**{**record, "command": tuple(record["command"])})
        except (TypeError, KeyError):
            return None
        job = cls(order, place, None)
        if job._alive():
            job._others_wait_s = 2.0
            threading.Thread(target=job._follow, args=(on_end,), daemon=True).start()
        else:
            job._follow(lambda: None)
        return job

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.exit_code is None

    @property
    def finished(self) -> bool:
        """Whether it ended with a result, perhaps with some photos skipped."""
        return self.exit_code in (EXIT_OK, EXIT_SKIPS)

    @property
    def resumable(self) -> bool:
        """Whether the same command resumes this one, also one cancelled before it began."""
        return not self.running and (self.cancelled or self.exit_code in (EXIT_STOPPED, EXIT_INTERRUPTED))

    @property
    def document(self) -> Any:
        """The JSON document that it printed; None before the end, or where it printed none."""
        return None if self.running else _read(self.place / DOCUMENT)

    @property
    def log_tail(self) -> str:
        """The last 12 lines of its log; of a traceback the last line alone, and where the whole log is."""
        lines = list(self.lines)
        begin = next((at for at, line in enumerate(lines) if line.startswith(TRACEBACK)), len(lines))
        if begin < len(lines) and not self.running:
            lines = [*lines[:begin], f"{lines[-1]} ({self.place / PROGRESS})"]
        return "\n".join(lines[-12:])

    def wait(self, for_s: float) -> bool:
        """Waits for a change, at most `for_s` seconds; returns whether the process still runs."""
        with self._changed:
            before = self._updates
            self._changed.wait_for(lambda: self._updates != before or not self.running, for_s)
        return self.running

    def cancel(self) -> None:
        """Interrupts the process, which saves its state and ends; a second call kills it."""
        if not self.running:
            return
        number = KILL if self.cancelled else INTERRUPT
        self.cancelled = True
        with suppress(OSError):  # it has just ended
            if self._process is not None:
                self._process.kill() if number == KILL else self._process.send_signal(number)
            else:
                os.kill(self.order.pid, number)

    def _alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        if os.name == "nt":
            return False  # no lock is handed on there: a job whose WebUI is gone counts as stopped
        try:
            with (self.place / LOCK).open("a+") as lock:
                lock_file(lock)
        except BlockingIOError:
            return True
        return False

    def _follow(self, on_end: Callable[[], None]) -> None:
        """Reads the log to the process's end."""
        with (self.place / PROGRESS).open("a+b") as stream:
            stream.seek(0)
            rest = b""
            while True:
                alive = self._alive()  # before the file is read: what was written until then is read now
                *lines, rest = (rest + stream.read()).split(b"\n")
                for line in lines:
                    self._read_line(line.decode("utf-8", "replace").rstrip("\r"))
                if not alive:
                    break
                threading.Event().wait(POLL_S)
        if rest:
            self._read_line(rest.decode("utf-8", "replace"))
        self._end(on_end)

    def _end(self, on_end: Callable[[], None]) -> None:
        if self._process is not None:
            code = self._process.returncode
            _write(self.place / ENDED, {"exit_code": code})
        else:
            code = self._left_exit_code()
        self.exit_code = code
        atexit.unregister(self.cancel)
        on_end()
        self._notify()

    def _left_exit_code(self) -> int:
        """As its starter wrote it; where that one was gone first, what it has left tells."""
        deadline = time.monotonic() + self._others_wait_s
        while True:
            ended = _read(self.place / ENDED)
            if isinstance(ended, dict) and isinstance(ended.get("exit_code"), int):
                return ended["exit_code"]
            if time.monotonic() >= deadline:
                return EXIT_STOPPED if _read(self.place / DOCUMENT) is None else EXIT_OK
            threading.Event().wait(POLL_S)

    def _read_line(self, line: str) -> None:
        try:
            progress = json.loads(line)["progress"]
            self.progress = {"stage": str(progress["stage"]), **progress}
            if progress.get("picture"):
                self.pictures.append(str(progress["picture"]))
        except (ValueError, KeyError, TypeError):
            if line.strip():
                self.lines.append(line)
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._updates += 1
            self._changed.notify_all()


def _popen(order: JobOrder, place: Path, environ: Mapping[str, str], lock: IO[str]) -> subprocess.Popen[bytes]:
    """The process, with the lock in its hands where the system can hand it on."""
    handed_on = {} if os.name == "nt" else {"pass_fds": (lock.fileno(),)}
    with (place / PROGRESS).open("wb") as log, (place / DOCUMENT).open("wb") as document:
        return subprocess.Popen(
            order.command,
            cwd=order.cwd,
            env={**environ, "MODISTE_PROGRESS": "json"},
            stdin=subprocess.DEVNULL,
            stdout=log if order.plain else document,
            stderr=log,
            **OWN_GROUP,
            **handed_on,
        )


def _write(file: Path, content: Any) -> None:
    temporary = file.with_name(file.name + ".tmp")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(file)


def _read(file: Path) -> Any:
    """Its JSON; None where there is none that is whole."""
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


# A process group of its own: Ctrl-C in the WebUI's terminal reaches the WebUI alone, and Cancel the job alone.
if os.name == "nt":
    OWN_GROUP: dict[str, Any] = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    INTERRUPT, KILL = signal.CTRL_BREAK_EVENT, signal.SIGTERM
else:
    OWN_GROUP = {"start_new_session": True}
    INTERRUPT, KILL = signal.SIGINT, signal.SIGKILL
