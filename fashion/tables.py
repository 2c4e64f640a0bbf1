"""Photos of a parquet table: a column of pictures, read where they lie, or a column of paths.

    a column of bytes, or of {bytes, path} as Hugging Face's datasets write it     shop.parquet/look-01.jpg
    a column of paths, relative to the table                                       look-01.jpg beside the table

A picture is called by the table's column of names, or else by its row's number.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.read_files import UnreadableFile, too_large
from .remote import version_of

if TYPE_CHECKING:
    import pyarrow

SUFFIX = ".parquet"
PICTURES = ("image", "img", "photo", "picture", "jpg", "jpeg", "png", "webp", "bytes")
PATHS = ("image", "photo", "picture", "path", "image_path", "file", "file_name", "filename")
NAMES = ("file_name", "filename", "name", "path", "image_path", "__key__", "key")
KEPT = 4  # tables whose names stay in memory
GROUPS = 2  # row groups whose pictures stay in memory: a batch may end in the next one


def is_table(path: Path) -> bool:
    """Whether the path names a parquet file."""
    return path.name.lower().endswith(SUFFIX) and path.is_file()


def table_of(path: Path) -> Path | None:
    """The table that a photo's path leads into; None for a photo that is a file of its own."""
    above = (folder for folder in path.parents if folder.name.lower().endswith(SUFFIX))
    return next((folder for folder in above if folder.is_file()), None)


def photos_in_table(table: Path) -> list[Path]:
    """The paths of all photos of the table, in its order. Raises InputError where no column has any."""
    opened = _open(table)
    return list(opened.places) if opened.picture is not None else _paths(table)


def read_row(table: Path, photo: Path, most_bytes: int) -> bytes:
    """The bytes of a photo in a table; none where its row has no picture. Raises UnreadableFile with a code."""
    try:
        opened = _open(table)
        row = opened.places.get(photo)
        if row is None:
            raise UnreadableFile(photo, "GONE", "the table has no such photo any more")
        data = opened.read(row)
    except UnreadableFile:
        raise
    except (InputError, OSError, ValueError) as error:
        raise UnreadableFile(photo, "CHANGED", f"the table was changed or damaged while it was read: {error}") from None
    if len(data) > most_bytes:
        raise too_large(photo, len(data), most_bytes)
    return data


@dataclass
class OpenTable:
    """A parquet file with its photos; `picture`: the column of pictures, None where it has paths alone."""

    path: Path
    metadata: pyarrow.parquet.FileMetaData
    picture: str | None
    places: dict[Path, int]  # photo → row

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[int, pyarrow.ChunkedArray] = {}
        self._ends: list[int] = []
        for group in range(self.metadata.num_row_groups):
            self._ends.append((self._ends or [0])[-1] + self.metadata.row_group(group).num_rows)

    def read(self, row: int) -> bytes:
        """The bytes of a row's picture; none where it has no picture."""
        group = next(index for index, end in enumerate(self._ends) if row < end)
        with self._lock:  # one of the threads reads a group, the others wait for it
            if group not in self._groups:
                while len(self._groups) >= GROUPS:
                    del self._groups[next(iter(self._groups))]
                self._groups[group] = self._read(group)
            pictures = self._groups[group]
        value = pictures[row - (self._ends[group] - len(pictures))].as_py()
        data: bytes = (value.get("bytes") if isinstance(value, dict) else value) or b""
        return data

    def _read(self, group: int) -> pyarrow.ChunkedArray:
        from pyarrow.parquet import ParquetFile

        with self.path.open("rb") as data, ParquetFile(data, metadata=self.metadata) as file:
            return file.read_row_group(group, columns=[self.picture]).column(0)


def _paths(table: Path) -> list[Path]:
    """The files that a column of paths names."""
    from pyarrow.parquet import ParquetFile

    with table.open("rb") as data, ParquetFile(data) as file:
        schema = file.schema_arrow
        column = next((name for name in PATHS if name in schema.names and _is_text(schema.field(name).type)), None)
        if column is None:
            raise InputError(
                f"no column holds photos; there are {', '.join(schema.names)}",
                where=str(table),
                to_try="a column image of bytes, or path",
            )
        texts = file.read(columns=[column]).column(0).to_pylist()
    for row, text in enumerate(texts):
        if not text:
            raise InputError(f"row {row} names no photo", where=str(table), to_try="a table without empty rows")
        if "://" in text:
            raise InputError(
                f"row {row} names an address; a table's photos are files", where=str(table), to_try="fetch them before"
            )
    return list(dict.fromkeys(table.parent / text for text in texts))


def _open(table: Path) -> OpenTable:
    return _opened(table, *version_of(table))


@lru_cache(KEPT)
def _opened(table: Path, changed: int, size: int) -> OpenTable:
    if find_spec("pyarrow") is None:
        raise InputError("parquet needs pyarrow", where=str(table), to_try="pip install pyarrow")
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with table.open("rb") as data, ParquetFile(data) as file:
            picture = _picture_column(table, file.schema_arrow)
            names = [] if picture is None else _names(file, picture)
            metadata = file.metadata
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(
            f"this is no whole parquet file: {error}", where=str(table), to_try="copy or write it again"
        ) from None
    return OpenTable(table, metadata, picture, {table / name: row for row, name in enumerate(names)})


def _picture_column(table: Path, schema: pyarrow.Schema) -> str | None:
    """The column of pictures: one of the usual names, or else the only one that it can be."""
    columns = [field.name for field in schema if _is_bytes(field.type) or _has_bytes(field.type)]
    known = [name for name in PICTURES if name in columns]
    if len(columns) > 1 and not known:
        raise InputError(
            f"which column holds the photos? {', '.join(columns)}", where=str(table), to_try="call it image"
        )
    return (known or columns or [None])[0]


def _names(file: Any, picture: str) -> Sequence[str]:
    """A name for each row, no two alike: from the pictures' own paths or a column of names, else the row's number."""
    schema, rows = file.schema_arrow, file.metadata.num_rows
    candidates = [name for name in NAMES if name in schema.names and _is_text(schema.field(name).type)]
    kind = schema.field(picture).type
    if _has_bytes(kind) and kind.get_field_index("path") >= 0:
        candidates.insert(0, f"{picture}.path")
    for column in candidates:
        values = file.read(columns=[column]).column(0).to_pylist()
        names = [value["path"] if isinstance(value, dict) else value for value in values]
        if all(names) and len(set(names)) == rows and all(_is_name(name) for name in names):
            return names
    return [f"{row:08}" for row in range(rows)]


def _is_name(text: str) -> bool:
    path = PurePosixPath(text)
    return not path.is_absolute() and ".." not in path.parts and str(path) == text


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def _is_bytes(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _has_bytes(kind: Any) -> bool:
    from pyarrow import types

    if not types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    return _is_bytes(kind.field("bytes").type)
