"""A captioner that is asked once for each photo: what it said is kept, by the photo's content, model and address.

So a run that goes on asks nothing again and gets the same words, although many servers answer differently each time.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.disk import using_database
from ..core.errors import InputError
from ..core.home import modiste_home
from ..core.progress import Pace, ProgressCallback, silent
from ..hosts.captioner import INSTRUCTION, Captioner

if TYPE_CHECKING:
    from PIL import Image

    from ..fashion.photos import Photo

FILE = "captioned-1.sqlite"
HOLDS = "the captions of earlier runs", "the captioner is asked again"
SCHEMA = """CREATE TABLE IF NOT EXISTS captions (
    photo TEXT NOT NULL, captioner TEXT NOT NULL, caption TEXT NOT NULL,
    PRIMARY KEY (photo, captioner)) WITHOUT ROWID"""
WAIT_S = 30.0  # while another process writes


class RememberingCaptioner:
    """A captioner with a SQLite file in MODISTE_HOME, which processes can share."""

    def __init__(self, captioner: Captioner, folder: Path | None = None):
        self.captioner = captioner
        self._key = f"{captioner.name} {hashlib.sha256(INSTRUCTION.encode()).hexdigest()[:8]}"
        self.path = path = (folder or modiste_home() / "cache") / FILE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"the captions of earlier runs can't be used: {error}",
                where=str(path),
                to_try="delete that file, or name another folder in MODISTE_HOME",
            ) from error

    @property
    def name(self) -> str:
        """The model and where it is asked."""
        return self.captioner.name

    def known(self, sha256: str) -> str | None:
        """What it said of the photo before; None where it was not asked yet."""
        with using_database(self.path, *HOLDS):
            row = self._database.execute(
                "SELECT caption FROM captions WHERE photo = ? AND captioner = ?", (sha256, self._key)
            ).fetchone()
        return None if row is None else str(row[0])

    def describe(self, sha256: str, image: Callable[[], Image.Image]) -> str:
        """The photo's caption; `image` opens the photo where it has to be asked. HostError where none can be had."""
        caption = self.known(sha256)
        if caption is None:
            caption = self.captioner.describe(image())
            with using_database(self.path, *HOLDS):
                self._database.execute("INSERT OR REPLACE INTO captions VALUES (?, ?, ?)", (sha256, self._key, caption))
        return caption

    def describe_all(self, photos: Sequence[Photo], progress: ProgressCallback = silent) -> dict[str, str]:
        """sha256 → caption of every photo."""
        pace = Pace("caption", len(photos), progress)
        captions: dict[str, str] = {}
        for photo in photos:
            captions[photo.sha256] = self.describe(photo.sha256, lambda: photo.image)  # noqa: B023  # called at once
            pace.reach(len(captions), photo.path.name)
        return captions

    def close(self) -> None:
        """Closes the file and idle connections."""
        self._database.close()
        self.captioner.close()

    def __enter__(self) -> RememberingCaptioner:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_captioner(
    url: str | None, model: str | None, *, allow_remote: bool = False, ca_file: Path | None = None
) -> RememberingCaptioner | None:
    """The captioner that two options name; None where neither is given, InputError where one is missing."""
    if not url and not model:
        return None
    if not url or not model:
        missing = "--captioner-model NAME" if url else "--captioner URL"
        raise InputError(
            f"a captioner needs {missing} too",
            to_try="--captioner http://127.0.0.1:11434 --captioner-model NAME, a name of GET /v1/models",
        )
    return RememberingCaptioner(Captioner(url, model, allow_remote=allow_remote, ca_file=ca_file))
