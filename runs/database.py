"""The journal's lock and its SQLite file: its tables, how it is opened, and what happens to a broken one.

WAL, because a commit then costs one fsync instead of three or four (200 commits/s against 67 on one slow
disk); `locking_mode=EXCLUSIVE`, because there is one writer anyway and SQLite then needs no memory shared
between processes, which network drives don't have; `synchronous=FULL`: a commit survives a power cut.
"""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path

from ..core.errors import ModisteError

APPLICATION_ID = 0x4D4F4449  # "MODI": other people's databases are never touched
SCHEMA_VERSION = 1
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


def connect(path: Path) -> tuple[sqlite3.Connection, list[str]]:
    """The database with its tables; a broken one is moved aside, and the notice says where."""
    try:
        return _open_database(path), []
    except sqlite3.DatabaseError as error:
        # Only these two mean a broken file; a subclass means a full disk, a missing right, a lock.
        if type(error) is not sqlite3.DatabaseError:
            raise JournalError(f"the journal can't be opened: {error}", where=str(path)) from error
        aside = _move_aside(path)
        return _open_database(path), [f"the journal was broken ({error}); it lies in {aside.name} now"]


def _open_database(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for setting in SETTINGS:
            database.execute(f"PRAGMA {setting}")
        _prepare(database, path)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    if not database.execute("SELECT 1 FROM sqlite_master").fetchone():
        # One transaction: a kill in the middle leaves an empty file, not half a schema.
        pragmas = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
        database.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {pragmas} COMMIT;")
        return
    (mark,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if mark != APPLICATION_ID:
        raise JournalError("this database is not our journal", where=str(path), to_try="use another --out")
    if version != SCHEMA_VERSION:
        raise JournalError(
            f"the journal has the form {version}, this version writes {SCHEMA_VERSION}",
            where=str(path),
            to_try="use another --out",
        )
    report = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if report != "ok":
        raise sqlite3.DatabaseError(report)


def _move_aside(path: Path) -> Path:
    places = (path.with_name(f"journal.broken-{n}.sqlite") for n in itertools.count(1))
    aside = next(place for place in places if not place.exists())
    path.rename(aside)
    for tail in ("-wal", "-shm", "-journal"):
        log_file = path.with_name(path.name + tail)
        if log_file.exists():
            log_file.rename(aside.with_name(aside.name + tail))
    return aside
