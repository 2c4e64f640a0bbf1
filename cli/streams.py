"""Standard output and standard error that outlive whoever reads them.

`modiste tag DIR | head -1`: the reader leaves early, which changes neither the work nor the exit code. A full disk
behind `> FILE` is a DiskError. Where a stream is closed from the start (`>&-`), what would go there is dropped.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from ..core.disk import write_error

ENDED = (errno.EPIPE, errno.EINVAL) if sys.platform == "win32" else (errno.EPIPE,)  # a pipe whose reader has left
STANDARD_ERROR = "standard error"


class LastingStream:
    """A text stream that drops what is written after its reader has left; `reader_left` tells."""

    def __init__(self, stream: TextIO | None, name: str):
        self.stream, self.name, self.reader_left = stream, name, False

    def write(self, text: str) -> int:
        """Writes the text, or drops it."""
        with self._errors():
            if self.stream is not None and not self.reader_left:
                self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hands on what was written."""
        with self._errors():
            if self.stream is not None and not self.reader_left:
                self.stream.flush()

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return self.stream is not None and self.stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.reader_left = True
            terminal = self._is_device()
            self._to_nowhere()
            if error.errno in ENDED or (terminal and error.errno == errno.EIO) or self.name == STANDARD_ERROR:
                return
            raise write_error(Path(self.name), error) from error

    def _is_device(self) -> bool:
        """Whether it is a terminal: one that was closed answers EIO, and isatty() no longer knows it."""
        return self.stream is not None and stat.S_ISCHR(os.fstat(self.stream.fileno()).st_mode)

    def _to_nowhere(self) -> None:
        """Python flushes its streams when it ends, which would fail again."""
        if self.stream is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)


@contextmanager
def lasting_streams() -> Iterator[LastingStream]:
    """Inside `with`, standard output and standard error are lasting ones; yields the first."""
    out, err = LastingStream(sys.stdout, "standard output"), LastingStream(sys.stderr, STANDARD_ERROR)
    with redirect_stdout(out), redirect_stderr(err):  # type: ignore[type-var]
        yield out


def reader_left() -> bool:
    """Whether nobody reads standard output any more."""
    return getattr(sys.stdout, "reader_left", False)
