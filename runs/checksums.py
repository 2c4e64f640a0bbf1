"""A checksum in every row of a journal: what changed without us is found when the journal is opened.

SQLite notices damage to its own structure, not to what the rows hold: one bit makes another score of a score.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from zlib import crc32

# Added to the tables of form 1 and to new ones alike, so that the schema reads the same in both.
COLUMN = "checksum"
ADD_COLUMNS = "".join(f"ALTER TABLE {table} ADD COLUMN {COLUMN} INTEGER; " for table in ("run", "pictures", "scores"))


class CheckedTable(NamedTuple):
    """A table whose rows carry checksums: its primary key, and every column that the checksum covers."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]


PICTURE_KEY = ("image_sha256", "strategy_id", "seed")
RUN = CheckedTable("run", ("id",), ("id", "settings", "versions", "created"))
PICTURES = CheckedTable(
    "pictures",
    PICTURE_KEY,
    (*PICTURE_KEY, "request_hash", "state", "attempts", "path", "sha256", "request", "used", "elapsed_s")
    + ("error_class", "message"),
)
SCORES = CheckedTable(
    "scores",
    (*PICTURE_KEY, "scorer_key"),
    (*PICTURE_KEY, "scorer_key", "similarity", "unclipped", "raw_cosine", "centred"),
)


def checksum_of(row: Iterable[Any]) -> int:
    """The CRC-32 of a row's values, text as bytes; any one changed bit gives another."""
    return crc32(repr(tuple(row)).encode())


def seal(database: sqlite3.Connection, table: CheckedTable, keys: Iterable[tuple[Any, ...]]) -> None:
    """Writes the checksums of the rows with these keys as they are now; a part of every change of a row."""
    this = " AND ".join(f"{column} = ?" for column in table.key)
    select = f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE {this}"
    update = f"UPDATE {table.name} SET {COLUMN} = ? WHERE {this}"
    with text_as_bytes(database):
        for key in keys:
            row = database.execute(select, key).fetchone()
            if row is not None:
                database.execute(update, (checksum_of(row), *key))


def seal_all(database: sqlite3.Connection) -> None:
    """Writes the checksum of every row: of a journal that was made before rows had one."""
    database.create_function("checksum_of", -1, lambda *row: checksum_of(_as_bytes(row)), deterministic=True)
    for table in (RUN, PICTURES, SCORES):
        database.execute(f"UPDATE {table.name} SET {COLUMN} = checksum_of({', '.join(table.columns)})")


def remove_damaged(database: sqlite3.Connection) -> list[str]:
    """Removes the rows that are not as they were written, and says so in a notice a table.

    Raises sqlite3.DatabaseError where the journal itself is broken: the run's own row, or rows that can't be removed.
    """
    if _damaged(database, RUN):
        raise sqlite3.DatabaseError("what it says of the run's settings is damaged")
    notices = []
    for table, notice in ((SCORES, _scores_notice), (PICTURES, _pictures_notice)):
        damaged = _damaged(database, table)
        if damaged:
            _remove(database, table, damaged)
            notices.append(notice(len(damaged)))
    return notices


def _damaged(database: sqlite3.Connection, table: CheckedTable) -> list[tuple[Any, ...]]:
    """The keys of the rows whose checksum does not fit, with text as bytes."""
    width = len(table.key)
    with text_as_bytes(database):
        rows = database.execute(f"SELECT {COLUMN}, {', '.join(table.columns)} FROM {table.name}")
        return [row[: 1 + width][1:] for row in rows if row[0] != checksum_of(row[1:])]


def _remove(database: sqlite3.Connection, table: CheckedTable, keys: list[tuple[Any, ...]]) -> None:
    names = (SCORES.name, PICTURES.name) if table is PICTURES else (table.name,)
    try:
        database.execute("BEGIN IMMEDIATE")
        for key in keys:
            for name in names:
                # A damaged key stands in the wrong place of its tree: the whole table is looked through for it.
                this = " AND ".join(_equals(column, value) for column, value in zip(table.key, key, strict=True))
                database.execute(f"DELETE FROM {name} WHERE {this}", key)
        database.execute("COMMIT")
    except sqlite3.Error as error:
        raise sqlite3.DatabaseError(f"damaged rows can't be removed: {error}") from error
    if _damaged(database, table) or database.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("its rows are damaged")


def _equals(column: str, value: Any) -> str:
    return f"CAST({column} AS BLOB) IS ?" if isinstance(value, bytes) else f"+{column} IS ?"


def _scores_notice(count: int) -> str:
    return f"{count} damaged score{' was' if count == 1 else 's were'} removed: computed again where needed"


def _pictures_notice(count: int) -> str:
    rows, pictures = ("row was", "its picture is") if count == 1 else ("rows were", "their pictures are")
    return f"{count} damaged {rows} removed: {pictures} drawn again"


def _as_bytes(row: Iterable[Any]) -> Iterator[Any]:
    return (value.encode() if isinstance(value, str) else value for value in row)


@contextmanager
def text_as_bytes(database: sqlite3.Connection) -> Iterator[None]:
    """Text is read as bytes inside `with`: where it is damaged it need not be valid UTF-8."""
    before: Callable[[bytes], Any] | type = database.text_factory
    database.text_factory = bytes
    try:
        yield
    finally:
        database.text_factory = before
