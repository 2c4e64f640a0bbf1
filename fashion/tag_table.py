"""Tags as a parquet table. It can't grow photo by photo, so lines grow beside it and the table is written from them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.disk import writing
from ..core.errors import InputError
from ..core.files import TEMPORARY, replace_file, sync_folder

if TYPE_CHECKING:
    import pyarrow

SUFFIX = ".parquet"
ROWS = 4096  # in memory, and in a row group


def lines_file(out: Path) -> Path:
    """Where the lines of `--out` grow: `tags.parquet` → `tags.parquet.jsonl`, any other file itself.

    Raises InputError for a table that was not written from such lines, and where pyarrow is missing.
    """
    if not is_tag_table(out):
        return out
    lines = out.with_name(f"{out.name}.jsonl")
    if find_spec("pyarrow") is None:
        raise InputError("parquet needs pyarrow", where=str(out), to_try="pip install pyarrow, or --out tags.jsonl")
    if out.exists() and not lines.exists():
        raise InputError(
            f"this table is there, and not the lines that it was written from ({lines.name})",
            where=str(out),
            to_try="another file for --out",
        )
    return lines


def is_tag_table(out: Path) -> bool:
    """Whether tags are to become a parquet table."""
    return out.suffix.lower() == SUFFIX


def write_tag_table(out: Path, lines: Path) -> None:
    """Writes the table of all lines, whole; columns image, caption, tags, not_visible and notes."""
    from pyarrow import Table
    from pyarrow.parquet import ParquetWriter

    temporary, schema = out.with_name(f"{out.name}.{os.getpid()}{TEMPORARY}"), _schema()
    with writing(out):
        try:
            with temporary.open("wb") as file, lines.open(encoding="utf-8", newline="\n") as text:
                with ParquetWriter(file, schema) as table:
                    rows = map(json.loads, text)
                    while part := list(islice(rows, ROWS)):
                        table.write_table(Table.from_pylist(list(_whole(part)), schema))
                file.flush()
                os.fsync(file.fileno())
            replace_file(temporary, out)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(out.parent)


def _whole(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return ({**row, "notes": row.get("notes", [])} for row in rows)


def _schema() -> pyarrow.Schema:
    import pyarrow as pa

    tag = pa.struct([("group", pa.string()), ("label", pa.string()), ("confidence", pa.float64())])
    texts = pa.list_(pa.string())
    return pa.schema(
        [
            ("image", pa.string()),
            ("caption", pa.string()),
            ("tags", pa.list_(tag)),
            ("not_visible", texts),
            ("notes", texts),
        ]
    )
