"""A lock of the operating system for a folder or file with one writer; it ends with its process, however that ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .errors import InputError, ModisteError
from .files import make_folder, remove_temporaries

# Windows locks bytes against reading too: this one lies behind any text, so that others can read the file meanwhile.
LOCKED_BYTE = (1 << 31) - 2


class FolderBusy(Exception):
    """Another process holds the lock; `pid` is its id, None where it could not be read."""

    def __init__(self, pid: int | None):
        self.pid = pid
        super().__init__(f"held by process {pid or 'unknown'}")


class FolderLock:
    """A lock held from creation to `release()`; `left_by` is the pid of a former holder that died holding it.

    What that one was writing beside the lock and did not finish is removed.
    """

    def __init__(self, path: Path):
        """Raises FolderBusy at once where another process, or another part of this one, holds it."""
        self._file = path.open("a+", encoding="ascii", errors="replace")
        try:
            lock_file(self._file)
        except BlockingIOError:
            pid = _read_pid(self._file)
            self._file.close()
            raise FolderBusy(pid) from None
        except BaseException:
            self._file.close()
            raise
        self.left_by = _read_pid(self._file)
        if self.left_by is not None:  # before its own id stands there: killed in here, it leaves that one to the next
            remove_temporaries(path.parent, self.left_by)
        self._write(str(os.getpid()))

    def release(self) -> None:
        """Ends the lock. The file stays: removing it would let two processes lock two files of one name."""
        if not self._file.closed:
            self._write("")
            unlock_file(self._file)
            self._file.close()

    def _write(self, text: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()


def _read_pid(file: IO[str]) -> int | None:
    """The id in a lock's file, of which only the beginning is read; None where something else stands there."""
    file.seek(0)
    text = file.read(20).strip()
    return int(text) if text.isdigit() else None  # no digits but ASCII's: others are replaced on reading


def lock_holder(path: Path) -> int | None:
    """The id of the process that holds the lock of that file; None where nobody does, or the file can't be read.

    A file without an id is not tried: no process that is just about to lock it is refused because of a look.
    """
    try:
        with path.open("r+", encoding="ascii", errors="replace") as file:
            pid = _read_pid(file)
            if pid is None:
                return None
            try:
                lock_file(file)
            except BlockingIOError:
                return pid
            unlock_file(file)
    except OSError:
        return None
    return None


def lock_folder(folder: Path, name: str, work: str, error: type[ModisteError] = InputError) -> FolderLock:
    """The lock of a run folder in its file `name`; the folder is made where there is none.

    Raises `error` where another process has it, whose `work` the message says, and where nothing can be written.
    """
    try:
        make_folder(folder)
        return FolderLock(folder / name)
    except FolderBusy as busy:
        raise error(
            f"process {busy.pid or '(unknown)'} is {work}",
            where=str(folder),
            to_try="wait for it, stop it, or use another --out",
        ) from None
    except OSError as problem:
        message = f"nothing can be written here: {problem.strerror or problem}"
        raise error(message, where=str(folder), to_try="an --out that can be written to") from problem


def lock_file(file: IO[Any]) -> None:
    """Locks an open file until it is closed or unlocked; raises BlockingIOError at once if another process has it."""
    if sys.platform == "win32":
        import msvcrt

        try:
            with _at_locked_byte(file.fileno()):
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:  # Windows' answer where POSIX gives EAGAIN
            raise BlockingIOError(*error.args) from error
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def unlock_file(file: IO[Any]) -> None:
    """Ends the lock of `lock_file`."""
    if sys.platform == "win32":
        import msvcrt

        with _at_locked_byte(file.fileno()):
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def _at_locked_byte(descriptor: int) -> Iterator[None]:
    """Inside `with`, the descriptor stands at LOCKED_BYTE, behind the back of the file object, which buffers."""
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
    try:
        yield
    finally:
        os.lseek(descriptor, before, os.SEEK_SET)
