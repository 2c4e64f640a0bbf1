"""Files that are written whole and identified by their content.

A reader sees the old file or the new one, never a part, also after a power cut.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

TEMPORARY = ".tmp"
BLOCK_BYTES = 1 << 20
REPLACE_TRIES, REPLACE_WAIT_S = 20, 0.05


def write_whole(path: Path, data: bytes) -> None:
    """Writes a temporary beside `path`, syncs it, replaces `path`, syncs the folder; an OSError leaves no temporary."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        replace_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def remove_temporaries(folder: Path, pid: int) -> None:
    """Removes the half-written files and folders that the process `pid`, which is dead, has left in `folder`."""
    for temporary in folder.glob(f"*.{pid}{TEMPORARY}"):
        if temporary.is_dir() and not temporary.is_symlink():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def replace_file(temporary: Path, path: Path) -> None:
    """Gives `temporary` the name `path`, in place of what has it.

    Windows refuses while another program, such as a virus scanner, has one of them open: it is asked for a second.
    """
    patience = REPLACE_TRIES if sys.platform == "win32" else 1
    for tries_left in reversed(range(patience)):
        try:
            temporary.replace(path)
            return
        except PermissionError:
            if not tries_left:
                raise
            time.sleep(REPLACE_WAIT_S)


def sync_folder(folder: Path) -> None:
    """Makes renames in `folder` durable; Windows can't open folders and needs no such step."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(files: Iterable[Path]) -> str:
    """The hex digest of the files' contents, one after the other; no file is held in memory whole."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as data:
            while block := data.read(BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()


def make_folder(folder: Path) -> None:
    """Creates `folder` and the missing folders above it, durably."""
    missing = [level for level in (folder, *folder.parents) if not level.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for level in missing:
        sync_folder(level.parent)


def size_bytes(path: Path) -> int:
    """The size of a file, or of all files in a folder, in bytes."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
