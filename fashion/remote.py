"""Photos in a bucket or on a server: `s3://brand/shop`, `gs://…`, `memory://…`, by fsspec and the package of each kind.

Nothing is copied to this machine: a photo's bytes are read when it is tagged. Credentials are the user's own, where the
package looks for them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, cast

from ..core.errors import InputError
from ..core.read_files import UnreadableFile, too_large

if TYPE_CHECKING:
    from collections.abc import Sequence

ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://?(?=[^/])")
KEPT = 4096  # answers on whether a path is a file


class RemotePath(PurePosixPath):
    """A path of fsspec, written with its protocol: `s3://brand/shop/look-01.jpg`."""

    def __str__(self) -> str:
        text = super().__str__()
        return text.replace(":/", "://", 1) if self.parts and self.parts[0].endswith(":") else text

    def exists(self) -> bool:
        """Whether a file or folder is there. Raises InputError where nobody can tell."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Whether a file is there, as it was when it was first asked."""
        return _kind(str(self)) == "file"

    def is_dir(self) -> bool:
        """Whether files lie below that path, as it was when it was first asked."""
        return _kind(str(self)) == "directory"

    def open(self, mode: str = "rb") -> IO[bytes]:
        """The file, for reading from any place of it."""
        files, path = file_system(self)
        return cast("IO[bytes]", files.open(path, mode))


def as_path(given: str | Path) -> Path:
    """The path of this machine, or the RemotePath, of what was given."""
    if isinstance(given, RemotePath):
        return given
    if ADDRESS.match(str(given)) and not isinstance(given, Path):
        return cast("Path", RemotePath(given))  # read-only, and a Path in all that reading needs
    return Path(given)


def is_remote(path: Path) -> bool:
    """Whether the path is none of this machine."""
    return isinstance(path, RemotePath)


def version_of(file: Path) -> tuple[int, int]:
    """What changes when a file of this machine does; a remote one is as it was when it was opened."""
    if is_remote(file):
        return 0, 0
    status = file.stat()
    return status.st_mtime_ns, status.st_size


def file_system(path: RemotePath) -> tuple[Any, str]:
    """fsspec's file system of a path, and the path's name in it. Raises InputError where a package is missing."""
    if find_spec("fsspec") is None:
        raise InputError("paths with a protocol need fsspec", where=str(path), to_try="pip install fsspec")
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations, registry

    protocol = str(path).partition("://")[0]
    known = known_implementations.get(protocol)
    if known is None and protocol not in registry:
        raise InputError(f"fsspec knows no {protocol}://", where=str(path), to_try="s3://bucket/folder")
    package = known["class"].partition(".")[0] if known and protocol not in registry else ""
    if package and find_spec(package) is None:
        raise InputError(f"{protocol}:// needs {package}", where=str(path), to_try=f"pip install {package}")
    files, name = url_to_fs(str(path))
    return files, name


def files_below(folder: RemotePath) -> Sequence[RemotePath]:
    """Every file below a folder but hidden ones, each folder's files before its folders, in order of their names."""
    files, root = file_system(folder)
    try:
        names = files.find(root)
    except Exception as error:
        raise _silent(folder, error) from None
    base = root.rstrip("/") + "/"
    below = [PurePosixPath(name.removeprefix(base)) for name in names if name.startswith(base)]
    below = [path for path in below if not any(part.startswith((".", "__MACOSX")) for part in path.parts)]
    below.sort(key=lambda path: (*((1, part) for part in path.parts[:-1]), (0, path.name)))
    return [folder / path for path in below]


def read_remote(path: RemotePath, most_bytes: int) -> bytes:
    """The bytes of a file. Raises UnreadableFile with a code."""
    files, name = file_system(path)
    place = cast("Path", path)
    try:
        size = files.size(name)
        if size is not None and size > most_bytes:
            raise too_large(place, size, most_bytes)
        data: bytes = files.cat_file(name)
    except UnreadableFile:
        raise
    except FileNotFoundError:
        raise UnreadableFile(place, "GONE", "the file is gone") from None
    except Exception as error:  # every package has errors of its own
        raise UnreadableFile(place, "PERM", f"the file can't be read: {error}") from None
    return data


@lru_cache(KEPT)
def _kind(address: str) -> str:
    files, name = file_system(RemotePath(address))
    try:
        return str(files.info(name)["type"])
    except FileNotFoundError:
        return "nothing"
    except Exception as error:  # every package has errors of its own
        raise _silent(RemotePath(address), error) from None


def _silent(path: RemotePath, error: Exception) -> InputError:
    return InputError(
        f"this can't be read: {error}", where=str(path), to_try="the address, and the credentials of this machine"
    )
