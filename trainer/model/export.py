"""A fully tuned model as a diffusers folder that any diffusers opens by itself, and as the one file that hosts take."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...checkpoints.single_file import open_pipeline
from ...core.errors import InputError
from ...core.files import sync_folder
from ...core.library_output import without_bars
from .checkpoint_file import is_published_size, write_checkpoint

if TYPE_CHECKING:
    from .base_model import StableDiffusionParts


def write_model(base: StableDiffusionParts, folder: Path, metadata: Mapping[str, str] | None = None) -> Path | None:
    """The base's folder with the tuned UNet in float16, and beside it `folder`.safetensors with the same weights.

    Each is whole or not there. Returns that file; None for a UNet of a size that hosts do not know. InputError for
    weights that are not finite, also those that float16 would make so; OSError for a full disk.
    """
    import torch
    from safetensors import SafetensorError

    tuned = {name: tensor.half().cpu() for name, tensor in base.unet.state_dict().items()}
    bad = [name for name, tensor in tuned.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise InputError(
            f"the tuned UNet is not finite in {bad[0]} and {len(bad) - 1} more: it is not written",
            to_try="a smaller learning_rate",
        )
    temporary, before = (folder.with_name(f"{folder.name}{part}.{os.getpid()}.tmp") for part in ("", ".before"))
    shutil.rmtree(temporary, ignore_errors=True)
    pipeline = open_pipeline(base.source, torch.float16)
    pipeline.unet.load_state_dict(tuned)
    pipeline.scheduler.register_to_config(prediction_type=base.scheduler_config["prediction_type"])
    try:
        with without_bars():
            pipeline.save_pretrained(temporary, safe_serialization=True)
        for file in temporary.rglob("*"):
            _sync(file)
        if folder.exists():
            folder.replace(before)  # a folder can't take the place of one with files
        temporary.replace(folder)
    except (SafetensorError, OSError) as error:  # safetensors' word for a full disk, too
        if before.exists():
            before.replace(folder)
        shutil.rmtree(temporary, ignore_errors=True)  # gigabytes that the disk may not have
        if isinstance(error, OSError):
            raise
        raise OSError(f"{folder.name}: {error}") from error
    shutil.rmtree(before, ignore_errors=True)
    sync_folder(folder.parent)
    file = folder.with_name(f"{folder.name}.safetensors")
    if not is_published_size(base.family, base.unet.config):
        return None
    write_checkpoint(pipeline, base.family, file, metadata or {})
    return file


def _sync(path: Path) -> None:
    """Makes what is in a file, or the names in a folder, last."""
    if path.is_dir():
        sync_folder(path)
    else:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
