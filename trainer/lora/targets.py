"""Every layer that a LoRA could sit on: what the readers' names are counted from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...checkpoints.families.configs import Family, configs_in, configs_of, family_of_unet
from ...core.torchvision_ops import patch_torchvision_ops
from .names import UNetLayout, text_path

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Targets:
    """`shapes`: part → path → shape of the weight of each Linear and Conv2d; `norms`: of each norm, (channels,)."""

    family: Family
    layout: UNetLayout
    shapes: Mapping[str, Mapping[str, tuple[int, ...]]]
    norms: Mapping[str, Mapping[str, tuple[int, ...]]]
    configs: Mapping[str, Mapping[str, Any]]


@cache
def targets_of(family: Family) -> Targets:
    """Of the published model."""
    return _targets(family, configs_of(family))


def targets_in(model: Path) -> Targets:
    """Of a diffusers folder, such as the embedded preset's."""
    configs = configs_in(model)
    return _targets(family_of_unet(configs["unet"]), configs)


def empty_model(part: str, config: Mapping[str, Any]) -> torch.nn.Module:
    """A part without weights: it takes no memory, and adapters can be put on it."""
    patch_torchvision_ops()
    import torch
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    with torch.device("meta"):
        if part == "unet":
            settings = {key: value for key, value in config.items() if key[0] != "_"}
            unet: torch.nn.Module = UNet2DConditionModel.from_config(settings)
            return unet
        projected = "CLIPTextModelWithProjection" in config.get("architectures", ())
        settings = {key: value for key, value in config.items() if key not in ("architectures", "model_type")}
        return (CLIPTextModelWithProjection if projected else CLIPTextModel)(CLIPTextConfig(**settings))


def _targets(family: Family, configs: Mapping[str, Mapping[str, Any]]) -> Targets:
    import torch

    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    norms: dict[str, dict[str, tuple[int, ...]]] = {}
    for part, config in configs.items():
        shapes[part], norms[part] = {}, {}
        for name, layer in empty_model(part, config).named_modules():
            path = name if part == "unet" else text_path(name)
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
                shapes[part][path] = tuple(layer.weight.shape)
            elif isinstance(layer, torch.nn.LayerNorm | torch.nn.GroupNorm) and layer.weight is not None:
                norms[part][path] = tuple(layer.weight.shape)
    return Targets(family, UNetLayout.of(configs["unet"]), shapes, norms, configs)
