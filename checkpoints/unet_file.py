"""A UNet's file → its weights in another format, without both in memory at once.

A file that is mapped counts as memory for as long as it is mapped: SD 1.5 from float32 into bfloat16 peaks at 5.4 GB
when it is opened whole, and at 2.9 GB like this.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

UNET_FILE = "diffusion_pytorch_model.safetensors"  # diffusers' name of a model in one file


HALF_UNET_FILE = "diffusion_pytorch_model.fp16.safetensors"


def read_unet(folder: Path, dtype: torch.dtype) -> Any | None:
    """diffusers' UNet in `dtype`; None for a folder whose UNet is in several files. RuntimeError where keys differ."""
    import torch
    from diffusers import UNet2DConditionModel
    from safetensors import safe_open

    file = next((folder / name for name in (UNET_FILE, HALF_UNET_FILE) if (folder / name).is_file()), None)
    if file is None:
        return None
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder))
    with safe_open(file, "pt") as tensors:
        names = list(tensors.keys())
    weights = {}
    for name in names:
        with safe_open(file, "pt") as tensors:  # anew for each, so that the last one's pages are given back
            weights[name] = tensors.get_tensor(name).to(dtype)
    unet.load_state_dict(weights, assign=True)
    return unet
