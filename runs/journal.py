"""The journal of a run: which pictures were asked for, which are drawn, and how they scored. One writer.

    planned ──lease──► leased ──finish──► done          the file first, then the record: no record lies
                          ├────fail─────► failed        the host's error, by class; tried by the next run
                          └──(black …)──► quarantined   drawn, but not usable; tried by the next run

A run killed at any instant goes on where it was: on opening, a leased row whose file is whole is adopted, any
other is drawn again, and so is a done row whose file is gone or changed. A broken journal is rebuilt from the
pictures.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..core.errors import Stopped
from ..core.files import TEMPORARY, make_folder, write_whole
from ..core.folder_lock import FolderBusy, FolderLock
from ..core.library_versions import installed_versions
from . import pictures
from .database import JournalError, connect
from .pictures import Key, PictureOrigin, UnusablePicture
from .settings import canonical, differences, fingerprint

if TYPE_CHECKING:
    from ..hosts.request import GenerationResult

__all__ = ["Journal", "JournalError", "Key", "Record", "Score", "UnusablePicture"]

FILE, LOCK = "journal.sqlite", "journal.lock"
State = Literal["planned", "leased", "done", "failed", "quarantined"]
log = logging.getLogger("modiste")

KEY = "image_sha256, strategy_id, seed, request_hash"
COLUMNS = f"{KEY}, state, attempts, path, sha256, request, used, elapsed_s, error_class, message"
INSERT = f"INSERT INTO pictures ({KEY}) VALUES (?, ?, ?, ?)"
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


class Journal:
    """The open journal of one run folder; close it, or use it as a context manager. Safe among threads."""

    def __init__(self, folder: Path, database: sqlite3.Connection, lock: FolderLock, run: str):
        self.folder = folder
        self.notices: list[str] = []  # what was repaired, for people
        self._database, self._lock, self._run = database, lock, run
        self._thread = threading.RLock()
        self._verified: set[Key] = set()

    # ── opening ───────────────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def open(cls, folder: str | Path, settings: Mapping[str, Any]) -> Journal:
        """The journal of `folder`, made where there is none; `settings` (JSON-like) says what the run is.

        Raises JournalError where another process writes there, or the folder's settings are others.
        """
        folder = Path(folder).resolve()
        lock = _lock(folder)
        try:
            database, notices = connect(folder / FILE)
            journal = cls(folder, database, lock, fingerprint(settings))
        except BaseException:
            lock.release()
            raise
        try:
            with journal._errors():
                journal._open_run(settings, notices)
        except BaseException:
            journal.close()
            raise
        return journal

    def _open_run(self, settings: Mapping[str, Any], notices: list[str]) -> None:
        for notice in notices:
            self._tell(notice)
        row = self._database.execute("SELECT settings, versions FROM run").fetchone()
        with self._commit() as database:
            if row is None:
                self._rebuild()
                created = datetime.now(timezone.utc).isoformat(timespec="seconds")
                values = (canonical(settings), canonical(installed_versions()), created)
                database.execute("INSERT INTO run VALUES (1, ?, ?, ?)", values)
            else:
                self._refuse_other_settings(json.loads(row[0]), settings)
                self._note_other_versions(json.loads(row[1]))
            self._recover_leased()
            self._recover_missing()
        if self._lock.left_by is not None:
            log.info("the run of process %d ended without closing its journal; going on", self._lock.left_by)

    @property
    def created(self) -> str:
        """When the run was first begun, ISO 8601, UTC."""
        with self._errors(), self._thread:
            return self._database.execute("SELECT created FROM run").fetchone()[0]

    def _refuse_other_settings(self, old: dict[str, Any], new: Mapping[str, Any]) -> None:
        changed = differences(old, json.loads(canonical(new)))
        if changed:
            raise JournalError(
                f"the run folder belongs to other settings: {'; '.join(changed)}",
                where=str(self.folder),
                to_try="use another --out, or the old settings",
            )

    def _note_other_versions(self, old: dict[str, Any]) -> None:
        changed = differences(old, installed_versions())
        if changed:
            self._tell(f"the run began with other versions ({'; '.join(changed)}): new pictures may differ")

    def _rebuild(self) -> None:
        """Records every whole picture of this run that lies in the folder: for a journal that was lost."""
        found = lost = 0
        for path in sorted((self.folder / pictures.FOLDER).rglob("*.png")):
            origin = pictures.read_origin(path)
            if origin is None or path != self._path(origin.key):
                lost += origin is not None
                continue
            self._refuse_pictures_of_other_settings(origin, path)
            self._database.execute(INSERT, origin.key)
            self._record(origin)
            found += 1
        if found or lost:
            left_out = f"; {lost} that were moved or renamed are left out" if lost else ""
            self._tell(f"the journal was rebuilt from {found} pictures{left_out}")

    def _refuse_pictures_of_other_settings(self, origin: PictureOrigin, path: Path) -> None:
        if origin.run != self._run:
            raise JournalError(
                "the folder has lost its journal, and its pictures belong to other settings",
                where=str(path),
                to_try="use another --out, or the settings these pictures were drawn with",
            )

    def _recover_leased(self) -> None:
        adopted = 0
        for key in self._keys("state = 'leased'"):
            path = self._path(key)
            for leftover in path.parent.glob(f"{path.name}.*{TEMPORARY}"):
                leftover.unlink()
            origin = pictures.read_origin(path)
            if origin is not None and origin.key == key and origin.run == self._run:
                self._record(origin)
                adopted += 1
            else:
                self._again(key)
        if adopted:
            log.info("adopted %d pictures that were drawn but not recorded yet", adopted)

    def _recover_missing(self) -> None:
        """One look into each folder: asking for a million files one by one takes ten times longer."""
        there: dict[str, set[str]] = {}
        done = self._database.execute(f"SELECT path, {KEY} FROM pictures WHERE state = 'done'").fetchall()
        for path, *values in done:
            folder, _, name = path.rpartition("/")
            if folder not in there:
                there[folder] = {file.name for file in _files(self.folder / folder)}
            if name not in there[folder]:
                self._tell(f"the picture {path} is gone: it is drawn again")
                self._again(Key(*values))

    # ── planning ──────────────────────────────────────────────────────────────────────────────────────────

    def plan(self, keys: Iterable[Key]) -> list[Key]:
        """Writes down what is wanted and returns what is not done yet, in the order given, each once.

        Reads the table only (a million rows in seconds); `find` is who looks at the files. Raises
        JournalError where the same photo, strategy and seed were asked for with another request.
        """
        wanted = list(dict.fromkeys(keys))
        with self._commit() as database:
            states = self._states(wanted)
            new = [key for key in wanted if key not in states]
            database.executemany(INSERT, sorted(new))
        return [key for key in wanted if states.get(key) != "done"]

    def lease(self, keys: Iterable[Key], requests: Mapping[Key, Mapping[str, Any]] | None = None) -> list[Key]:
        """Marks as being drawn those of `keys` that are not done yet, and returns them; call before drawing.

        `requests` (key → request as JSON) lets a clash name what differs, and failures show what was asked.
        """
        requests = requests or {}
        with self._commit() as database:
            self._refuse_other_requests(requests)
            todo = self.plan(keys)
            database.executemany(
                "UPDATE pictures SET state = 'leased', attempts = attempts + 1, request = ?, "
                f"error_class = NULL, message = NULL WHERE {THIS}",
                [(canonical(requests[key]) if key in requests else None, *key[:3]) for key in todo],
            )
        return todo

    def _states(self, keys: list[Key]) -> dict[Key, str]:
        """Photo by photo, because that is how the table lies on disk."""
        states: dict[Key, str] = {}
        of_photo = f"SELECT {KEY}, state FROM pictures WHERE image_sha256 = ?"
        for photo in dict.fromkeys(key.image_sha256 for key in keys):
            for *values, state in self._database.execute(of_photo, (photo,)):
                states[Key(*values)] = state
        known = {key[:3]: key for key in states}
        for key in keys:
            if key not in states and known.setdefault(key[:3], key) != key:
                raise self._clash(key, known[key[:3]].request_hash, [])
        return states

    def _refuse_other_requests(self, requests: Mapping[Key, Mapping[str, Any]]) -> None:
        for key, request in requests.items():
            row = self._select("request_hash, request", key)
            if row is not None and row[0] != key.request_hash and row[1]:
                changed = differences(json.loads(row[1]), json.loads(canonical(request)))
                raise self._clash(key, row[0], changed)

    def _clash(self, key: Key, recorded: str, changed: list[str]) -> JournalError:
        what = "; ".join(changed) or f"request {recorded} → {key.request_hash}"
        return JournalError(
            f"strategy {key.strategy_id!r} with seed {key.seed} was drawn from another request: {what}",
            where=str(self.folder / FILE),
            to_try="the run folder belongs to other settings: use another --out",
        )

    # ── drawing ───────────────────────────────────────────────────────────────────────────────────────────

    def find(self, key: Key) -> Record | None:
        """The finished picture, its file compared with the recorded sha256; None where it must be drawn."""
        with self._errors(), self._thread:
            row = self._select(COLUMNS, key)
            if row is None:
                return None
            record = self._as_record(row)
            if record.key != key:
                raise self._clash(key, record.key.request_hash, [])
            return record if record.state == "done" and self._is_whole(record) else None

    def finish(self, key: Key, result: GenerationResult) -> Record:
        """Writes the leased picture's file, then its record.

        Raises UnusablePicture, with the row quarantined, where the picture is black or of another size;
        Stopped where the disk is full.
        """
        with self._errors(), self._thread:
            self._must_be_leased(key)
            request, used = result.request.model_dump(mode="json"), result.used.model_dump(mode="json")
            origin = PictureOrigin(key, self._run, request, used)
            try:
                pictures.check(result.image, request)
                data = pictures.encode(result.image, origin)
            except UnusablePicture as error:
                self._set_failed(key, "quarantined", type(error).__name__, str(error))
                raise
            path = self._path(key)
            make_folder(path.parent)
            write_whole(path, data)
            with self._commit():
                self._record(origin, result.elapsed_s)
            if (record := self.find(key)) is None:
                raise JournalError("the disk does not keep what is written", where=str(path))
            return record

    def fail(self, key: Key, error_class: str, message: str) -> None:
        """Records why the leased picture could not be drawn; the next run tries it again."""
        with self._errors(), self._thread:
            self._must_be_leased(key)
            self._set_failed(key, "failed", error_class, message)

    def give_back(self, keys: Iterable[Key]) -> None:
        """Those of `keys` that are leased are planned again: whoever leased them has not drawn them."""
        with self._errors(), self._thread, self._commit():
            for key in keys:
                if self._state(key) == "leased":
                    self._again(key)

    def _set_failed(self, key: Key, state: State, error_class: str, message: str) -> None:
        with self._commit() as database:
            database.execute(
                f"UPDATE pictures SET state = ?, error_class = ?, message = ? WHERE {THIS}",
                (state, error_class, message[:2000], *key[:3]),
            )

    def _must_be_leased(self, key: Key) -> None:
        if (state := self._state(key)) != "leased":
            raise JournalError(f"{key} is {state}, not leased", to_try="lease it before drawing")

    def _state(self, key: Key) -> str:
        row = self._select("request_hash, state", key)
        return row[1] if row is not None and row[0] == key.request_hash else "unknown"

    def _select(self, columns: str, key: Key) -> tuple[Any, ...] | None:
        return self._database.execute(f"SELECT {columns} FROM pictures WHERE {THIS}", key[:3]).fetchone()

    def _record(self, origin: PictureOrigin, elapsed_s: float | None = None) -> None:
        """The file is there and whole."""
        key = origin.key
        self._database.execute(
            "UPDATE pictures SET state = 'done', path = ?, sha256 = ?, request = ?, used = ?, elapsed_s = ?, "
            f"error_class = NULL, message = NULL WHERE {THIS}",
            (
                pictures.file_of(key),
                pictures.sha256_of(self._path(key)),
                canonical(origin.request),
                canonical(origin.used),
                elapsed_s,
                *key[:3],
            ),
        )

    def _again(self, key: Key) -> None:
        """Back to planned, and its scores away: they were of a picture that is no more."""
        self._verified.discard(key)
        self._database.execute(f"DELETE FROM scores WHERE {THIS}", key[:3])
        self._database.execute(
            "UPDATE pictures SET state = 'planned', path = NULL, sha256 = NULL, used = NULL, "
            f"elapsed_s = NULL WHERE {THIS}",
            key[:3],
        )

    def _is_whole(self, record: Record) -> bool:
        if record.key in self._verified:
            return True
        found = pictures.sha256_of(self._path(record.key))
        if found == record.sha256:
            self._verified.add(record.key)
            return True
        what = "gone" if found is None else "changed since it was drawn"
        self._tell(f"the picture {pictures.file_of(record.key)} is {what}: it is drawn again")
        with self._commit():
            self._again(record.key)
        return False

    # ── scores and rows ───────────────────────────────────────────────────────────────────────────────────

    def score(
        self,
        key: Key,
        scorer_key: str,
        *,
        similarity: float,
        unclipped: float,
        raw_cosine: float,
        centred: float,
    ) -> None:
        """Records how `scorer_key` (encoder and calibration) scores a finished picture; the latest counts."""
        score = Score(similarity, unclipped, raw_cosine, centred)
        if not all(math.isfinite(value) for value in score):
            raise JournalError(f"the {score} of {key} is not finite", to_try="look at picture and photo")
        with self._commit() as database:
            if (state := self._state(key)) != "done":
                raise JournalError(f"{key} is {state}: only finished pictures have scores")
            values = (*key[:3], scorer_key, *score)
            database.execute("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def scores(self, scorer_key: str) -> dict[Key, Score]:
        """Every score that `scorer_key` gave, in the order of the keys."""
        with self._errors(), self._thread:
            rows = self._database.execute(
                f"SELECT {KEY}, similarity, unclipped, raw_cosine, centred FROM scores "
                "JOIN pictures USING (image_sha256, strategy_id, seed) WHERE scorer_key = ?",
                (scorer_key,),
            ).fetchall()
        return {key: score for key, score in sorted((Key(*row[:4]), Score(*row[4:])) for row in rows)}

    def rows(self) -> list[Record]:
        """Every row, in the order of the keys."""
        with self._errors(), self._thread:
            rows = self._database.execute(f"SELECT {COLUMNS} FROM pictures ORDER BY 1, 2, 3").fetchall()
        return [self._as_record(row) for row in rows]

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

    def _keys(self, condition: str) -> list[Key]:
        rows = self._database.execute(f"SELECT {KEY} FROM pictures WHERE {condition}")
        return [Key(*row) for row in rows.fetchall()]

    def _path(self, key: Key) -> Path:
        return self.folder / pictures.file_of(key)

    def _tell(self, notice: str) -> None:
        self.notices.append(notice)
        log.warning("%s: %s", self.folder / FILE, notice)

    # ── transactions, closing ─────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _commit(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing; a commit within a commit belongs to the outer one."""
        with self._errors(), self._thread:
            if self._database.in_transaction:
                yield self._database
                return
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # SQLite has rolled back by itself where the disk is full
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                what = f"the run folder can't be used: {error}"
                raise JournalError(what, where=str(self.folder)) from error
            raise _disk_full(self.folder) from error
        except sqlite3.Error as error:
            if "disk is full" in str(error):
                raise _disk_full(self.folder) from error
            raise JournalError(
                f"the journal can't be used: {error}",
                where=str(self.folder / FILE),
                to_try="run the same command again: a broken journal is rebuilt from the pictures",
            ) from error

    def close(self) -> None:
        """Folds the log into the one file and lets others in."""
        self._database.close()
        self._lock.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _disk_full(folder: Path) -> Stopped:
    return Stopped("the disk is full", where=str(folder), to_try="free some space; the same command goes on")


def _files(folder: Path) -> Iterable[Path]:
    return folder.iterdir() if folder.is_dir() else ()


def _lock(folder: Path) -> FolderLock:
    try:
        make_folder(folder)
        return FolderLock(folder / LOCK)
    except FolderBusy as busy:
        raise JournalError(
            f"process {busy.pid or '(unknown)'} is writing into this run folder",
            where=str(folder),
            to_try="wait for it, stop it, or use another --out",
        ) from None
    except OSError as error:
        what = f"the run folder can't be used: {error}"
        raise JournalError(what, where=str(folder), to_try="an --out that can be written to") from error
