"""The trainer node's widgets → the trainer's config."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...models.presets import PRESETS
from ...routes.finetune.finetune import DEFAULTS, config_for
from ..choices import METHODS, RECIPES
from .options import refuse_contradictions, require_optimizer

if TYPE_CHECKING:
    from ...models.presets import Preset
    from ...trainer.config import TrainConfig

DEFAULT_RANK = 16
XL_ONLY = "conditioner.embedders.1."  # the second text encoder of a checkpoint file
TEXT_ENCODER = "cond_stage_model."  # of a checkpoint file of Stable Diffusion 1 and 2
OTHER_FAMILIES = {
    "double_blocks.": "FLUX",
    "joint_blocks.": "Stable Diffusion 3",
    "conditioner.": "the refiner of Stable Diffusion XL",
    "diffusion_model.": "a model without text encoders",
}
EXAMPLE = 'for example {"data": {"flip": true}}'


@dataclass(frozen=True)
class TrainingWidgets:
    """The values of the node's widgets; 0 takes the base's default."""

    recipe: str = "standard"
    method: str = "lora"
    rank: int = DEFAULT_RANK
    steps: int = 0
    learning_rate: float = 0.0
    resolution: int = 0  # pixels
    trigger: str = ""
    seed: int = 0
    name: str = "fashion"
    device: str = "auto"
    config: str = ""  # JSON, which overrides the fields above
    options: Mapping[str, Any] = field(default_factory=dict)  # from Training Options, which override them too


def config_of(options: TrainingWidgets, preset: Preset, folders: Sequence[Path]) -> TrainConfig:
    """The trainer's config from the options; InputError names each wrong field."""
    if options.recipe not in RECIPES or options.method not in METHODS:
        raise InputError(
            f"there is no recipe {options.recipe!r} with method {options.method!r}",
            to_try=f"recipes: {', '.join(RECIPES)}; methods: {', '.join(METHODS)}",
        )
    if not math.isfinite(options.learning_rate):
        raise InputError(f"learning_rate is {options.learning_rate}", to_try="0 takes what suits the base")
    fields = {
        "steps": options.steps or round(RECIPES[options.recipe] * DEFAULTS[preset.name]["steps"]),
        "learning_rate": options.learning_rate or None,
        "network": {"kind": options.method, "rank": options.rank, "alpha": float(options.rank)},
        "data": {"resolution": options.resolution or None, "trigger": options.trigger.strip()},
        "seed": options.seed,
        "title": options.name,
        "device": options.device,
    }
    if _rank_of(options.options) not in (0, options.rank) and options.rank != DEFAULT_RANK:
        raise InputError(
            f"rank is {options.rank} in LoRA Trainer and {_rank_of(options.options)} in Training Options",
            to_try=f"{DEFAULT_RANK} in LoRA Trainer, as it came, or 0 in Training Options",
        )
    given = json_object(options.config)
    refuse_contradictions(options.options, given)
    config = config_for(preset, folders, fields, dict(options.options), given)
    require_optimizer(config.optimizer)
    if config.method != "lora":
        raise InputError(
            f"config: method {config.method!r} gives no LoRA", to_try="python harness.py finetune --method full"
        )
    return config


def _rank_of(options: Mapping[str, Any]) -> int:
    """The rank in Training Options, 0 where it is left to the trainer."""
    return options.get("network", {}).get("rank", 0)


def json_object(text: str) -> dict[str, Any]:
    """The JSON object in the `config` widget, {} for ""; InputError where it is none, or holds NaN or infinity."""
    if not text.strip():
        return {}
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise InputError(f"config is no JSON: {error}", to_try=EXAMPLE) from None
    if not isinstance(value, dict):
        raise InputError("config is not a JSON object", to_try=EXAMPLE)
    return value


def _refuse_constant(name: str) -> None:
    raise InputError(f"config holds {name}, which is no number", to_try="a finite number")


def preset_for(checkpoint: Path) -> Preset:
    """The preset that fits a checkpoint file: sdxl where it has SDXL's second text encoder, else sd15.

    InputError for another family's, and for a file without text encoders.
    """
    from safetensors import SafetensorError, safe_open

    if checkpoint.suffix != ".safetensors":
        raise InputError(
            "a base to train on is a .safetensors (pickled ones are not opened)",
            where=str(checkpoint),
            to_try="convert it with a tool that you trust, or choose another checkpoint",
        )
    try:
        with safe_open(checkpoint, "pt") as tensors:
            names = list(tensors.keys())
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"the checkpoint can't be read, it is damaged or no safetensors file ({error})",
            where=str(checkpoint),
            to_try="download it again, or choose another checkpoint",
        ) from error
    xl = any(name.startswith(XL_ONLY) for name in names)
    if not xl and not any(name.startswith(TEXT_ENCODER) for name in names):
        family = next((family for part, family in OTHER_FAMILIES.items() if any(part in name for name in names)), "")
        raise InputError(
            f"the checkpoint is no Stable Diffusion 1, 2 or XL{family and f', it looks like {family}'}: no LoRA is "
            "trained on it here",
            where=str(checkpoint),
            to_try="choose one of those families, with its text encoder inside; Scorer, Judge and Prompt Candidates "
            "take pictures of any model",
        )
    return PRESETS["sdxl" if xl else "sd15"].replaced(checkpoint=str(checkpoint))


def slug(name: str) -> str:
    """`Été 2026/coats` → `Été-2026-coats`: a valid file name on every system, at most 60 characters."""
    return re.sub(r"[^\w-]+", "-", name).strip("-_")[:60] or "fashion"
