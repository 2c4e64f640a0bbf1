"""The one job that runs, shared by every tab and browser: started, watched, cancelled."""

from __future__ import annotations

import html
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .commands import BadForm
from .job import CommandProcess
from .texts import WORDS, Words

INTERVAL_S = 0.5  # between two updates of the page


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
    """Yields the job at every change, and once at its end."""
    while job.wait(2.0):
        yield job
        threading.Event().wait(INTERVAL_S)
    yield job


def status_of(job: CommandProcess | None, words: Words) -> str:
    """A job's state as HTML: a progress bar while it runs, the end of its log where it failed."""
    if job is None:
        return _line(words("idle"))
    if job.running:
        return _bar(job, words)
    if job.finished:
        return _line(words("done"))
    log = f"<pre>{html.escape(job.log_tail)}</pre>"
    if job.resumable:
        return _line(words("stopped")) + (log if not job.cancelled else "")
    return _line(words("failed", code=job.exit_code)) + log


def _bar(job: CommandProcess, words: Words) -> str:
    progress = job.progress
    if job.cancelled:
        return _line(words("stopping"))
    if not progress:
        return _line(words("starting"))
    stage, done, total = str(progress["stage"]), int(progress["done"]), max(1, int(progress["total"]))
    name = words(f"stage_{stage}") if f"stage_{stage}" in WORDS else stage
    eta_s = progress.get("eta_s")
    left = f" · {words('left', minutes=max(1, eta_s / 60))}" if eta_s else ""
    message = f" · {html.escape(str(progress['message']))}" if progress.get("message") else ""
    text = _line(f"{html.escape(name)}: {done} / {total}{left}{message}")
    return f'{text}<progress value="{min(done, total)}" max="{total}" style="width: 100%"></progress>'


def _line(text: str) -> str:
    return f"<div>{text}</div>"
