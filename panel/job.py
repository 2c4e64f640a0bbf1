"""A command of Modiste as a process: its progress line by line, its pictures, its document, and its end.

stderr   lines: {"progress": {stage, done, total, message, eta_s, picture}}, or log text     stdout   one JSON document
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MAX_LINES = 200  # of the log, the last ones
MAX_PICTURES = 24  # the last ones, shown while it runs
EXIT_OK, EXIT_SKIPS, EXIT_STOPPED, EXIT_INTERRUPTED = 0, 3, 4, 130


class CommandProcess:
    """One process. Its methods may be called from any thread; it ends with the program that started it."""

    def __init__(self, command: Sequence[str], folder: Path, environ: Mapping[str, str]):
        self.command, self.folder = list(command), folder
        self.progress: dict[str, Any] = {}
        self.pictures: deque[str] = deque(maxlen=MAX_PICTURES)
        self.lines: deque[str] = deque(maxlen=MAX_LINES)
        self.cancelled = False
        self._changed = threading.Condition()
        self._updates, self._stdout = 0, ""
        self._process = subprocess.Popen(
            self.command,
            cwd=folder,
            env={**environ, "MODISTE_PROGRESS": "json"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            **OWN_GROUP,
        )
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_words, self._read_document)]
        for reader in self._readers:
            reader.start()
        threading.Thread(target=self._wait, daemon=True).start()
        self.exit_code: int | None = None
        atexit.register(self.cancel)

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
        try:
            return json.loads(self._stdout) if not self.running and self._stdout.strip() else None
        except ValueError:
            return None

    @property
    def log_tail(self) -> str:
        """The last 12 lines of its log."""
        return "\n".join(list(self.lines)[-12:])

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
        if self.cancelled:
            self._process.kill()
        else:
            self.cancelled = True
            self._process.send_signal(INTERRUPT)

    def _read_words(self) -> None:
        for line in self._process.stderr:
            self._read_line(line.rstrip("\n"))

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

    def _read_document(self) -> None:
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if not line.startswith(("{", "[", "}", "]", " ")):
                self.lines.append(line.rstrip("\n"))
                self._notify()
        self._stdout = "".join(lines)

    def _wait(self) -> None:
        code = self._process.wait()
        for reader in self._readers:
            reader.join()
        self._process.stderr.close()
        self._process.stdout.close()
        self.exit_code = code
        atexit.unregister(self.cancel)
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._updates += 1
            self._changed.notify_all()


# A process group of its own: Ctrl-C in the WebUI's terminal reaches the WebUI alone, and Cancel the job alone.
if os.name == "nt":
    OWN_GROUP, INTERRUPT = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}, signal.CTRL_BREAK_EVENT
else:
    OWN_GROUP, INTERRUPT = {"start_new_session": True}, signal.SIGINT
