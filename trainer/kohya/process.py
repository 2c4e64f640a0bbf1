"""sd-scripts as a process: its lines → progress and saved states; a wish to stop → SIGTERM, then an end.

It writes a bar to one line, `steps:  33%|███▎ | 1/3 [00:05<00:10, 5.03s/it, avr_loss=0.123]`, and log lines in two
languages, `INFO     prepare images. / 画像を準備します      train_util.py:2015`.
"""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...core.progress import Progress, ProgressCallback, time_left_s

POLL_S, STOP_S = 0.2, 10.0
STEPS = re.compile(r"^steps: .*?\b(\d+)/(\d+) \[.*?(?:avr_loss=([-+.\w]+))?\]")
SAVING = re.compile(r"saving state at step (\d+)")
INFO = re.compile(r"\bINFO\s+(\S.*?)(?: / .*?)?(?:\s{2,}\S+\.py:\d+)?\s*$")
ERROR = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b.*")
MEMORY = re.compile(r"out of memory|OutOfMemoryError", re.IGNORECASE)
BAD_LOSSES = 5  # in a row


@dataclass
class Watch:
    """What the lines of one start mean. Its own steps begin at 0 and the run's at `first`."""

    first: int
    total: int
    progress: ProgressCallback
    saved: Callable[[int], None]  # told of each step (of this start) whose state is whole
    step: int = 0  # of this start
    losses: dict[int, float] = field(default_factory=dict)  # the run's step → sd-scripts' running mean
    error: str = ""
    short_of_memory: bool = False
    bad: int = 0  # losses in a row that are no numbers
    _saving: int | None = None
    _began: tuple[int, float] | None = None  # the first step that was told, and when

    def line(self, text: str) -> None:
        """One line, or one state of a bar."""
        if match := STEPS.match(text):
            self._stepped(int(match[1]), match[3])
        if match := SAVING.search(text):  # also behind a bar, which does not end its line
            self._saving = int(match[1])
        elif ERROR.match(text) or self.error.endswith(":"):  # what a colon announces is in the next line
            self.error = f"{self.error} {text.strip()}" if self.error.endswith(":") else text.strip()
        elif self._began is None and (match := INFO.search(text)):
            self.progress(Progress("engine", 0, 1, f"sd-scripts: {match[1]}"))
        self.short_of_memory |= MEMORY.search(text) is not None

    def _stepped(self, step: int, loss: str | None) -> None:
        now = time.monotonic()
        if self._began is None:
            self._began = step, now
        if self._saving is not None and step > self._saving:  # the step after it: nothing of it is unwritten
            self.saved(self._saving)
            self._saving = None
        if loss is None or step == 0:
            return
        self.step, mean = step, float(loss)
        finite = mean - mean == 0
        self.bad = 0 if finite else self.bad + 1
        if finite:
            self.losses[self.first + step] = mean
        began, began_s = self._began
        eta_s = time_left_s(now - began_s, step - began, self.total - self.first - step)
        self.progress(Progress("train", self.first + step, self.total, f"mean loss {loss}", eta_s))

    @property
    def lost(self) -> bool:
        """Whether the run has lost its way: sd-scripts itself would go on to the end."""
        return self.bad >= BAD_LOSSES


def run(
    command: Sequence[str | Path],
    folder: Path,
    variables: Mapping[str, str],
    log: Path,
    watch: Watch,
    stop: Callable[[], bool],
) -> int | None:
    """Runs in `folder` to its end and returns the exit code; None where `stop` or a lost loss ended it.

    Every line goes to `log` too. The process dies with this one: its standard input is ours.
    """
    with (
        log.open("ab") as kept,
        subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=os.name != "nt",  # a terminal's Ctrl-C is for us, who end it in order
        ) as process,
    ):
        try:
            for text in _lines(process):
                if text is not None:
                    kept.write(f"{text}\n".encode())
                    watch.line(text)
                if stop() or watch.lost:
                    return None
            return process.wait()
        finally:
            _end(process)


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str | None]:
    """Lines and states of bars as they come; None every POLL_S without one. Ends with the process."""
    heard: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process, heard), daemon=True)
    reader.start()
    while reader.is_alive() or not heard.empty():
        try:
            yield heard.get(timeout=POLL_S)
        except queue.Empty:
            if process.poll() is not None:  # a child of its own may hold the pipe open for ever
                reader.join(POLL_S)
                if heard.empty():
                    return
            yield None


def _read(process: subprocess.Popen[bytes], heard: queue.Queue[str | None]) -> None:
    assert process.stdout  # a pipe
    rest = b""
    while block := os.read(process.stdout.fileno(), 1 << 16):
        *lines, rest = re.split(rb"[\r\n]+", rest + block)
        for line in lines:
            heard.put(line.decode(errors="replace"))
    if rest:
        heard.put(rest.decode(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and after STOP_S what can't be refused; to its children too."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
            process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    if os.name == "nt":
        process.terminate()
    else:
        os.killpg(process.pid, number)
