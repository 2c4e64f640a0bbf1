"""Presets: named sets of models and drawing defaults. All presets run the same code."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ..core.errors import InputError, MissingWeights
from ..core.weights import SHORT_NAMES
from ..fashion.framing import Framing

ROOT = Path(__file__).parent.parent


class Preset(BaseModel):
    """Which models draw, tag and judge, and how a picture is drawn by default.

    A model is a hub id, or a folder in the same format (diffusers folder, transformers folder).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    checkpoint: str
    prediction: Literal["epsilon", "v_prediction"] | None = None  # what its UNet predicts; None: as its files say
    encoder: str
    judge: str
    parser: str | None = None  # finds worn garments, where it is on this machine; None: pictures need none
    revisions: dict[str, str] = {}  # model id → hub commit
    framing: Framing = "pad"  # what happens to photos that are not square (fashion/framing.py)
    taxonomy: str
    calibration: str | None = None  # folder with calibration.json and calibration.safetensors; None: generic anchors
    width: int  # pixels
    height: int
    steps: int
    cfg_scale: float
    sampler: str

    def replaced(self, **instead: Any) -> Preset:
        """The preset with some fields changed; raises InputError for a value that a field can't have."""
        for role in ("checkpoint", "encoder", "judge"):
            if instead.get(role) in SHORT_NAMES:
                instead[role] = SHORT_NAMES[instead[role]]
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
        parser=SHORT_NAMES["clothes-parser"],
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
        parser=SHORT_NAMES["clothes-parser"],
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


def preset_of_checkpoint(checkpoint: str) -> Preset | None:
    """The preset whose size, encoder and judge fit a checkpoint on this machine; None where its build is no known one.

    The 768-pixel models of SD 2 are those that predict v.
    """
    from ..checkpoints.kinds import kind_of
    from ..core.weights import locate

    source = locate(checkpoint)
    kind = kind_of(source) if source else None
    if kind is None:
        return None
    if kind.family == "sd2" and kind.prediction == "v_prediction":
        return PRESETS["sd15"].replaced(width=768, height=768)
    return PRESETS["sdxl" if kind.family == "sdxl" else "sd15"]


def missing_weights(chosen: Preset) -> dict[str, str]:
    """Each role whose model is not on this machine → the model's id; empty if the preset is ready to run."""
    from ..core.weights import locate

    models = {"checkpoint": chosen.checkpoint, "encoder": chosen.encoder, "judge": chosen.judge}
    return {role: model for role, model in models.items() if locate(model) is None}


def require_weights(chosen: Preset, *roles: str) -> None:
    """Raises MissingWeights with every model of these roles that is not on this machine."""
    from ..core.weights import how_to_get, hub_cache

    everything = missing_weights(chosen)
    missing = {role: model for role, model in everything.items() if role in roles}
    if missing:
        fetched = {**missing, **{role: model for role, model in everything.items() if role == "judge"}}
        names = " and ".join(f"{model} ({role})" for role, model in missing.items())
        raise MissingWeights(
            f"the preset {chosen.name} needs {names}, not on this machine",
            where=f"looked in {hub_cache()}",
            to_try=f"{how_to_get(*fetched.values())}; or --preset mini, which needs no download",
        )


def default_preset(needed: Collection[str] = ("checkpoint", "encoder")) -> Preset:
    """`sd15` on a machine that has its weights of the roles `needed`, else the embedded `mini`."""
    missing = missing_weights(PRESETS["sd15"])
    return PRESETS["mini"] if missing.keys() & set(needed) else PRESETS["sd15"]
