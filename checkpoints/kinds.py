"""What a Stable Diffusion on disk is: its family, and what its UNet predicts. Only headers and configs are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..core.state_files import json_object, read_model_json
from .families.configs import Family, Prediction, configs_in, configs_of, family_of_unet
from .single_file import recognised

FAMILY_NAMES: dict[Family, str] = {
    "sd1": "Stable Diffusion 1.x",
    "sd2": "Stable Diffusion 2.x",
    "sdxl": "Stable Diffusion XL",
}
PREDICTION_NAMES: dict[Prediction, str] = {"epsilon": "predicts noise (epsilon)", "v_prediction": "predicts v"}
BUILD = ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim")


@dataclass(frozen=True)
class CheckpointKind:
    """The family of a checkpoint, and what its UNet predicts."""

    family: Family
    prediction: Prediction

    @property
    def text(self) -> str:
        """`Stable Diffusion 2.x, predicts v`."""
        return f"{FAMILY_NAMES[self.family]}, {PREDICTION_NAMES[self.prediction]}"


def kind_of(source: Path) -> CheckpointKind | None:
    """The kind of a single file or a diffusers folder; None for a folder whose UNet is of no published build.

    InputError for a file that is no checkpoint, and for a folder without a UNet.
    """
    if source.is_file():
        return CheckpointKind(*recognised(source))
    unet = configs_in(source)["unet"]
    family = family_of_unet(unet)
    published = configs_of(family)["unet"]
    if any(unet.get(key) != published[key] for key in BUILD):
        return None
    settings = source / "scheduler" / "scheduler_config.json"
    said = read_model_json(settings, json_object) if settings.is_file() else {}
    return CheckpointKind(family, "v_prediction" if said.get("prediction_type") == "v_prediction" else "epsilon")
