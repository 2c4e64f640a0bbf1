"""A cache of an encoder's results: of photos, keyed by their content, and of the vocabulary's words.

After a change of the vocabulary only new words are encoded, after a change of a temperature nothing; another encoder,
revision or preprocessing encodes everything again.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.disk import using_database
from ..core.errors import InputError
from ..core.home import modiste_home
from .tagger import Observation

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from .encoders.protocol import Encoder

log = logging.getLogger("modiste")

HOLDS = "the observations of earlier runs", "photos and words are encoded again"
FILE = "observations-1.sqlite"  # the number changes with the form of an observation
SCHEMA = """
CREATE TABLE IF NOT EXISTS observations (
    photo TEXT NOT NULL, encoder TEXT NOT NULL, embed BLOB NOT NULL, pixels BLOB NOT NULL,
    PRIMARY KEY (photo, encoder)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS texts (
    text TEXT NOT NULL, encoder TEXT NOT NULL, embed BLOB NOT NULL,
    PRIMARY KEY (text, encoder)) WITHOUT ROWID;
"""
WAIT_S = 30.0  # while another process writes
SLOW_S = 1.5  # for a group's sentences: a vocabulary has a dozen groups and more, and nothing is heard meanwhile


class ObservationCache:
    """A SQLite file in MODISTE_HOME, about 5 KB a photo, which threads and processes can share."""

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
        """This encoder's observation of the photo with that content; None if there is none yet."""
        import numpy as np
        import torch

        with self._using():
            row = self._database.execute(
                "SELECT embed, pixels FROM observations WHERE photo = ? AND encoder = ?", (sha256, self.encoder_key)
            ).fetchone()
        if row is None:
            return None
        embed = torch.from_numpy(np.frombuffer(row[0], np.float32).copy())
        return Observation(embed, np.frombuffer(row[1], np.uint8).reshape(-1, 3))

    def add(self, observations: Iterable[tuple[str, Observation]]) -> None:
        """Stores (sha256, observation) pairs in one commit."""
        rows = [
            (sha256, self.encoder_key, observation.embed.numpy().tobytes(), observation.pixels.tobytes())
            for sha256, observation in observations
        ]
        self._insert("INSERT OR REPLACE INTO observations VALUES (?, ?, ?, ?)", rows)

    def find_texts(self, texts: Iterable[str]) -> dict[str, torch.Tensor]:
        """Each of `texts` that this encoder has embedded → its vector [D]."""
        import numpy as np
        import torch

        with self._using():
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
        """Stores (text, vector [D]) pairs in one commit."""
        rows = [(text, self.encoder_key, embed.numpy().tobytes()) for text, embed in embeds]
        self._insert("INSERT OR REPLACE INTO texts VALUES (?, ?, ?)", rows)

    def _insert(self, statement: str, rows: Sequence[tuple[str | bytes, ...]]) -> None:
        """All rows or none, in one commit."""
        with self._using(), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(statement, rows)

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Inside `with`, the database is this thread's; DiskError where it is full, InputError where it is damaged."""
        with self._lock, using_database(self.path, *HOLDS):
            yield

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def __enter__(self) -> ObservationCache:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class RememberingEncoder:
    """An encoder that takes the vectors of known texts from the cache."""

    def __init__(self, encoder: Encoder, cache: ObservationCache):
        self.encoder, self.cache = encoder, cache
        self.identity, self.logit_scale, self.device = encoder.identity, encoder.logit_scale, encoder.device

    def embed_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """The inner encoder's vectors of the pictures, [N, D]."""
        return self.encoder.embed_images(images)

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """The vectors of the texts, [N, D]; only new texts are embedded."""
        import torch

        known = self.cache.find_texts(dict.fromkeys(texts))
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            fresh = dict(zip(new, self.encoder.embed_texts(new), strict=True))
            self.cache.add_texts(fresh.items())
            known |= fresh
        return torch.stack([known[text] for text in texts])


class KeepingTexts:
    """An encoder whose vectors of texts are kept in MODISTE_HOME: the next process does not embed a vocabulary again.

    The cache is open only while texts are asked for; where it can't be used, texts are embedded as ever.
    """

    def __init__(self, encoder: Encoder, key: str):
        """`key`: that of the tagger, whose observations lie in the same cache."""
        self.encoder, self.key = encoder, key
        self.identity, self.logit_scale, self.device = encoder.identity, encoder.logit_scale, encoder.device
        self._said = False

    def embed_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """The inner encoder's vectors of the pictures, [N, D]."""
        return self.encoder.embed_images(images)

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """The vectors of the texts, [N, D]; only new texts are embedded, and that is said where it takes long."""
        began = time.monotonic()
        try:
            with ObservationCache(self.key) as cache:
                embeds = RememberingEncoder(self.encoder, cache).embed_texts(texts)
        except (InputError, sqlite3.Error) as error:
            log.warning("texts are not kept: %s", error)
            return self.encoder.embed_texts(texts)
        if time.monotonic() - began > SLOW_S and not self._said:
            self._said = True
            log.warning("%s reads the vocabulary, once: its sentences are kept", self.identity.id)
        return embeds
