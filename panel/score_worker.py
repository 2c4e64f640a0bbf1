"""A process in Modiste's own environment that scores pictures while the WebUI draws them: its models are opened once.

picture, reference → files → a line to `harness.py score-lines` → a line with the calibrated score, 0 … 1
"""

from __future__ import annotations

import atexit
import base64
import binascii
import json
import queue
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..install import own_environ
from . import environment
from .commands import score_command

ANSWER_S = 300.0  # for the first answer, before which the models are opened, and for any other
MOST_BYTES = 64 * 2**20  # of a reference that comes as base64


class NoScore(Exception):
    """Why there is no score, in words."""


class ScoreWorker:
    """The process; it starts with the first picture, and again where preset or encoder have changed."""

    def __init__(self, device: str = "cpu") -> None:
        # The CPU: the card's memory belongs to what draws.
        self.device = device
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._command: list[str] = []
        self._answers: queue.Queue[str] = queue.Queue()
        atexit.register(self.close)

    def score(self, image: Any, reference: Any, preset: str, encoder: str = "") -> float:
        """The calibrated score of a PIL image against a PIL image or base64 text; NoScore says why there is none."""
        with self._lock, tempfile.TemporaryDirectory() as folder:
            paths = Path(folder) / "image.png", Path(folder) / "reference"
            image.convert("RGB").save(paths[0], "PNG")
            paths[1].write_bytes(bytes_of(reference))
            answer = self._ask({"images": [str(paths[0])], "reference": str(paths[1])}, preset, encoder)
        if "error" in answer:
            raise NoScore(str(answer["error"]).replace(folder, ""))
        return float(answer["scores"][0])

    def close(self) -> None:
        """Ends the process, which frees its memory."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                stream.close()

    def _ask(self, pair: Mapping[str, Any], preset: str, encoder: str) -> dict[str, Any]:
        command = score_command(preset, encoder, self.device)
        if self._process is None or self._process.poll() is not None or self._command != command:
            self._start(command)
        try:
            self._process.stdin.write(json.dumps(pair) + "\n")
            self._process.stdin.flush()
            line = self._answers.get(timeout=ANSWER_S)
        except queue.Empty:
            self.close()
            raise NoScore(f"no score came within {ANSWER_S:g} s") from None
        except OSError:
            line = ""
        if not line:
            raise NoScore(self._last_words())
        return json.loads(line)

    def _start(self, command: Sequence[str]) -> None:
        if not environment.is_installed():
            raise NoScore("set up Modiste's environment first: tab Modiste, page Set-up")
        self.close()
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process = subprocess.Popen(command, env=own_environ(), encoding="utf-8", errors="replace", bufsize=1, **pipes)
        self._process, self._command = process, list(command)
        self._answers, self._errors = queue.Queue(), []
        threading.Thread(target=_pass_on, args=(process.stdout, self._answers), daemon=True).start()
        self._listener = threading.Thread(target=_keep, args=(process.stderr, self._errors), daemon=True)
        self._listener.start()

    def _last_words(self) -> str:
        """Why the process ended, in its own words."""
        self._listener.join(10)
        self.close()
        return self._errors[-1] if self._errors else "the scoring process ended without a word"


def bytes_of(reference: Any) -> bytes:
    """The file of a reference: a PIL image, or base64 text or a data URI as the API sends; NoScore else.

    A text is never taken for a path: a client of the API names no files of this machine.
    """
    if reference is None or reference == "":
        raise NoScore("there is no reference photo")
    if isinstance(reference, str):
        text = reference.partition(",")[2] if reference.startswith("data:") else reference
        if len(text) > MOST_BYTES:
            raise NoScore("the reference photo is too large")
        try:
            return base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise NoScore("the reference photo is no base64") from None
    with tempfile.TemporaryFile() as file:
        reference.convert("RGB").save(file, "PNG")
        file.seek(0)
        return file.read()


def _pass_on(stream: Any, answers: queue.Queue[str]) -> None:
    for line in stream:
        answers.put(line)
    answers.put("")


def _keep(stream: Any, lines: list[str]) -> None:
    for line in stream:
        if line.strip():
            lines.append(line.strip())
            del lines[:-50]
