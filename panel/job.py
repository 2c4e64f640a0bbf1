"""A command of Modiste as a process: its progress line by line, its pictures, its document, and its end.

stderr   {"progress": {stage, done, total, message, eta_s, picture}} a line, or words for people     stdout   JSON
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

LINES = 200  # of what it said, the last ones
PICTURES = 24  # that are shown while it runs, the last ones
EXIT_OK, EXIT_SKIPS, EXIT_STOPPED, EXIT_INTERRUPTED = 0, 3, 4, 130


class CommandProcess:
    """One process. Safe to be asked from any thread; ends with the program that started it."""

    def __init__(self, command: Sequence[str], folder: Path, environ: Mapping[str, str]):
        self.command, self.folder = list(command), folder
        self.progress: dict[str, Any] = {}
        self.pictures: deque[str] = deque(maxlen=PICTURES)
        self.lines: deque[str] = deque(maxlen=LINES)
        self.cancelled = False
        self._changed = threading.Condition()
        self._news, self._said = 0, ""
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
        """Whether it did what it was told, perhaps without some photos."""
        return self.exit_code in (EXIT_OK, EXIT_SKIPS)

    @property
    def resumable(self) -> bool:
        """Whether the same command goes on where this one stopped; a cancelled one may not have begun."""
        return not self.running and (self.cancelled or self.exit_code in (EXIT_STOPPED, EXIT_INTERRUPTED))

    @property
    def document(self) -> Any:
        """The JSON document that it printed; None before the end, or where it printed none."""
        try:
            return json.loads(self._said) if not self.running and self._said.strip() else None
        except ValueError:
            return None

    @property
    def last_words(self) -> str:
        """What it said to people, the last lines."""
        return "\n".join(list(self.lines)[-12:])

    def wait(self, for_s: float) -> bool:
        """Until there is news, at most so long; whether it still runs."""
        with self._changed:
            before = self._news
            self._changed.wait_for(lambda: self._news != before or not self.running, for_s)
        return self.running

    def cancel(self) -> None:
        """Asks it to keep what it has and end; asked again, it is ended."""
        if not self.running:
            return
        if self.cancelled:
            self._process.kill()
        else:
            self.cancelled = True
            self._process.send_signal(INTERRUPT)

    def _read_words(self) -> None:
        for line in self._process.stderr:
            self._hear(line.rstrip("\n"))

    def _hear(self, line: str) -> None:
        try:
            told = json.loads(line)["progress"]
            self.progress = {"stage": str(told["stage"]), **told}
            if told.get("picture"):
                self.pictures.append(str(told["picture"]))
        except (ValueError, KeyError, TypeError):
            if line.strip():
                self.lines.append(line)
        self._tell()

    def _read_document(self) -> None:
        said = []
        for line in self._process.stdout:
            said.append(line)
            if not line.startswith(("{", "[", "}", "]", " ")):
                self.lines.append(line.rstrip("\n"))
                self._tell()
        self._said = "".join(said)

    def _wait(self) -> None:
        code = self._process.wait()
        for reader in self._readers:
            reader.join()
        self._process.stderr.close()
        self._process.stdout.close()
        self.exit_code = code
        atexit.unregister(self.cancel)
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._news += 1
            self._changed.notify_all()


# A group of its own, so that Ctrl-C in the WebUI's terminal asks the WebUI alone, and cancelling asks the job alone.
if os.name == "nt":
    OWN_GROUP, INTERRUPT = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}, signal.CTRL_BREAK_EVENT
else:
    OWN_GROUP, INTERRUPT = {"start_new_session": True}, signal.SIGINT
