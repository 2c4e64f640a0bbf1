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
REGULARISATION = "reg"  # the folder of prior pictures beside `img`, as kohya's interface lays a data set out
MOST_REPEATS = 999  # 2026_summer is a year


def repeats_of(photo: Path, root: Path) -> int:
    """N of the nearest folder N_name, from the photo's up to `root` itself: sd-scripts' way to say repeats; else 1."""
    named = _named_folder(photo, root)
    return named[0] if named else 1


def class_words_of(photo: Path, root: Path) -> str:
    """The name of that folder: what sd-scripts says of a photo without a caption; else empty."""
    named = _named_folder(photo, root)
    return named[1] if named else ""


def regularisation_of(root: Path) -> Path | None:
    """The folder `reg` in `root`, if it has folders N_name; else None."""
    folder = root / REGULARISATION
    if not folder.is_dir():
        return None
    return folder if any(_parts(inner.name) for inner in folder.iterdir() if inner.is_dir()) else None


def _named_folder(photo: Path, root: Path) -> tuple[int, str] | None:
    for folder in photo.parents:
        if parts := _parts(folder.name):
            return parts
        if folder == root:
            break
    return None


def _parts(name: str) -> tuple[int, str] | None:
    """N and name of N_name; None for any other."""
    match = re.match(r"(\d+)_(.+)", name)
    return (int(match[1]), match[2].strip()) if match and 1 <= int(match[1]) <= MOST_REPEATS else None


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
