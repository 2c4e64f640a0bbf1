"""The checkpoint files that ComfyUI and A1111 keep on this machine, and the one that a bare name means.

A root is given by an option or by MODISTE_COMFYUI and MODISTE_WEBUI (several: separated like PATH); Modiste inside a
host's custom_nodes/ or extensions/ knows that host besides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InputError

MODISTE = Path(__file__).parent.parent
VARIABLES = {"comfyui": "MODISTE_COMFYUI", "a1111": "MODISTE_WEBUI"}
EXTENSION_FOLDERS = {"comfyui": "custom_nodes", "a1111": "extensions"}
CHECKPOINTS = {"comfyui": "models/checkpoints", "a1111": "models/Stable-diffusion"}
EXTRA_PATHS = "extra_model_paths.yaml"
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class CheckpointFolder:
    """A folder of checkpoints, and whose it is: comfyui | a1111."""

    host: str
    path: Path


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint by the name that its host shows: the path below the folder, with `/`."""

    host: str
    name: str
    path: Path


def checkpoint_folders(comfyui: Sequence[Path] = (), webui: Sequence[Path] = ()) -> list[CheckpointFolder]:
    """The folders of the given roots, else of the environment's; InputError for a root that is none."""
    folders = []
    for host, given in (("comfyui", comfyui), ("a1111", webui)):
        for root in given or _known_roots(host):
            if not root.is_dir():
                raise InputError(
                    "there is no such folder", where=str(root), to_try=f"check the path or {VARIABLES[host]}"
                )
            places = [root / CHECKPOINTS[host], *(_extra_folders(root / EXTRA_PATHS) if host == "comfyui" else ())]
            folders += [CheckpointFolder(host, place) for place in places if place.is_dir()]
    unique = {folder.path.resolve(): folder for folder in reversed(folders)}  # the first of a place keeps it
    return [folder for folder in folders if unique[folder.path.resolve()] is folder]


def _known_roots(host: str) -> list[Path]:
    roots = [Path(part).expanduser() for part in os.environ.get(VARIABLES[host], "").split(os.pathsep) if part]
    if not roots and MODISTE.parent.name == EXTENSION_FOLDERS[host]:
        roots = [MODISTE.parent.parent]
    return roots


def _extra_folders(file: Path) -> list[Path]:
    """The checkpoint folders of ComfyUI's extra_model_paths.yaml, as its utils/extra_config.py reads it."""
    if not file.is_file():
        return []
    import yaml

    try:
        sections = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        return [folder for section in sections.values() if section for folder in _folders_of(section, file.parent)]
    except (yaml.YAMLError, AttributeError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"this can't be read as ComfyUI's extra paths: {reason}", where=str(file)) from error


def _folders_of(section: dict[str, Any], here: Path) -> Iterator[Path]:
    base = os.path.expandvars(str(section.get("base_path") or ""))
    for line in str(section.get("checkpoints") or "").splitlines():
        if line.strip():
            yield (here / Path(base).expanduser() / line.strip()).resolve()


def checkpoint_files(folders: Sequence[CheckpointFolder]) -> list[CheckpointFile]:
    """Every .safetensors in these folders and below, links followed, in the order of folders and names."""
    files = []
    for folder in folders:
        visited = set()
        for place, below, names in os.walk(folder.path, followlinks=True):
            real = Path(place).resolve()
            below[:] = sorted(below) if real not in visited else []
            visited.add(real)
            paths = [Path(place) / name for name in sorted(names) if name.lower().endswith(SUFFIX)]
            files += [CheckpointFile(folder.host, path.relative_to(folder.path).as_posix(), path) for path in paths]
    return files


def named_checkpoint(name: str) -> Path | None:
    """The checkpoint that `name` means: its path below a folder, its file name, or that without the suffix.

    None where there is none; InputError where several files have the name.
    """
    wanted = name.replace("\\", "/").lower()
    files = checkpoint_files(checkpoint_folders())
    for form in (_whole, _base, _stem):
        matching = list(dict.fromkeys(file.path.resolve() for file in files if form(file.name.lower()) == wanted))
        if len(matching) > 1:
            raise InputError(
                f"{len(matching)} checkpoints are called {name!r}: {', '.join(map(str, matching))}",
                to_try="one of these paths",
            )
        if matching:
            return matching[0]
    return None


def _whole(name: str) -> str:
    return name


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _stem(name: str) -> str:
    return _base(name).removesuffix(SUFFIX)
