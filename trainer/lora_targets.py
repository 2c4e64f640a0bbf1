"""Every layer that a LoRA could sit on: what the readers' names are counted from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..torchvision_ops import heal
from .lora_names import Family, UNetLayout, text_path

if TYPE_CHECKING:
    import torch

FAMILIES = Path(__file__).parent / "families"
PARTS = ("unet", "text_encoder", "text_encoder_2")


@dataclass(frozen=True)
class Targets:
    """`shapes`: part → path → shape of the weight of each Linear and Conv2d."""

    family: Family
    layout: UNetLayout
    shapes: Mapping[str, Mapping[str, tuple[int, ...]]]
    configs: Mapping[str, Mapping[str, Any]]


def configs_of(family: Family) -> dict[str, dict[str, Any]]:
    """Part → its config, as the family's model was published (families/*.json)."""
    published = json.loads((FAMILIES / f"{family}.json").read_text(encoding="utf-8"))
    return {part: published[part] for part in PARTS if part in published}


def configs_in(model: Path) -> dict[str, dict[str, Any]]:
    """Part → its config in a diffusers folder."""
    found = {part: model / part / "config.json" for part in PARTS}
    configs = {part: json.loads(file.read_text(encoding="utf-8")) for part, file in found.items() if file.is_file()}
    if "unet" not in configs:
        raise InputError("this is no diffusers folder with a UNet", where=str(model))
    return configs


def family_of_unet(unet_config: Mapping[str, Any]) -> Family:
    """SDXL has added conditions; SD 2 linear projections; SD 1, and models of its build, neither."""
    if unet_config.get("addition_embed_type") == "text_time":
        return "sdxl"
    return "sd2" if unet_config.get("use_linear_projection") else "sd1"


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
    heal()
    import torch
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    with torch.device("meta"):
        if part == "unet":
            return UNet2DConditionModel.from_config({key: one for key, one in config.items() if key[0] != "_"})
        projected = "CLIPTextModelWithProjection" in config.get("architectures", ())
        own = {key: one for key, one in config.items() if key not in ("architectures", "model_type")}
        return (CLIPTextModelWithProjection if projected else CLIPTextModel)(CLIPTextConfig(**own))


def _targets(family: Family, configs: Mapping[str, Mapping[str, Any]]) -> Targets:
    import torch

    shapes = {}
    for part, config in configs.items():
        layers = empty_model(part, config).named_modules()
        shapes[part] = {
            name if part == "unet" else text_path(name): tuple(layer.weight.shape)
            for name, layer in layers
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
        }
    return Targets(family, UNetLayout.of(configs["unet"]), shapes, configs)
