"""A trained LoRA → the folder that every loader lists, under a unique name; every tensor is checked to load."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import InputError, ModisteError
from ...core.files import make_folder, write_whole
from ...trainer.lora.verify import verify

if TYPE_CHECKING:
    import torch

NAME_DIGITS = 8
READER = "ComfyUI"


class KeysWouldBeLost(ModisteError):
    """A loader would ignore a part of the file without an error."""

    exit_code = 4


def publish(trained: Path, folder: Path, name: str) -> Path:
    """Copies the file to `folder`/NAME-DIGEST.safetensors and reads it back.

    ComfyUI caches loaded LoRAs by path: new content under an old name would not be loaded.
    """
    data = trained.read_bytes()
    target = folder / f"{name}-{hashlib.sha256(data).hexdigest()[:NAME_DIGITS]}.safetensors"
    if not target.is_file():
        make_folder(folder)
        write_whole(target, data)
    if target.read_bytes() != data:
        raise InputError("the LoRA does not read back as it was written", where=str(target), to_try="look at the disk")
    return target


def listed_name(file: Path, folders: Collection[Path]) -> str:
    """The file's name as loaders list it: relative to the folder that is searched."""
    folder = next((root for root in folders if file.is_relative_to(root)), file.parent)
    return str(file.relative_to(folder))


def refuse_lost_keys(file: Path, base: Path | None, host_names: Collection[str] | None = None) -> str:
    """Raises KeysWouldBeLost unless ComfyUI applies every tensor; returns a sentence about what it applies.

    `base`: the diffusers folder that the LoRA is for, None for the published model of its family. `host_names`: the
    keys that the running host knows for the UNet, None where no model is connected.
    """
    report = next(result for result in verify(file, base) if result.reader == READER)
    unmatched = list(report.unmatched)
    if host_names is not None:
        unmatched += [key for key in keys_of(file) if not key.startswith("lora_te") and not _known(key, host_names)]
    if unmatched or report.applied != report.modules:
        keys = ", ".join(sorted(set(unmatched))[:3])
        raise KeysWouldBeLost(
            f"{READER} would leave out {len(set(unmatched))} keys of the LoRA: {keys}",
            where=str(file),
            to_try="report it with the file's base model; the run's folder keeps the weights",
        )
    notes = "".join(f"; {note}" for note in report.notes)
    return f"all {report.modules} modules load in {READER}{notes}"


def _known(key: str, names: Collection[str]) -> bool:
    return key.partition(".")[0] in names


def keys_of(file: Path) -> list[str]:
    """Names of the file's tensors; no tensor is read."""
    from safetensors import safe_open

    with safe_open(file, "pt") as tensors:
        return list(tensors.keys())


def tensors_of(file: Path) -> dict[str, torch.Tensor]:
    """The file's tensors by key, as a LORA_MODEL link carries them."""
    from safetensors.torch import load_file

    return load_file(file)


def loss_map(losses: list[float]) -> dict[str, list[float]]:
    """The losses as a LOSS_MAP link carries them; a flat loss gets a tiny range, as ComfyUI divides by it."""
    if len(set(losses)) > 1:
        return {"loss": losses}
    last = losses[-1] if losses else 0.0
    return {"loss": [*losses, last, last * (1 + 1e-6) + 1e-9]}
