"""What was seen of photos, kept: keyed by the photo's content and the encoder, so that no photo is encoded twice.

A changed vocabulary, template or temperature needs nothing new; another encoder, revision or preprocessing does.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from ..home import modiste_home
from .tagger import Observation

FILE = "observations-1.sqlite"  # the number changes with what an observation is
SCHEMA = """
CREATE TABLE IF NOT EXISTS observations (
    photo TEXT NOT NULL, encoder TEXT NOT NULL, embed BLOB NOT NULL, pixels BLOB NOT NULL,
    PRIMARY KEY (photo, encoder)) WITHOUT ROWID
"""
WAIT_S = 30.0  # for another process that writes


class ObservationCache:
    """A SQLite file in MODISTE_HOME; safe among threads and processes. About 5 KB a photo."""

    def __init__(self, encoder_key: str, folder: Path | None = None):
        self.encoder_key = encoder_key
        self.path = (folder or modiste_home() / "cache") / FILE
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.path, timeout=WAIT_S, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")  # a lost entry is only encoded again
            self._database.execute(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"the cache of observations can't be used: {error}",
                where=str(self.path),
                to_try="delete that file, or name another folder in MODISTE_HOME",
            ) from error

    def find(self, sha256: str) -> Observation | None:
        """What was seen of the photo of that content by this encoder, or None."""
        import numpy as np
        import torch

        with self._lock:
            row = self._database.execute(
                "SELECT embed, pixels FROM observations WHERE photo = ? AND encoder = ?", (sha256, self.encoder_key)
            ).fetchone()
        if row is None:
            return None
        embed = torch.from_numpy(np.frombuffer(row[0], np.float32).copy())
        return Observation(embed, np.frombuffer(row[1], np.uint8).reshape(-1, 3))

    def add(self, seen: Iterable[tuple[str, Observation]]) -> None:
        """Keeps (sha256, observation) pairs, all in one commit."""
        rows = [(sha256, self.encoder_key, one.embed.numpy().tobytes(), one.pixels.tobytes()) for sha256, one in seen]
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT OR REPLACE INTO observations VALUES (?, ?, ?, ?)", rows)
            self._database.execute("COMMIT")

    def close(self) -> None:
        """Nothing more to come."""
        self._database.close()

    def __enter__(self) -> ObservationCache:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
