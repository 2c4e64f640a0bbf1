"""A file of tags, .jsonl or .csv, that grows photo by photo and continues where it stopped."""

from __future__ import annotations

import csv
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.disk import DiskError, writing
from ..core.errors import InputError
from ..core.files import make_folder, sync_folder
from ..core.folder_lock import lock_file, unlock_file
from .prompts.captions import caption_of
from .tags import PhotoTags, Tag

if TYPE_CHECKING:
    from .taxonomy import Taxonomy

HEADER = ["image", "caption", "tags"]
FORMULA = "=+-@\t\r"  # a cell that begins so is executed by a spreadsheet
SYNC_EVERY = 32  # lines: what a power cut may cost
COMPARED = 20  # lines of an earlier run whose captions are written again, to see that the form is the same
OTHER_FILE = "another file for --out"


@dataclass(frozen=True)
class TaggedFile:
    """The tags of one photo: its path as given, tags, the caption that they make, and notes on how they were read."""

    image: str
    tags: list[dict[str, Any]]  # {group, label, confidence}
    not_visible: list[str]
    caption: str
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The entry of a photo in `tag --json` and in JSON lines; `notes` only where there are any."""
        return {name: value for name, value in vars(self).items() if name != "notes" or value}


@dataclass(frozen=True)
class EarlierLine:
    """A line of an earlier run: the photo's caption, and its (group, label) pairs."""

    caption: str
    labels: tuple[tuple[str, str], ...]


class TagFile:
    """A .jsonl or .csv of tags with one writer; opened again it knows its photos, and drops a torn last line.

    `lines`: image → its line of earlier runs. Raises InputError for a file that is none of ours, is locked by another
    run, or can't be written.
    """

    def __init__(self, path: Path):
        if path.suffix.lower() not in (".jsonl", ".csv"):
            raise InputError("tags are written as .jsonl, .csv or .parquet", where=str(path), to_try="--out tags.jsonl")
        self.path, self._csv, self._unsynced = path, path.suffix.lower() == ".csv", 0
        with writing(path):
            make_folder(path.parent)
            self._file = path.open("a+b", buffering=0)  # nothing is left to write when it is closed
        try:
            if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
                raise self._foreign("it is no regular file")
            self._lock()
            self.lines = self._earlier_lines()
        except BaseException:
            self._file.close()
            raise

    @property
    def done(self) -> frozenset[str]:
        """The images that have a line."""
        return frozenset(self.lines)

    @classmethod
    def head_of(cls, path: Path) -> bytes:
        """What a file of tags of that name begins with."""
        return _csv_row(HEADER).encode() if path.suffix.lower() == ".csv" else b""

    def raw_lines(self) -> dict[str, bytes]:
        """Image → its line as it is in the file."""
        self._file.seek(0)
        text = self._file.read().decode()
        if self._csv:
            rows = list(csv.reader(StringIO(text, newline=""), strict=True))[1:]
            return {_unguarded(row[0]): _csv_row(row).encode() for row in rows}
        return {json.loads(line)["image"]: f"{line}\n".encode() for line in text.split("\n")[:-1]}

    def refuse_other_captions(self, taxonomy: Taxonomy, trigger: str, bound: Sequence[str] | None) -> None:
        """Raises InputError where this run would write other captions for the tags of earlier lines."""
        for line in list(self.lines.values())[:COMPARED]:
            try:
                caption = caption_of(_tags(line.labels, taxonomy), taxonomy, trigger, bound)
            except (KeyError, InputError):
                caption = "none: the vocabulary has no such words"
            if caption != line.caption:
                raise self._other_form(line.caption, caption)

    def refuse_captions_unlike(self, known: Callable[[str], str | None]) -> None:
        """Raises InputError where earlier lines have other captions than a captioner's: image → its, None: unknown."""
        for image, line in list(self.lines.items())[:COMPARED]:
            caption = known(image)
            if caption != line.caption:
                raise self._other_form(line.caption, caption or "what the captioner says")

    def add(self, line: TaggedFile) -> None:
        """Appends a photo's line; every SYNC_EVERY lines and at the end they are synced to the disk."""
        if self._csv:
            tags = "; ".join(f"{tag['group']}: {tag['label']} ({tag['confidence']:.2f})" for tag in line.tags)
            text = _csv_row(map(_guarded, (line.image, line.caption, tags)))
        else:
            text = json.dumps(line.as_json(), ensure_ascii=False) + "\n"
        with writing(self.path):
            self._append(text.encode())
            self._unsynced += 1
            if self._unsynced >= SYNC_EVERY:
                self._sync()

    def close(self) -> None:
        """Syncs and closes the file, and ends its lock."""
        if self._file.closed:
            return
        try:
            with writing(self.path):
                self._sync()
        finally:
            unlock_file(self._file)
            self._file.close()

    def __enter__(self) -> TagFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _append(self, data: bytes) -> None:
        """Appends all of `data` or, where the disk is full, nothing."""
        end = self._file.seek(0, os.SEEK_END)
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError:
            self._file.truncate(end)
            raise

    def _sync(self) -> None:
        if not self.path.exists():  # what is written goes nowhere, and no system call says so
            gone = "it was deleted or moved while this run wrote into it"
            raise DiskError(gone, where=str(self.path), to_try="start the same command again")
        os.fsync(self._file.fileno())
        self._unsynced = 0

    def _lock(self) -> None:
        try:
            lock_file(self._file)
        except BlockingIOError:
            raise InputError(
                "another run is writing this file", where=str(self.path), to_try=f"wait for it, or {OTHER_FILE}"
            ) from None

    def _earlier_lines(self) -> dict[str, EarlierLine]:
        """The lines that are there; what follows the last whole one is cut off."""
        self._file.seek(0)
        data = self._file.read()
        try:
            text = data[: data.rfind(b"\n") + 1].decode("utf-8")
        except UnicodeDecodeError:
            raise self._foreign("it is no UTF-8 text") from None
        if self._csv:
            text, lines = self._csv_lines(text)
        else:
            lines = dict(self._json_lines(text))
        with writing(self.path):
            if len(text.encode()) < len(data):
                self._file.truncate(len(text.encode()))
            if self._csv and not text:
                self._append(self.head_of(self.path))
            self._sync()
            sync_folder(self.path.parent)
        return lines

    def _json_lines(self, text: str) -> Iterator[tuple[str, EarlierLine]]:
        # Not splitlines(): names may hold U+2028 and U+0085, which end a line there and not in JSON.
        for number, line in enumerate(text.split("\n")[:-1], 1):
            try:
                row = json.loads(line)
                labels = tuple((str(tag["group"]), str(tag["label"])) for tag in row["tags"])
                yield str(row["image"]), EarlierLine(str(row["caption"]), labels)
            except (ValueError, KeyError, TypeError, RecursionError):
                raise self._foreign(f"line {number} is no line of tags") from None

    def _csv_lines(self, text: str) -> tuple[str, dict[str, EarlierLine]]:
        """The text up to its last whole row, and the rows; a quoted name may hold line ends."""
        while True:
            try:
                rows = list(csv.reader(StringIO(text, newline=""), strict=True))
                break
            except csv.Error as error:
                torn = "unexpected end of data" in str(error)
                if not torn or "\n" not in text[:-1]:
                    raise self._foreign(f"it can't be read: {error}") from None
                text = text[: text.rindex("\n", 0, len(text) - 1) + 1]
        if rows and rows[0] != HEADER:
            raise self._foreign(f"its columns are not {', '.join(HEADER)}")
        lines = {}
        for number, row in enumerate(rows[1:], 2):
            if len(row) != len(HEADER):
                raise self._foreign(f"row {number} has not {len(HEADER)} columns")
            image, caption, tags = map(_unguarded, row)
            labels = [re.fullmatch(r"(.*?): (.*) \(\d\.\d+\)", tag) for tag in tags.split("; ") if tag]
            lines[image] = EarlierLine(caption, tuple((tag[1], tag[2]) for tag in labels if tag))
        return text, lines

    def _other_form(self, before: str, now: str) -> InputError:
        return InputError(
            f"the file holds captions of another form: “{before}”; this run would write “{now}”",
            where=str(self.path),
            to_try=f"the --trigger, --bind, --vocabulary and --captioner of before, or {OTHER_FILE}",
        )

    def _foreign(self, why: str) -> InputError:
        return InputError(f"this is no file of tags: {why}", where=str(self.path), to_try=OTHER_FILE)


def _tags(labels: Sequence[tuple[str, str]], taxonomy: Taxonomy) -> PhotoTags:
    """The tags of (group, label) pairs; raises KeyError or InputError for one that the vocabulary has not."""
    words = [(group, label, taxonomy.group(group).label(label).prompt_text) for group, label in labels]
    return PhotoTags(tags=tuple(Tag(group=group, label=label, confidence=1, text=text) for group, label, text in words))


def _csv_row(cells: Iterable[str]) -> str:
    row = StringIO(newline="")
    csv.writer(row, lineterminator="\n").writerow(cells)
    return row.getvalue()


def _guarded(cell: str) -> str:
    """The cell, changed so that no spreadsheet takes it for a formula."""
    return f"'{cell}" if cell.startswith(tuple(FORMULA)) else cell


def _unguarded(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:2] in FORMULA else cell
