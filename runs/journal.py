"""The journal of a run: which pictures were asked for, which are drawn, and how they scored. One writer.

    planned ──lease──► leased ──finish──► done          the file first, then the record: no record lies
                          ├────fail─────► failed        the host's error, by class; tried by the next run
                          └──(black …)──► quarantined   drawn, but not usable; tried by the next run

A run killed at any instant goes on where it was: on opening, a leased row whose file is whole is adopted, any
other is drawn again, and so is a done row whose file is gone or changed. A broken journal is rebuilt from the
pictures.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..core.files import TEMPORARY, make_folder, write_whole
from ..core.folder_lock import FolderLock, lock_folder
from ..core.library_versions import installed_versions
from . import pictures
from .checksums import RUN, seal
from .database import JournalError, connect, explained
from .pictures import Key, PictureOrigin, UnusablePicture
from .records import PictureTable, Record, Score, State
from .settings import OTHER_FOLDER, canonical, differences, fingerprint, refusal

if TYPE_CHECKING:
    from ..hosts.request import GenerationResult

__all__ = ["Journal", "JournalError", "Key", "Record", "Score", "UnusablePicture"]

FILE, LOCK = "journal.sqlite", "journal.lock"
log = logging.getLogger("modiste")


class Journal:
    """The open journal of one run folder; close it, or use it as a context manager. Safe among threads."""

    def __init__(self, folder: Path, database: sqlite3.Connection, lock: FolderLock, run: str):
        self.folder = folder
        self.notices: list[str] = []  # what was repaired, for people
        self._database, self._lock, self._run = database, lock, run
        self._table = PictureTable(database, folder)
        self._thread = threading.RLock()
        self._verified: set[Key] = set()

    # ── opening ───────────────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def open(cls, folder: str | Path, settings: Mapping[str, Any]) -> Journal:
        """The journal of `folder`, made where there is none; `settings` (JSON-like) says what the run is.

        Raises JournalError where another process writes there, or the folder's settings are others.
        """
        folder = Path(folder).resolve()
        lock = lock_folder(folder, LOCK, "writing into this run folder", JournalError)
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
                database.execute("INSERT INTO run VALUES (1, ?, ?, ?, NULL)", values)
                seal(database, RUN, [(1,)])
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
            return str(self._database.execute("SELECT created FROM run").fetchone()[0])

    def _refuse_other_settings(self, old: dict[str, Any], new: Mapping[str, Any]) -> None:
        reason = refusal(old, json.loads(canonical(new)))
        if reason:
            raise JournalError(reason, where=str(self.folder), to_try=OTHER_FOLDER)

    def _note_other_versions(self, old: dict[str, Any]) -> None:
        changed = differences(old, installed_versions())
        if changed:
            self._tell(f"the run began with other versions ({'; '.join(changed)}): new pictures may differ")

    def _rebuild(self) -> None:
        """Records every whole picture of this run that lies in the folder: for a journal that was lost."""
        whole = lost = 0
        for path in sorted((self.folder / pictures.FOLDER).rglob("*.png")):
            origin = pictures.read_origin(path)
            if origin is None or path != self._path(origin.key):
                lost += origin is not None
                continue
            self._refuse_pictures_of_other_settings(origin, path)
            self._table.insert([origin.key])
            self._record(origin)
            whole += 1
        if whole or lost:
            left_out = f"; {lost} that were moved or renamed are left out" if lost else ""
            self._tell(f"the journal was rebuilt from {whole} pictures{left_out}")

    def _refuse_pictures_of_other_settings(self, origin: PictureOrigin, path: Path) -> None:
        if origin.run != self._run:
            raise JournalError(
                "the folder has lost its journal, and its pictures belong to other settings",
                where=str(path),
                to_try="use another --out, or the settings these pictures were drawn with",
            )

    def _recover_leased(self) -> None:
        adopted = 0
        for key in self._table.keys("leased"):
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
        names: dict[str, set[str]] = {}
        for path, *key in self._table.done_files():
            folder, _, name = path.rpartition("/")
            if folder not in names:
                names[folder] = {file.name for file in _files(self.folder / folder)}
            if name not in names[folder]:
                self._tell(f"the picture {path} is gone: it is drawn again")
                self._again(Key(*key))

    # ── planning ──────────────────────────────────────────────────────────────────────────────────────────

    def plan(self, keys: Iterable[Key]) -> list[Key]:
        """Writes down what is wanted and returns what is not done yet, in the order given, each once.

        Reads the table only (a million rows in seconds); `find` is who looks at the files. Raises
        JournalError where the same photo, strategy and seed were asked for with another request.
        """
        planned = list(dict.fromkeys(keys))
        with self._commit():
            states = self._states(planned)
            self._table.insert(sorted(key for key in planned if key not in states))
        return [key for key in planned if states.get(key) != "done"]

    def lease(self, keys: Iterable[Key], requests: Mapping[Key, Mapping[str, Any]] | None = None) -> list[Key]:
        """Marks as being drawn those of `keys` that are not done yet, and returns them; call before drawing.

        `requests` (key → request as JSON) lets a clash name what differs, and failures show what was asked.
        """
        requests = requests or {}
        with self._commit():
            self._refuse_other_requests(requests)
            todo = self.plan(keys)
            self._table.lease(todo, requests)
        return todo

    def _states(self, keys: list[Key]) -> dict[tuple[Any, ...], str]:
        """Of all pictures of the keys' photos; JournalError where a key was asked for with another request."""
        states = self._table.states(dict.fromkeys(key.image_sha256 for key in keys))
        new = [key for key in keys if key not in states]
        known = {key[:3]: key[3] for key in states} if new else {}
        for key in new:
            if known.setdefault(key[:3], key.request_hash) != key.request_hash:
                raise self._clash(key, known[key[:3]], [])
        return states

    def _refuse_other_requests(self, requests: Mapping[Key, Mapping[str, Any]]) -> None:
        for key, request in requests.items():
            row = self._table.select("request_hash, request", key)
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
            record = self._table.find(key)
            if record is None:
                return None
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
            self._must_be_there()
            request, used = result.request.model_dump(mode="json"), result.used.model_dump(mode="json")
            origin = PictureOrigin(key, self._run, request, used)
            try:
                pictures.check(result.image, request)
                data = pictures.encode(result.image, origin)
            except UnusablePicture as error:
                self._set_failed(key, "quarantined", type(error).__name__, str(error))
                raise
            return self._keep(origin, data, result.elapsed_s)

    def adopt(self, data: bytes, elapsed_s: float | None) -> Key:
        """Takes over a picture that another journal of this very run has finished, by its file's content.

        What is done here already stays. JournalError where it is not whole, or belongs to other settings.
        """
        origin = pictures.origin_of(data)
        if origin is None or origin.run != self._run:
            what = "not whole" if origin is None else "of other settings"
            raise JournalError(f"a picture from another journal is {what}", where=str(self.folder))
        with self._errors(), self._thread:
            if self.lease([origin.key], {origin.key: origin.request}):
                self._keep(origin, data, elapsed_s)
        return origin.key

    def _keep(self, origin: PictureOrigin, data: bytes, elapsed_s: float | None) -> Record:
        """The leased picture's file, then its record."""
        path = self._path(origin.key)
        make_folder(path.parent)
        write_whole(path, data)
        with self._commit():
            self._record(origin, elapsed_s)
        if (record := self.find(origin.key)) is None:
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
                if self._table.state(key) == "leased":
                    self._again(key)

    def _set_failed(self, key: Key, state: State, error_class: str, message: str) -> None:
        with self._commit():
            self._table.set_failed(key, state, error_class, message)

    def _must_be_leased(self, key: Key) -> None:
        if (state := self._table.state(key)) != "leased":
            raise JournalError(f"{key} is {state}, not leased", to_try="lease it before drawing")

    def _must_be_there(self) -> None:
        """A deleted database can be written on: what goes there is lost when it is closed."""
        if not (self.folder / FILE).exists():
            raise JournalError(
                "the run folder was deleted or moved while the run went on",
                where=str(self.folder),
                to_try="start the same command again",
            )

    def _record(self, origin: PictureOrigin, elapsed_s: float | None = None) -> None:
        """The file is there and whole."""
        sha256 = pictures.sha256_of(self._path(origin.key))
        self._table.set_done(origin, sha256, elapsed_s)

    def _again(self, key: Key) -> None:
        """Back to planned: it is drawn again."""
        self._verified.discard(key)
        self._table.set_planned(key)

    def _is_whole(self, record: Record) -> bool:
        if record.key in self._verified:
            return True
        sha256 = pictures.sha256_of(self._path(record.key))
        if sha256 == record.sha256:
            self._verified.add(record.key)
            return True
        what = "gone" if sha256 is None else "changed since it was drawn"
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
        with self._commit():
            if (state := self._table.state(key)) != "done":
                raise JournalError(f"{key} is {state}: only finished pictures have scores")
            self._table.set_score(key, scorer_key, score)

    def scores(self, scorer_key: str, photo: str | None = None) -> dict[Key, Score]:
        """Every score that `scorer_key` gave, or those of one photo (sha256), in the order of the keys."""
        with self._errors(), self._thread:
            return self._table.scores(scorer_key, photo)

    def rows(self) -> list[Record]:
        """Every row, in the order of the keys."""
        with self._errors(), self._thread:
            return self._table.rows()

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

    def _errors(self) -> AbstractContextManager[None]:
        return explained(self.folder, self.folder / FILE)

    def close(self) -> None:
        """Folds the log into the one file and lets others in."""
        self._database.close()
        self._lock.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _files(folder: Path) -> Iterable[Path]:
    return folder.iterdir() if folder.is_dir() else ()
