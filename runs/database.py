"""The journal's lock and its SQLite file: its tables, how it is opened, and what happens to a broken one.

WAL, because a commit then costs one fsync instead of three or four (200 commits/s against 67 on one slow
disk); `locking_mode=EXCLUSIVE`, because there is one writer anyway and SQLite then needs no memory shared
between processes, which network drives don't have; `synchronous=FULL`: a commit survives a power cut.
"""

from __future__ import annotations

import errno
import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..core.errors import ModisteError, Stopped
from .checksums import ADD_COLUMNS, remove_damaged, seal_all, text_as_bytes

APPLICATION_ID = 0x4D4F4449  # "MODI": other people's databases are never touched
FORMS = (1, 2)  # 1: rows had no checksums
SETTINGS = ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")
SCHEMA = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    settings TEXT NOT NULL, versions TEXT NOT NULL, created TEXT NOT NULL);
CREATE TABLE pictures (
    image_sha256 TEXT NOT NULL, strategy_id TEXT NOT NULL, seed INTEGER NOT NULL, request_hash TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'planned'
        CHECK (state IN ('planned', 'leased', 'done', 'failed', 'quarantined')),
    attempts INTEGER NOT NULL DEFAULT 0,
    path TEXT, sha256 TEXT, request TEXT, used TEXT, elapsed_s REAL,
    error_class TEXT, message TEXT,
    PRIMARY KEY (image_sha256, strategy_id, seed)) WITHOUT ROWID;
CREATE INDEX unfinished ON pictures (state) WHERE state <> 'done';
CREATE TABLE scores (
    image_sha256 TEXT NOT NULL, strategy_id TEXT NOT NULL, seed INTEGER NOT NULL, scorer_key TEXT NOT NULL,
    similarity REAL NOT NULL, unclipped REAL NOT NULL, raw_cosine REAL NOT NULL, centred REAL NOT NULL,
    PRIMARY KEY (image_sha256, strategy_id, seed, scorer_key),
    FOREIGN KEY (image_sha256, strategy_id, seed) REFERENCES pictures) WITHOUT ROWID;
"""


class JournalError(ModisteError):
    """A run folder that can't be used: busy, of other settings, or not ours."""


@contextmanager
def explained(folder: Path, path: Path) -> Iterator[None]:
    """Errors of the system and of SQLite inside `with` become JournalError, or Stopped where the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            what = f"the run folder can't be used: {error}"
            raise JournalError(what, where=str(folder)) from error
        raise _disk_full(folder) from error
    except sqlite3.Error as error:
        if "disk is full" in str(error):
            raise _disk_full(folder) from error
        raise JournalError(
            f"the journal can't be used: {error}",
            where=str(path),
            to_try="run the same command again: a broken journal is rebuilt from the pictures",
        ) from error


def _disk_full(folder: Path) -> Stopped:
    return Stopped("the disk is full", where=str(folder), to_try="free some space; the same command goes on")


def connect(path: Path) -> tuple[sqlite3.Connection, list[str]]:
    """The database with its tables; a broken one is moved aside, and the notice says where."""
    try:
        return _open_database(path)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter: a message that quotes damaged text
        # Only these two mean a broken file; a subclass means a full disk, a missing right, a lock.
        if type(error) not in (sqlite3.DatabaseError, UnicodeDecodeError):
            raise JournalError(f"the journal can't be opened: {error}", where=str(path)) from error
        aside = _move_aside(path)
        database, _ = _open_database(path)
        cause = "its text is damaged" if isinstance(error, UnicodeDecodeError) else " ".join(str(error).split())
        return database, [f"the journal was broken ({cause}); it lies in {aside.name} now"]


def _open_database(path: Path) -> tuple[sqlite3.Connection, list[str]]:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for setting in SETTINGS:
            database.execute(f"PRAGMA {setting}")
        notices = _prepare(database, path)
    except BaseException:
        database.close()
        raise
    return database, notices


def _prepare(database: sqlite3.Connection, path: Path) -> list[str]:
    """Makes or checks the tables; returns notices of rows that were damaged."""
    tables = _schema(database)
    if not tables:
        # One transaction: a kill in the middle leaves an empty file, not half a schema.
        database.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {ADD_COLUMNS} {_marks(FORMS[-1])} COMMIT;")
        return []
    (mark,) = database.execute("PRAGMA application_id").fetchone()
    (form,) = database.execute("PRAGMA user_version").fetchone()
    known = {_schema_of(SCHEMA): FORMS[0], _schema_of(SCHEMA + ADD_COLUMNS): FORMS[-1]}
    if mark != APPLICATION_ID and tables not in known:
        raise JournalError("this database is not our journal", where=str(path), to_try="use another --out")
    if mark == APPLICATION_ID and form > FORMS[-1] and tables not in known:
        raise JournalError(
            f"the journal has the form {form}, this version writes {FORMS[-1]}",
            where=str(path),
            to_try="use another --out",
        )
    if mark != APPLICATION_ID or known.get(tables) != form:
        raise sqlite3.DatabaseError("its header or its tables are damaged")
    report = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if report != "ok":
        raise sqlite3.DatabaseError(report)
    if form == FORMS[0]:
        database.executescript(f"BEGIN IMMEDIATE; {ADD_COLUMNS} {_marks(FORMS[-1])}")
        seal_all(database)
        database.execute("COMMIT")
        return []
    return remove_damaged(database)


def _marks(form: int) -> str:
    return f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {form};"


def _schema(database: sqlite3.Connection) -> tuple[tuple[bytes, ...], ...]:
    with text_as_bytes(database):
        return tuple(database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"))


def _schema_of(script: str) -> tuple[tuple[bytes, ...], ...]:
    """What SQLite keeps of a script that makes tables."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(script)
        return _schema(database)


def _move_aside(path: Path) -> Path:
    places = (path.with_name(f"journal.broken-{n}.sqlite") for n in itertools.count(1))
    aside = next(place for place in places if not place.exists())
    path.rename(aside)
    for tail in ("-wal", "-shm", "-journal"):
        log_file = path.with_name(path.name + tail)
        if log_file.exists():
            log_file.rename(aside.with_name(aside.name + tail))
    return aside
