"""What holds photos without being a folder (.tar archives, parquet tables), and a photo's bytes wherever it lies."""

from __future__ import annotations

from pathlib import Path

from ..core.read_files import read_whole
from .archives import archive_of, is_archive, photos_in, read_member
from .remote import RemotePath, read_remote
from .tables import is_table, photos_in_table, read_row, table_of


def is_container(path: Path) -> bool:
    """Whether the path names an archive or a table."""
    return is_archive(path) or is_table(path)


def files_in(container: Path) -> list[Path]:
    """The paths of an archive's files or of a table's photos, in its order. Raises InputError for a broken one."""
    return photos_in_table(container) if is_table(container) else photos_in(container)


def bytes_of(photo: Path, most_bytes: int) -> bytes:
    """The bytes of a photo. Raises UnreadableFile with a code."""
    if archive := archive_of(photo):
        return read_member(archive, photo, most_bytes)
    if table := table_of(photo):
        return read_row(table, photo, most_bytes)
    if isinstance(photo, RemotePath):
        return read_remote(photo, most_bytes)
    return read_whole(photo, most_bytes)
