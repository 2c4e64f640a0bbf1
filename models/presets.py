"""Presets: named sets of models and drawing defaults. All presets run the same code."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..core.errors import InputError, MissingWeights
from ..fashion.framing import Framing

ROOT = Path(__file__).parent.parent


class Preset(BaseModel):
    """Which models draw, tag and judge, and how a picture is drawn by default.

    A model is a hub id, or a folder in the same format (diffusers folder, transformers folder).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    checkpoint: str
    encoder: str
    judge: str
    revisions: dict[str, str] = {}  # model id → hub commit
    framing: Framing = "pad"  # what happens to photos that are not square (fashion/framing.py)
    taxonomy: str
    calibration: str | None = None  # folder with calibration.json and calibration.safetensors; None: generic anchors
    width: int  # pixels
    height: int
    steps: int
    cfg_scale: float
    sampler: str

    def replaced(self, **instead: str) -> Preset:
        """The preset with some fields changed; raises InputError for a value that a field can't have."""
        try:
            return Preset.model_validate({**self.model_dump(), **instead})
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"{first['loc'][0]} can't be {first['input']!r}: {first['msg']}") from None

    @property
    def measured(self) -> bool:
        """Whether `calibration` was measured with this encoder and framing, and so holds for its scores."""
        shipped = PRESETS[self.name]
        return self.calibration is not None and (self.encoder, self.framing) == (shipped.encoder, shipped.framing)


MINI_WEIGHTS = ROOT / "mini" / "weights"

PRESETS = {
    "mini": Preset(
        name="mini",
        checkpoint=str(MINI_WEIGHTS / "sd"),
        encoder=str(MINI_WEIGHTS / "clip"),
        judge=str(MINI_WEIGHTS / "judge"),
        taxonomy="mini",
        calibration=str(MINI_WEIGHTS),
        width=64,
        height=64,
        steps=16,
        cfg_scale=4.0,
        sampler="DPM++ 2M",
    ),
    "sd15": Preset(
        name="sd15",
        checkpoint="stable-diffusion-v1-5/stable-diffusion-v1-5",
        encoder="patrickjohncyh/fashion-clip",
        judge="facebook/dinov2-base",
        taxonomy="garments",
        width=512,
        height=512,
        steps=20,
        cfg_scale=7.0,
        sampler="DPM++ 2M",
    ),
    "sdxl": Preset(
        name="sdxl",
        checkpoint="stabilityai/stable-diffusion-xl-base-1.0",
        encoder="patrickjohncyh/fashion-clip",
        judge="facebook/dinov2-base",
        taxonomy="garments",
        width=1024,
        height=1024,
        steps=25,
        cfg_scale=6.0,
        sampler="DPM++ 2M",
    ),
}


def preset(name: str) -> Preset:
    """The preset of that name; raises InputError, with all names, if there is none."""
    if name not in PRESETS:
        raise InputError(f"there is no preset {name!r}", to_try=f"choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def missing_weights(chosen: Preset) -> dict[str, str]:
    """Each role whose model is not on this machine → the model's id; empty if the preset is ready to run."""
    from ..core.weights import locate

    models = {"checkpoint": chosen.checkpoint, "encoder": chosen.encoder, "judge": chosen.judge}
    return {role: model for role, model in models.items() if locate(model) is None}


def require_weights(chosen: Preset, *roles: str) -> None:
    """Raises MissingWeights with every model of these roles that is not on this machine."""
    from ..core.weights import download_command, hub_cache

    missing = {role: model for role, model in missing_weights(chosen).items() if role in roles}
    if missing:
        names = " and ".join(f"{model} ({role})" for role, model in missing.items())
        gets = ", ".join(f"`{download_command(model)}`" for model in missing.values())
        raise MissingWeights(
            f"the preset {chosen.name} needs {names}, not on this machine",
            where=f"looked in {hub_cache()}",
            to_try=f"{gets}; or --preset mini, which needs no download",
        )


def default_preset(needed: Collection[str] = ("checkpoint", "encoder")) -> Preset:
    """`sd15` on a machine that has its weights of the roles `needed`, else the embedded `mini`."""
    missing = missing_weights(PRESETS["sd15"])
    return PRESETS["mini"] if missing.keys() & set(needed) else PRESETS["sd15"]
