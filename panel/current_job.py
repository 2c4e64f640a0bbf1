"""The one job of a WebUI, shared by every page, tab and browser: started, watched, cancelled, gone on with."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from .commands import BadForm
from .job import CommandProcess, JobOrder
from .texts import WORDS, Words

INTERVAL_S = 0.5  # between two updates of the page
SHOWN_SKIPS = 5
FOLDER = "job"  # in the folder of the runs


class CurrentJob:
    """Holds the running or last job of the WebUI whose runs lie in `runs`, also one that an earlier start began."""

    def __init__(self, runs: Path, on_end: Callable[[], None] = lambda: None) -> None:
        self._place, self._on_end = runs / FOLDER, on_end
        self._lock = threading.Lock()
        self.job: CommandProcess | None = CommandProcess.adopt(self._place, on_end)

    def begin(self, order: JobOrder, environ: Mapping[str, str]) -> CommandProcess:
        """Starts a command; BadForm where one runs already."""
        with self._lock:
            try:
                if self.job is not None and self.job.running:
                    raise BadForm("job", "busy")
                self.job = CommandProcess.start(order, self._place, environ, self._on_end)
            except BlockingIOError:
                raise BadForm("job", "busy") from None
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
    """A job's state as HTML: what it is, a progress bar while it runs, the end of its log where it failed."""
    if job is None:
        return _line(words("idle"))
    kind = f"job_{job.order.kind}"
    title = f"<b>{words(kind)}</b> · " if kind in WORDS else ""
    if job.running:
        return _bar(job, words, title)
    if job.finished:
        return _line(title + words("done")) + _left_out(job, words)
    log = f"<pre>{html.escape(job.log_tail)}</pre>"
    if job.resumable:
        return _line(title + words("stopped")) + (log if not job.cancelled else "")
    return _line(title + words("failed", code=job.exit_code)) + log


def _bar(job: CommandProcess, words: Words, title: str) -> str:
    progress = job.progress
    if job.cancelled:
        return _line(title + words("stopping"))
    if not progress:
        return _line(title + words("starting"))
    stage, done, total = str(progress["stage"]), int(progress["done"]), max(1, int(progress["total"]))
    name = words(f"stage_{stage}") if f"stage_{stage}" in WORDS else stage
    eta_s = progress.get("eta_s")
    left = f" · {words('left', minutes=max(1, eta_s / 60))}" if eta_s else ""
    message = f" · {html.escape(str(progress['message']))}" if progress.get("message") else ""
    text = _line(f"{title}{html.escape(name)}: {done} / {total}{left}{message}")
    return f'{text}<progress value="{min(done, total)}" max="{total}" style="width: 100%"></progress>'


def _left_out(job: CommandProcess, words: Words) -> str:
    """The photos that a finished job has skipped, and why; of those without a garment, what takes them all the same."""
    document = job.document
    entries = document.get("skipped") or [] if isinstance(document, dict) else []
    lines = [f"{Path(entry['path']).name}: {entry['code']}, {entry['reason']}" for entry in entries]
    lines = lines or [line.removeprefix("skipped ") for line in job.lines if line.startswith("skipped ")]
    if not lines:
        return ""
    hint = words("take_any_photo", box=words("any_photo")) if any("NO_GARMENT" in line for line in lines) else ""
    return _line(html.escape(words("left_out", photos="; ".join(lines[:SHOWN_SKIPS]), count=len(lines))) + hint)


def _line(text: str) -> str:
    return f"<div>{text}</div>"
