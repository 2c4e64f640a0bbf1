"""What an encoder said, kept: of photos, keyed by their content, and of the vocabulary's words.

A changed vocabulary encodes its new words and no photo; a changed temperature nothing; another encoder, revision or
preprocessing all.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import InputError
from ..core.home import modiste_home
from .tagger import Observation

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from .encoders.protocol import Encoder

FILE = "observations-1.sqlite"  # the number changes with what an observation is
SCHEMA = """
CREATE TABLE IF NOT EXISTS observations (
    photo TEXT NOT NULL, encoder TEXT NOT NULL, embed BLOB NOT NULL, pixels BLOB NOT NULL,
    PRIMARY KEY (photo, encoder)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS texts (
    text TEXT NOT NULL, encoder TEXT NOT NULL, embed BLOB NOT NULL,
    PRIMARY KEY (text, encoder)) WITHOUT ROWID;
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
            self._database.executescript(SCHEMA)
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

    def find_texts(self, texts: Iterable[str]) -> dict[str, torch.Tensor]:
        """Those of `texts` that this encoder has embedded, each with its vector [D]."""
        import numpy as np
        import torch

        with self._lock:
            rows = [
                (text, row[0])
                for text in texts
                if (
                    row := self._database.execute(
                        "SELECT embed FROM texts WHERE text = ? AND encoder = ?", (text, self.encoder_key)
                    ).fetchone()
                )
            ]
        return {text: torch.from_numpy(np.frombuffer(data, np.float32).copy()) for text, data in rows}

    def add_texts(self, embeds: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Keeps (text, vector) pairs, all in one commit."""
        rows = [(text, self.encoder_key, embed.numpy().tobytes()) for text, embed in embeds]
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT OR REPLACE INTO texts VALUES (?, ?, ?)", rows)
            self._database.execute("COMMIT")

    def close(self) -> None:
        """Nothing more to come."""
        self._database.close()

    def __enter__(self) -> ObservationCache:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class RememberingEncoder:
    """An encoder that embeds no text twice, whoever asked for it before."""

    def __init__(self, encoder: Encoder, cache: ObservationCache):
        self.encoder, self.cache = encoder, cache
        self.identity, self.logit_scale = encoder.identity, encoder.logit_scale

    def embed_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """The inner encoder's."""
        return self.encoder.embed_images(images)

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """The inner encoder's, of new texts only."""
        import torch

        known = self.cache.find_texts(dict.fromkeys(texts))
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            fresh = dict(zip(new, self.encoder.embed_texts(new), strict=True))
            self.cache.add_texts(fresh.items())
            known |= fresh
        return torch.stack([known[text] for text in texts])
