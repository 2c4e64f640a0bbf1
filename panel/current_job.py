"""The one job that runs, for every tab and browser that looks: begun, watched, cancelled."""

from __future__ import annotations

import html
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .commands import BadForm
from .job import CommandProcess
from .texts import WORDS, Words

EVERY_S = 0.5  # the page is told at most so often


class CurrentJob:
    """Holds the running or last job of this WebUI."""

    def __init__(self) -> None:
        self.job: CommandProcess | None = None
        self._lock = threading.Lock()

    def begin(self, command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> CommandProcess:
        """Starts a command; BadForm where one runs already."""
        with self._lock:
            if self.job is not None and self.job.running:
                raise BadForm("job", "busy")
            folder.mkdir(parents=True, exist_ok=True)
            self.job = CommandProcess(command, folder, environ)
            return self.job

    def cancel(self) -> None:
        """Asks the running job to end."""
        if self.job is not None:
            self.job.cancel()


def watch(job: CommandProcess) -> Iterator[CommandProcess]:
    """The job whenever there is news, and once at its end."""
    while job.wait(2.0):
        yield job
        threading.Event().wait(EVERY_S)
    yield job


def status_of(job: CommandProcess | None, words: Words) -> str:
    """One job's state as HTML: a bar while it runs, its last words where it failed."""
    if job is None:
        return _line(words("idle"))
    if job.running:
        return _bar(job, words)
    if job.finished:
        return _line(words("done"))
    said = f"<pre>{html.escape(job.last_words)}</pre>"
    if job.resumable:
        return _line(words("stopped")) + (said if not job.cancelled else "")
    return _line(words("failed", code=job.exit_code)) + said


def _bar(job: CommandProcess, words: Words) -> str:
    told = job.progress
    if job.cancelled:
        return _line(words("stopping"))
    if not told:
        return _line(words("starting"))
    stage, done, total = str(told["stage"]), int(told["done"]), max(1, int(told["total"]))
    name = words(f"stage_{stage}") if f"stage_{stage}" in WORDS else stage
    eta_s = told.get("eta_s")
    left = f" · {words('left', minutes=max(1, eta_s / 60))}" if eta_s else ""
    message = f" · {html.escape(str(told['message']))}" if told.get("message") else ""
    text = _line(f"{html.escape(name)}: {done} / {total}{left}{message}")
    return f'{text}<progress value="{min(done, total)}" max="{total}" style="width: 100%"></progress>'


def _line(text: str) -> str:
    return f"<div>{text}</div>"
