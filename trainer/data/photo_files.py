"""Folders → photo files, in an order that is the same everywhere."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ...core.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif")
# Pictures too, by their names: the reader says why they can't be used, instead of their being passed over.
OTHER_SUFFIXES = (".gif", ".bmp", ".svg", ".jxl", ".psd")

MASK = "-masklabel"  # how the name of a mask beside its photo ends


def repeats_of(photo: Path, root: Path) -> int:
    """N of the nearest folder N_name, from the photo's up to `root` itself: sd-scripts' way to say repeats; else 1."""
    for folder in photo.parents:
        match = re.match(r"(\d+)_.", folder.name)
        if match and int(match[1]):
            return int(match[1])
        if folder == root:
            break
    return 1


def photo_files(root: Path, apart: Sequence[Path], skip: Callable[[Path, str, str], None]) -> Iterator[Path]:
    """Photos under `root`, no masks, none of hidden folders or of those that are `apart`.

    `skip` is told of a link that leads out of the folder, with a code and the reason. InputError for no folder.
    """
    if not root.is_dir():
        raise InputError("there is no such folder of photos", where=str(root), to_try="check the path")
    closed = {folder.resolve() for folder in apart}
    for place, folders, files in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name != "__MACOSX" and Path(place, name).resolve() not in closed
        )
        for name in sorted(files):
            file = Path(place, name)
            if name.startswith(".") or file.suffix.lower() not in (*SUFFIXES, *OTHER_SUFFIXES):
                continue
            if file.stem.endswith(MASK):
                continue
            if file.is_symlink() and not file.resolve().is_relative_to(root.resolve()):
                skip(file, "OUTSIDE_ROOT", "the link leads out of the folder")
            else:
                yield file
