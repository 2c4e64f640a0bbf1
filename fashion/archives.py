"""Photos inside .tar archives, as webdataset's shards hold them; each is read where it lies, nothing is unpacked.

A photo of an archive has the path `photos-000.tar/look-01.jpg`: the archive's, then its name inside.
"""

from __future__ import annotations

import os
import tarfile
from functools import lru_cache
from pathlib import Path

from ..core.errors import InputError
from ..core.read_files import UnreadableFile, too_large
from .remote import version_of

SUFFIX = ".tar"
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
KEPT = 16  # archives whose list of members stays in memory


def is_archive(path: Path) -> bool:
    """Whether the path names a .tar file, or one that is compressed."""
    return path.name.lower().endswith((SUFFIX, *COMPRESSED)) and path.is_file()


def archive_of(path: Path) -> Path | None:
    """The archive that a photo's path leads into; None for a photo that is a file of its own."""
    above = (folder for folder in path.parents if folder.name.lower().endswith(SUFFIX))
    return next((folder for folder in above if folder.is_file()), None)


def photos_in(archive: Path) -> list[Path]:
    """The paths of all regular files in the archive, in its order; of two with one name the later.

    Raises InputError for a compressed or damaged archive.
    """
    if archive.name.lower().endswith(COMPRESSED):
        raise InputError(
            "a compressed archive can't be read photo by photo", where=str(archive), to_try="decompress it to a .tar"
        )
    return [archive / name for name in _members(archive)]


def read_member(archive: Path, photo: Path, most_bytes: int) -> bytes:
    """The bytes of a photo in an archive. Raises UnreadableFile with a code."""
    try:
        place = _members(archive).get(photo.relative_to(archive).as_posix())
        if place is None:
            raise UnreadableFile(photo, "GONE", "the archive has no such photo any more")
        start, size = place
        if size > most_bytes:
            raise too_large(photo, size, most_bytes)
        with archive.open("rb") as file:
            file.seek(start)
            data = file.read(size)
    except OSError as error:
        raise UnreadableFile(photo, "PERM", f"the archive can't be read: {error.strerror or error}") from None
    except InputError as error:
        if isinstance(error, UnreadableFile):
            raise
        raise UnreadableFile(photo, "CHANGED", "the archive was changed or damaged while it was read") from None
    if len(data) != size:
        raise UnreadableFile(photo, "CHANGED", "the archive ends too early")
    return data


def _members(archive: Path) -> dict[str, tuple[int, int]]:
    return _members_as_of(archive, *version_of(archive))


@lru_cache(KEPT)
def _members_as_of(archive: Path, changed: int, size: int) -> dict[str, tuple[int, int]]:
    """Name → (first byte, bytes) of each regular file; one pass over the headers."""
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            found = {
                os.path.normpath(member.name): (member.offset_data, member.size)
                for member in tar
                if member.isreg() and not member.issparse()
            }
    except (tarfile.TarError, OSError, ValueError) as error:
        raise InputError(
            f"this is no whole .tar archive: {error}", where=str(archive), to_try="copy or write it again"
        ) from None
    return {name.replace(os.sep, "/"): place for name, place in found.items() if not name.startswith("..")}
