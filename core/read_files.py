"""Reading files that others made: whole, regular files only, and never more than a limit."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .errors import InputError

MB = 1_000_000
NO_FILE = "this is a folder, a pipe or a device, not a file"
# O_NONBLOCK: opening a pipe for reading would wait until somebody writes into it.
READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class UnreadableFile(InputError):
    """A file can't be read; `code` is GONE, PERM, NOT_FILE, TOO_LARGE or CHANGED."""

    def __init__(self, path: Path, code: str, reason: str):
        self.path, self.code, self.reason = path, code, reason
        super().__init__(reason, where=str(path))


def read_whole(path: Path, most_bytes: int) -> bytes:
    """The bytes of a regular file of at most `most_bytes`. Raises UnreadableFile with a code.

    A pipe or device is refused without waiting for it; a file that grows while it is read is not followed.
    """
    try:
        descriptor = os.open(path, READING)
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFile(path, "NOT_FILE", NO_FILE)
        if status.st_size > most_bytes:
            raise too_large(path, status.st_size, most_bytes)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(status.st_size + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        os.close(descriptor)
    if len(data) != status.st_size:
        raise UnreadableFile(path, "CHANGED", "the file changed while it was read; wait until it is complete")
    return data


def too_large(path: Path, size: int, most_bytes: int) -> UnreadableFile:
    """The error for a file of `size` bytes."""
    return UnreadableFile(path, "TOO_LARGE", f"the file holds {size / MB:.0f} MB; {most_bytes / MB:.0f} are the limit")


def _unreadable(path: Path, error: OSError) -> UnreadableFile:
    if isinstance(error, FileNotFoundError):
        return UnreadableFile(path, "GONE", "the file is gone, or a link that leads nowhere")
    if isinstance(error, PermissionError):
        return UnreadableFile(path, "PERM", "the file may not be read")
    return UnreadableFile(path, "PERM", f"the file can't be read: {error.strerror or error}")
