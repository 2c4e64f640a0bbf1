"""Paths that come from a graph: each must stay inside a root."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ...core.errors import InputError
from ...fashion.photos import SUFFIXES

PATHS_FILE = "modiste_paths.yaml"  # in ComfyUI's folder, or in MODISTE_HOME: where else photos may lie
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
    if _within(str(path), roots):
        return path
    places = " or ".join(map(str, roots))
    here = f"a folder in there; copy the photos, or name their folder in {PATHS_FILE}"
    raise InputError(f"{name!r} leads out of {places}", to_try=here)


def _within(real_path: str, roots: Sequence[Path]) -> bool:
    """Whether a path without links lies in one of the roots, links of the roots followed."""
    for root in roots:
        real = os.path.realpath(root)
        same_drive = os.path.splitdrive(real)[0] == os.path.splitdrive(real_path)[0]
        if same_drive and os.path.commonpath([real, real_path]) == real:
            return True
    return False


def read_photo_roots(file: Path) -> list[Path]:
    """The folders under `photos:` in a PATHS_FILE, [] where there is no such file; InputError for another form."""
    import yaml

    if not file.is_file():
        return []
    example = "photos: [/data/photos, /mnt/brand]"
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig")) or {}
    except (yaml.YAMLError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())  # YAML's has several lines
        raise InputError(f"{file.name} can't be read: {reason}", where=str(file), to_try=example) from None
    folders = content.get("photos", []) if isinstance(content, dict) else None
    if isinstance(folders, str):
        folders = folders.splitlines()
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        raise InputError(f"{file.name} holds no list of folders under photos", where=str(file), to_try=example)
    roots = [Path(folder.strip()).expanduser() for folder in folders if folder.strip()]
    for root in roots:
        if not root.is_absolute():
            raise InputError(f"{file.name}: {str(root)!r} is no full path", where=str(file), to_try=example)
    return roots


def photo_folders(root: Path, others: Sequence[Path] = ()) -> list[str]:
    """Names, with `/`, of the folders under `root` that hold photos themselves, at most MAX_DEPTH levels below.

    Links are followed where they lead into `root` or into one of `others`.
    """
    names = []
    for folder, folders, files in os.walk(root, followlinks=True):
        name = Path(folder).relative_to(root)
        if not _within(os.path.realpath(folder), [root, *others]):
            folders.clear()
            continue
        visible = sorted(one for one in folders if not one.startswith("."))
        folders[:] = visible if len(name.parts) < MAX_DEPTH else []
        if name.parts and any(Path(file).suffix.lower() in SUFFIXES for file in files):
            names.append(name.as_posix())
    return names
