"""The model families and their published configs: sd1, sd2, sdxl."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ...core.errors import InputError
from ...core.state_files import json_object, read_model_json

Family = Literal["sd1", "sd2", "sdxl"]
Prediction = Literal["epsilon", "v_prediction"]  # what the UNet predicts

FAMILIES = Path(__file__).parent
PARTS = ("unet", "text_encoder", "text_encoder_2")


def configs_of(family: Family) -> dict[str, dict[str, Any]]:
    """Part → its config, as the family's model was published (families/*.json)."""
    published = json.loads((FAMILIES / f"{family}.json").read_text(encoding="utf-8"))
    return {part: published[part] for part in PARTS if part in published}


def configs_in(model: Path) -> dict[str, dict[str, Any]]:
    """Part → its config in a diffusers folder."""
    files = {part: model / part / "config.json" for part in PARTS}
    configs = {part: read_model_json(file, json_object) for part, file in files.items() if file.is_file()}
    if "unet" not in configs:
        raise InputError("this is no diffusers folder with a UNet", where=str(model))
    return configs


def family_of_unet(unet_config: Mapping[str, Any]) -> Family:
    """SDXL has added conditions; SD 2 linear projections; SD 1, and models of its build, neither."""
    if unet_config.get("addition_embed_type") == "text_time":
        return "sdxl"
    return "sd2" if unet_config.get("use_linear_projection") else "sd1"
