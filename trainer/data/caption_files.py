"""Captions in the files beside the photos: NAME.txt or NAME.caption, and a folder's metadata.jsonl or metadata.csv."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import InputError

SUFFIXES = (".txt", ".caption", ".TXT", ".Txt")  # kohya's tools write .caption, Windows .TXT
# Hugging Face's "ImageFolder": {"file_name": "a.jpg", "text": "a red dress"} a line, or columns of these names.
METADATA, METADATA_CSV = "metadata.jsonl", "metadata.csv"
MOST_CHARACTERS = 2000  # a text encoder reads about 300
MOST_BYTES = 1_000_000  # of a caption's file: it is no caption beyond

CONTROL = re.compile(r"[\x01-\x08\x0e-\x1a\x1c-\x1f]")  # in no text; NUL is, in UTF-16 without its mark
# UTF-32's mark begins with UTF-16's: the longer first.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class BadCaption(InputError):
    """A caption that can't be read; `code` is ENCODING, PERM, GONE or TOO_LONG."""

    kind = "caption"

    def __init__(self, path: Path, code: str, reason: str):
        self.path, self.code, self.reason = path, code, reason
        super().__init__(reason, where=str(path), to_try="save it as UTF-8 text" if code == "ENCODING" else "")


@dataclass(frozen=True)
class Caption:
    """A caption in one line; `notes` say what was changed on reading, for people."""

    text: str
    notes: tuple[str, ...] = ()


def read_caption(path: Path) -> Caption:
    """The caption in a text file. Raises BadCaption with a code."""
    return clean(_decoded(path))


def clean(text: str) -> Caption:
    """Without NUL, in one line, and not over-long."""
    notes = []
    if "\0" in text:
        text, notes = text.replace("\0", ""), ["NUL characters removed from the caption"]
    text = " ".join(text.split())
    if len(text) > MOST_CHARACTERS:
        notes.append(f"the caption of {len(text):,} characters was cut to {MOST_CHARACTERS:,}")
        text = text[: MOST_CHARACTERS + 1].rpartition(" ")[0] or text[:MOST_CHARACTERS]
        text = text.rstrip(" ,;")
    return Caption(text, tuple(notes))


def metadata_in(folder: Path) -> dict[str, Caption]:
    """File name → caption of a folder's METADATA, else of its METADATA_CSV; empty where there is neither."""
    file = next((file for name in (METADATA, METADATA_CSV) if (file := folder / name).is_file()), None)
    return read_metadata(file) if file else {}


def read_metadata(path: Path) -> dict[str, Caption]:
    """File name → caption of a METADATA or METADATA_CSV file; InputError names the line that is wrong."""
    if path.suffix == ".csv":
        return _read_csv(path)
    captions = {}
    for number, line in enumerate(_decoded(path, most=None).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise _bad_row(path, number, f"is no JSON: {getattr(error, 'msg', error)}") from None
        if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("file_name", "text")):
            raise _bad_row(path, number, "has no file_name and text")
        captions[Path(row["file_name"]).as_posix()] = clean(row["text"])
    return captions


def _read_csv(path: Path) -> dict[str, Caption]:
    """With a comma, semicolon or tab between its columns, as spreadsheets write them."""
    text = _decoded(path, most=None)
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = rows.fieldnames or []
    if "file_name" not in columns or "text" not in columns:
        raise InputError(
            f"line 1 names the columns {', '.join(columns) or 'nothing'}",
            where=str(path),
            to_try="columns file_name and text",
        )
    captions = {}
    for row in rows:
        if not row["file_name"] or row["text"] is None:
            raise _bad_row(path, rows.line_num, "has no file_name and text")
        captions[Path(row["file_name"]).as_posix()] = clean(row["text"])
    return captions


def caption_file(photo: Path, suffixes: Sequence[str] = SUFFIXES) -> Path | None:
    """The text file beside a photo: NAME.txt, else one of the other `suffixes`; None where there is none."""
    named = (photo.with_suffix(suffix) for suffix in suffixes)
    return next((file for file in named if file.is_file()), None)


def own_caption(photo: Path) -> str | None:
    """The caption in a text file beside the photo or in the folder's table; None where there is neither."""
    beside = caption_file(photo)
    if beside is not None:
        return read_caption(beside).text
    row = metadata_in(photo.parent).get(photo.name)
    return row.text if row else None


def _bad_row(path: Path, number: int, what: str) -> InputError:
    form = '{"file_name": "a.jpg", "text": "a red dress"}'
    return InputError(f"line {number} {what}", where=str(path), to_try=f"each line is like {form}")


def _decoded(path: Path, most: int | None = MOST_BYTES) -> str:
    try:
        if most is not None and path.stat().st_size > most:
            raise BadCaption(path, "TOO_LONG", f"a file of {path.stat().st_size / 1e6:.0f} MB is no caption")
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadCaption(path, "GONE", "the caption's file is gone") from None
    except OSError as error:
        raise BadCaption(path, "PERM", f"the caption can't be read: {error.strerror or error}") from None
    mark, encoding = next(((mark, name) for mark, name in MARKS if data.startswith(mark)), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        at = len(mark) + error.start
        reason = f"no {encoding.upper()} text: byte 0x{data[at]:02x} at offset {at}"
        raise BadCaption(path, "ENCODING", reason) from None
    if control := CONTROL.search(text):
        reason = f"binary data, no text: control character 0x{ord(control[0]):02x} at character {control.start()}"
        raise BadCaption(path, "ENCODING", reason)
    return text
