"""Errors of the operating system and of SQLite while writing, as messages with an exit code."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError, ModisteError

FULL = {errno.ENOSPC: "the disk is full", errno.EFBIG: "the file is larger than the disk allows"}
if hasattr(errno, "EDQUOT"):  # Windows has no such code
    FULL[errno.EDQUOT] = "the disk quota is used up"


# What is wrong with a path that somebody gave, whatever was to be done with it.
OF_THE_PATH = {
    errno.ENAMETOOLONG: "this name is longer than the disk allows",
    errno.ELOOP: "the links here lead to one another",
    errno.ENOTDIR: "a file is where a folder is needed",
    errno.EACCES: "this account has no right to it",
    errno.EPERM: "this account has no right to it",
}
OF_THE_DISK = (*FULL, errno.EROFS, errno.EIO)  # like those of a path, never a bug of ours
LONGEST_SHOWN = 120  # letters of a path in a message


class DiskError(ModisteError):
    """The disk can't take more, or fails; what is written stays, and the same command continues."""

    exit_code = 4


def write_error(path: Path, error: OSError) -> ModisteError:
    """The error to raise where `path` could not be written."""
    if error.errno in FULL:
        return DiskError(FULL[error.errno], where=str(path), to_try="free some space; the same command continues")
    if error.errno == errno.EROFS:
        return InputError("the disk is read-only", where=str(path), to_try="another folder")
    if isinstance(error, PermissionError):
        return InputError("this may not be written", where=str(path), to_try="another folder, or change its rights")
    if isinstance(error, (NotADirectoryError, FileExistsError, IsADirectoryError)):
        return InputError("a file is where a folder is needed, or a folder where a file is", where=str(path))
    return DiskError(f"this can't be written: {error.strerror or error}", where=str(path))


def known_error(error: OSError) -> ModisteError | None:
    """What to say of an error that nobody expected where it came up; None for one that may be a bug of ours."""
    path = str(error.filename or "")
    shown = path if len(path) <= LONGEST_SHOWN else f"{path[:LONGEST_SHOWN]}…"
    if error.errno in OF_THE_PATH and path:
        return InputError(OF_THE_PATH[error.errno], where=shown, to_try="check the path")
    return write_error(Path(shown or "."), error) if error.errno in OF_THE_DISK else None


@contextmanager
def using_database(path: Path, holds: str, without: str) -> Iterator[None]:
    """Turns SQLite's errors inside `with` into messages: a full disk is DiskError, a damaged file InputError.

    `holds` says what is in the file, `without` what happens where a damaged one is deleted.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        if not isinstance(error, sqlite3.OperationalError):
            raise InputError(
                f"{holds} are damaged: {error}", where=str(path), to_try=f"delete that file: {without}"
            ) from error
        full = "full" in str(error)
        what = "the disk is full" if full else f"{holds} can't be used: {error}"
        to_try = "free some space; the same command continues" if full else "the same command continues"
        raise DiskError(what, where=str(path), to_try=to_try) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError inside `with` into the message and exit code of `write_error`."""
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error
