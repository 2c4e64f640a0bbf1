"""Paths that come from a graph: each must stay inside a root."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ...core.errors import InputError
from ...fashion.photos import SUFFIXES

LONGEST_NAME = 255  # bytes of a file's name, on every common file system
MAX_DEPTH = 3  # levels below the root that lists show


def inside(name: str, roots: Sequence[Path]) -> Path:
    """`name` under the first root, or a full path under any of them, links followed; InputError where it leads out."""
    if not name.strip():
        raise InputError("no folder was named", to_try=f"a folder inside {roots[0]}")
    if "\0" in name:
        raise InputError("a path holds a NUL byte", to_try=f"a folder inside {roots[0]}")
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in Path(name.strip()).parts):
        shown = f"{name.strip()[:40]}…"
        raise InputError(f"a name in the path {shown!r} is too long", to_try=f"at most {LONGEST_NAME} bytes a name")
    path = Path(os.path.realpath(roots[0] / name.strip()))
    for root in roots:
        real = os.path.realpath(root)
        same_drive = os.path.splitdrive(real)[0] == os.path.splitdrive(path)[0]
        if same_drive and os.path.commonpath([real, path]) == real:
            return path
    places = " or ".join(map(str, roots))
    raise InputError(f"{name!r} leads out of {places}", to_try="a folder in there; copy or move the photos")


def photo_folders(root: Path) -> list[str]:
    """Names, with `/`, of the folders under `root` that hold photos themselves, at most MAX_DEPTH levels below."""
    names = []
    for folder, folders, files in os.walk(root):
        name = Path(folder).relative_to(root)
        visible = sorted(one for one in folders if not one.startswith("."))
        folders[:] = visible if len(name.parts) < MAX_DEPTH else []
        if name.parts and any(Path(file).suffix.lower() in SUFFIXES for file in files):
            names.append(name.as_posix())
    return names
