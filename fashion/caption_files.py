"""Captions as .txt files beside photos, which trainers read. A file that somebody else wrote is never overwritten."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from ..core.disk import using_database, writing
from ..core.errors import InputError
from ..core.files import write_whole
from ..core.home import modiste_home

FILE = "captions-1.sqlite"
HOLDS = "the records of written captions", "captions that are there count as yours then"
SCHEMA = "CREATE TABLE IF NOT EXISTS written (path TEXT PRIMARY KEY, sha256 TEXT NOT NULL) WITHOUT ROWID"
WAIT_S = 30.0  # while another process writes


def caption_file(photo: Path) -> Path:
    """The file of a photo's caption."""
    return photo.with_suffix(".txt")


def write_caption(photo: Path, caption: str) -> Path:
    """Writes the caption into the .txt beside its photo, over whatever is there."""
    file = caption_file(photo)
    with writing(file):
        write_whole(file, _as_bytes(caption))
    return file


def written_by_modiste(files: Sequence[Path], folder: Path | None = None) -> set[Path]:
    """Those of the files that hold what a CaptionWriter wrote into them, by its record; none without one."""
    record = (folder or modiste_home() / "cache") / FILE
    if not files or not record.is_file():
        return set()
    try:
        with closing(sqlite3.connect(record, timeout=WAIT_S)) as database:
            return {file for file in files if _recorded(database, file, file.read_bytes())}
    except (OSError, sqlite3.Error):
        return set()  # as without the record: the files are the user's


class CaptionWriter:
    """Writes captions beside photos and knows, by path and content, which of those files it wrote.

    The record lies in MODISTE_HOME. Without it, as after an edit, a file counts as the user's.
    """

    def __init__(self, overwrite: bool = False, folder: Path | None = None):
        """`overwrite`: also replaces files of the user's."""
        self.overwrite, self.written = overwrite, 0
        self.kept: list[Path] = []  # files of the user's that hold another caption
        self.path = path = (folder or modiste_home() / "cache") / FILE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")  # a lost entry only makes a file the user's
            self._database.execute(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"the record of written captions can't be used: {error}",
                where=str(path),
                to_try="delete that file, or name another folder in MODISTE_HOME",
            ) from error

    def write(self, photo: Path, caption: str) -> bool:
        """Writes the caption, unless a file of the user's is there; whether the file now holds the caption."""
        file, data = caption_file(photo), _as_bytes(caption)
        try:
            there = file.read_bytes() if file.exists() or file.is_symlink() else None
        except OSError:
            there = b""  # something that is no readable file: not ours
        if there == data:
            return True
        if there is not None and not self.overwrite and not self._is_ours(file, there):
            self.kept.append(file)
            return False
        write_caption(photo, caption)
        with using_database(self.path, *HOLDS):
            self._database.execute("INSERT OR REPLACE INTO written VALUES (?, ?)", (_key(file), _digest(data)))
        self.written += 1
        return True

    def _is_ours(self, file: Path, data: bytes) -> bool:
        with using_database(self.path, *HOLDS):
            return _recorded(self._database, file, data)

    def close(self) -> None:
        """Closes the record."""
        self._database.close()

    def __enter__(self) -> CaptionWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _recorded(database: sqlite3.Connection, file: Path, data: bytes) -> bool:
    row = database.execute("SELECT sha256 FROM written WHERE path = ?", (_key(file),)).fetchone()
    return row is not None and row[0] == _digest(data)


def _as_bytes(caption: str) -> bytes:
    return f"{caption}\n".encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _key(file: Path) -> str:
    return str(file.absolute())
