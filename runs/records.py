"""The rows of a journal: one a picture, with its scores. Only SQL: nothing here commits or opens a picture's file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from . import pictures
from .checksums import PICTURES, SCORES, checksum_of, seal
from .pictures import Key, PictureOrigin
from .settings import canonical

State = Literal["planned", "leased", "done", "failed", "quarantined"]

KEY = "image_sha256, strategy_id, seed, request_hash"
COLUMNS = f"{KEY}, state, attempts, path, sha256, request, used, elapsed_s, error_class, message"
INSERT = f"INSERT INTO pictures ({KEY}, checksum) VALUES (?, ?, ?, ?, ?)"
PLANNED = (b"planned", 0, *(None,) * 7)  # of a new row, what the checksum covers after KEY
THIS = "image_sha256 = ? AND strategy_id = ? AND seed = ?"


@dataclass(frozen=True)
class Record:
    """One row. `path` is absolute; `elapsed_s` is None where a picture was adopted from its file."""

    key: Key
    state: State
    attempts: int = 0
    path: Path | None = None
    sha256: str | None = None  # of the file
    request: dict[str, Any] | None = None
    used: dict[str, Any] | None = None
    elapsed_s: float | None = None
    error_class: str | None = None
    message: str | None = None


class Score(NamedTuple):
    """How similar a picture is to its photo; the fields of `fashion.scorer.Similarity`."""

    similarity: float  # calibrated, 0 … 1
    unclipped: float
    raw_cosine: float
    centred: float


class PictureTable:
    """The tables `pictures` and `scores` of a journal's database; `folder` is the run's."""

    def __init__(self, database: sqlite3.Connection, folder: Path):
        self.database, self.folder = database, folder

    # ── pictures ──

    def insert(self, keys: Iterable[Key]) -> None:
        """Adds planned rows."""
        self.database.executemany(INSERT, ((*key, _checksum_of_planned(key)) for key in keys))

    def states(self, photos: Iterable[str]) -> dict[tuple[Any, ...], str]:
        """Key → state of every picture of these photos, photo by photo, because that is how the table lies on disk.

        The keys are plain tuples, equal to a Key: making a million of those takes seconds.
        """
        states: dict[tuple[Any, ...], str] = {}
        of_photo = f"SELECT {KEY}, state FROM pictures WHERE image_sha256 = ?"
        for photo in photos:
            for row in self.database.execute(of_photo, (photo,)):
                states[row[:4]] = row[4]
        return states

    def select(self, columns: str, key: Key) -> tuple[Any, ...] | None:
        """Columns of the row with this photo, strategy and seed, whatever its request; None where there is none."""
        row = self.database.execute(f"SELECT {columns} FROM pictures WHERE {THIS}", key[:3]).fetchone()
        return None if row is None else tuple(row)

    def state(self, key: Key) -> str:
        """The row's state; `unknown` where there is none of this very request."""
        row = self.select("request_hash, state", key)
        return row[1] if row is not None and row[0] == key.request_hash else "unknown"

    def find(self, key: Key) -> Record | None:
        """The row with this photo, strategy and seed, whatever its request."""
        row = self.select(COLUMNS, key)
        return None if row is None else self._as_record(row)

    def rows(self) -> list[Record]:
        """Every row, in the order of the keys."""
        rows = self.database.execute(f"SELECT {COLUMNS} FROM pictures ORDER BY 1, 2, 3").fetchall()
        return [self._as_record(row) for row in rows]

    def keys(self, state: State) -> list[Key]:
        """The keys of the rows in this state."""
        rows = self.database.execute(f"SELECT {KEY} FROM pictures WHERE state = ?", (state,))
        return [Key(*row) for row in rows.fetchall()]

    def done_files(self) -> list[tuple[Any, ...]]:
        """Path relative to the folder, then the key's fields, of every finished picture."""
        return self.database.execute(f"SELECT path, {KEY} FROM pictures WHERE state = 'done'").fetchall()

    def lease(self, keys: Iterable[Key], requests: Mapping[Key, Mapping[str, Any]]) -> None:
        """Marks the rows as being drawn, with what is asked for where `requests` has it."""
        keys = list(keys)
        self.database.executemany(
            "UPDATE pictures SET state = 'leased', attempts = attempts + 1, request = ?, "
            f"error_class = NULL, message = NULL WHERE {THIS}",
            [(canonical(requests[key]) if key in requests else None, *key[:3]) for key in keys],
        )
        self._seal(*keys)

    def set_done(self, origin: PictureOrigin, sha256: str | None, elapsed_s: float | None) -> None:
        """Marks the row of a file that is there and whole."""
        self.database.execute(
            "UPDATE pictures SET state = 'done', path = ?, sha256 = ?, request = ?, used = ?, elapsed_s = ?, "
            f"error_class = NULL, message = NULL WHERE {THIS}",
            (
                pictures.file_of(origin.key),
                sha256,
                canonical(origin.request),
                canonical(origin.used),
                elapsed_s,
                *origin.key[:3],
            ),
        )
        self._seal(origin.key)

    def set_failed(self, key: Key, state: State, error_class: str, message: str) -> None:
        """Marks the row as `failed` or `quarantined`, and why."""
        self.database.execute(
            f"UPDATE pictures SET state = ?, error_class = ?, message = ? WHERE {THIS}",
            (state, error_class, message[:2000], *key[:3]),
        )
        self._seal(key)

    def set_planned(self, key: Key) -> None:
        """Back to planned, and its scores away: they were of a picture that is no more."""
        self.database.execute(f"DELETE FROM scores WHERE {THIS}", key[:3])
        self.database.execute(
            "UPDATE pictures SET state = 'planned', path = NULL, sha256 = NULL, used = NULL, "
            f"elapsed_s = NULL WHERE {THIS}",
            key[:3],
        )
        self._seal(key)

    def _seal(self, *keys: Key) -> None:
        seal(self.database, PICTURES, (key[:3] for key in keys))

    # ── scores ──

    def set_score(self, key: Key, scorer_key: str, score: Score) -> None:
        """Records a score in place of an earlier one by the same scorer."""
        values = (*key[:3], scorer_key, *score)
        self.database.execute("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)", values)
        seal(self.database, SCORES, [values[:4]])

    def scores(self, scorer_key: str, photo: str | None = None) -> dict[Key, Score]:
        """Every score that `scorer_key` gave, or those of one photo (sha256), in the order of the keys."""
        of_photo, values = ("", (scorer_key,)) if photo is None else (" AND image_sha256 = ?", (scorer_key, photo))
        rows = self.database.execute(
            f"SELECT {KEY}, similarity, unclipped, raw_cosine, centred FROM scores "
            f"JOIN pictures USING (image_sha256, strategy_id, seed) WHERE scorer_key = ?{of_photo}",
            values,
        ).fetchall()
        return dict(sorted((Key(*row[:4]), Score(*row[4:])) for row in rows))

    def _as_record(self, row: tuple[Any, ...]) -> Record:
        key, (state, attempts, path, sha256, request, used, *rest) = Key(*row[:4]), row[4:]
        return Record(
            key,
            state,
            attempts,
            self.folder / path if path else None,
            sha256,
            json.loads(request) if request else None,
            json.loads(used) if used else None,
            *rest,
        )


def _checksum_of_planned(key: Key) -> int:
    photo, strategy, seed, request = key
    return checksum_of((photo.encode(), strategy.encode(), seed, request.encode(), *PLANNED))
