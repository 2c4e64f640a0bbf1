"""The weights of a whole model on disk, module by module: a diffusers folder or a host's single checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...checkpoints.families.configs import Family
from ...core.errors import InputError
from ...core.files import TEMPORARY, sync_folder
from ...core.state_files import read_model_json
from .file import read_tensors
from .names import checkpoint_slot, live_path, text_path

if TYPE_CHECKING:
    import torch

Change = Callable[["torch.Tensor"], "torch.Tensor"]
PART_FILES = {"unet": "diffusion_pytorch_model", "text_encoder": "model", "text_encoder_2": "model"}


def part_weights(folder: Path, part: str) -> dict[str, torch.Tensor]:
    """Path → weight of each module of a diffusers folder's part, paths as in `LoraModule`; biases are left out."""
    weights = {}
    for file in part_files(folder, part):
        for key, tensor in read_tensors(file)[0].items():
            if key.endswith(".weight"):
                path = key.removesuffix(".weight")
                weights[path if part == "unet" else text_path(path)] = tensor
    return weights


def part_files(folder: Path, part: str) -> list[Path]:
    """The part's safetensors files, in shards or whole; of variants the full one, else fp16."""
    stem = PART_FILES[part]
    for name in (stem, f"{stem}.fp16"):
        whole, index = folder / part / f"{name}.safetensors", folder / part / f"{name}.safetensors.index.json"
        if whole.is_file():
            return [whole]
        if index.is_file():
            shards = read_model_json(index, lambda content: sorted(set(content["weight_map"].values())))
            return [folder / part / shard for shard in shards]
    raise InputError(f"there are no safetensors weights of {part}", where=str(folder / part), to_try="check the folder")


def change_folder(folder: Path, part: str, changes: Mapping[str, Change]) -> None:
    """Replaces weights of a part in place, file by file; InputError for a path that none of them has."""
    missing = dict(changes)
    for file in part_files(folder, part):
        tensors, metadata = read_tensors(file)
        for path, change in changes.items():
            here = live_path(f"{path}.weight", tensors)
            if here is not None:
                tensors[here] = change(tensors[here])
                missing.pop(path, None)
        save_whole(tensors, file, metadata)
    _all_found(missing, folder / part)


def change_checkpoint(source: Path, out: Path, family: Family, changes: Mapping[tuple[str, str], Change]) -> None:
    """Writes a host's single checkpoint with (part, path) → weight changed; q, k, v may be thirds of one tensor."""
    import torch

    tensors, metadata = read_tensors(source)
    missing = []
    for (part, path), change in changes.items():
        slot = checkpoint_slot(family, part, path)
        if slot.key not in tensors:
            missing.append(slot.key)
            continue
        whole = tensors[slot.key]
        if slot.third is None:
            tensors[slot.key] = change(whole)
        else:
            thirds = list(whole.chunk(3))
            thirds[slot.third] = change(thirds[slot.third])
            tensors[slot.key] = torch.cat(thirds)
    _all_found(missing, source)
    save_whole(tensors, out, metadata)


def save_whole(tensors: Mapping[str, torch.Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Streams gigabytes into a temporary beside `path`, then replaces it."""
    from safetensors.torch import save_file

    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, temporary, dict(metadata) or None)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _all_found(missing: Mapping[str, Change] | list[str], where: Path) -> None:
    if missing:
        raise InputError(f"this model has no {next(iter(missing))} ({len(missing)} are missing)", where=str(where))
