"""How often a photo decided before: each look at a photo gets seeds that no look before it has seen.

Whoever edits the words and searches again, or trains again and compares, would otherwise meet the same "unseen" seeds
until they agree. `prompt` and `compare` count together. The counts lie in a file in MODISTE_HOME. A run keeps its own
beside its journal, so that it can be stopped, continued and repeated.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.files import write_whole
from ..core.home import modiste_home
from ..core.state_files import json_object, read_state

FILE = "looks-1.sqlite"
BEGUN_WITH = "looks.json"  # in the run's folder: photo → its look
SCHEMA = "CREATE TABLE IF NOT EXISTS looks (photo TEXT PRIMARY KEY, looks INTEGER NOT NULL)"
COUNT = "INSERT INTO looks VALUES (?, 1) ON CONFLICT (photo) DO UPDATE SET looks = looks + 1"
LOOKS = "SELECT looks FROM looks WHERE photo = ?"
BEGIN_ANEW = "use another --out: the seeds of this run are no longer known"
WAIT_S = 30.0  # for another process that writes


def begin_looks(run: Path, photos: Sequence[str], same_seeds: bool, home: Path | None = None) -> dict[str, int]:
    """Photo (sha256) → how many looks there were before this run's, from 0; all 0 with `same_seeds`.

    Counts this one before anything of it is seen, and once for a run folder. InputError where the file can't be used.
    """
    file = run / BEGUN_WITH
    known = read_state(file, _counts, BEGIN_ANEW) if file.is_file() else {}
    new = [photo for photo in dict.fromkeys(photos) if photo not in known]
    if new:
        known |= dict.fromkeys(new, 0) if same_seeds else _count(new, (home or modiste_home()) / FILE)
        write_whole(file, json.dumps(known, indent=1).encode())
    return {photo: known[photo] for photo in photos}


def _counts(content: Any) -> dict[str, int]:
    """Photo → looks: a form for `read_state`."""
    if not all(type(looks) is int and looks >= 0 for looks in json_object(content).values()):
        raise ValueError("it holds other things than counts")
    return json_object(content)


def _count(photos: Sequence[str], path: Path) -> dict[str, int]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=WAIT_S)) as database, database:
            database.execute(SCHEMA)
            database.executemany(COUNT, [(photo,) for photo in photos])
            return {photo: database.execute(LOOKS, (photo,)).fetchone()[0] - 1 for photo in photos}
    except (OSError, sqlite3.Error) as error:
        raise InputError(
            f"how often the photos were looked at before can't be kept: {error}",
            where=str(path),
            to_try="delete that file, or run with --same-seeds",
        ) from error
