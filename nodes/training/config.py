"""What a designer chooses → what the trainer is asked for."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...models.presets import PRESETS
from ...routes.finetune.finetune import DEFAULTS, config_for
from ..choices import METHODS, RECIPES

if TYPE_CHECKING:
    from ...models.presets import Preset
    from ...trainer.config import TrainConfig

XL_ONLY = "conditioner.embedders.1."  # the second text encoder of a checkpoint file
EXAMPLE = 'for example {"data": {"flip": true}}'


@dataclass(frozen=True)
class Wish:
    """The trainer's widgets; 0 means what suits the base."""

    recipe: str = "standard"
    method: str = "lora"
    rank: int = 16
    steps: int = 0
    learning_rate: float = 0.0
    resolution: int = 0  # pixels
    trigger: str = ""
    seed: int = 0
    name: str = "fashion"
    device: str = "auto"
    config: str = ""  # JSON, which comes before the fields above


def config_of(wish: Wish, preset: Preset, folders: Sequence[Path]) -> TrainConfig:
    """The trainer's config; InputError names each field that is wrong."""
    if wish.recipe not in RECIPES or wish.method not in METHODS:
        raise InputError(
            f"there is no recipe {wish.recipe!r} with method {wish.method!r}",
            to_try=f"recipes: {', '.join(RECIPES)}; methods: {', '.join(METHODS)}",
        )
    if not math.isfinite(wish.learning_rate):
        raise InputError(f"learning_rate is {wish.learning_rate}", to_try="0 takes what suits the base")
    asked = {
        "steps": wish.steps or round(RECIPES[wish.recipe] * DEFAULTS[preset.name]["steps"]),
        "learning_rate": wish.learning_rate or None,
        "network": {"kind": wish.method, "rank": wish.rank, "alpha": float(wish.rank)},
        "data": {"resolution": wish.resolution or None, "trigger": wish.trigger.strip()},
        "seed": wish.seed,
        "title": wish.name,
        "device": wish.device,
    }
    config = config_for(preset, folders, asked, json_object(wish.config))
    if config.method != "lora":
        raise InputError(
            f"config: method {config.method!r} gives no LoRA", to_try="python harness.py finetune --method full"
        )
    return config


def json_object(text: str) -> dict[str, Any]:
    """What the `config` widget holds; "" is nothing. InputError where it is no JSON object of finite numbers."""
    if not text.strip():
        return {}
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise InputError(f"config is no JSON: {error}", to_try=EXAMPLE) from None
    if not isinstance(found, dict):
        raise InputError("config is not a JSON object", to_try=EXAMPLE)
    return found


def _refuse_constant(name: str) -> None:
    raise InputError(f"config holds {name}, which is no number", to_try="a finite number")


def preset_for(checkpoint: Path) -> Preset:
    """Drawing and training defaults that fit a checkpoint file, told by the text encoders in it."""
    from safetensors import SafetensorError, safe_open

    if checkpoint.suffix != ".safetensors":
        raise InputError(
            "a base to train on is a .safetensors (pickled ones are not opened)",
            where=str(checkpoint),
            to_try="convert it with a tool that you trust, or choose another checkpoint",
        )
    try:
        with safe_open(checkpoint, "pt") as tensors:
            xl = any(name.startswith(XL_ONLY) for name in tensors.keys())
    except (SafetensorError, OSError) as error:
        raise InputError(f"the checkpoint can't be read: {error}", where=str(checkpoint)) from error
    return PRESETS["sdxl" if xl else "sd15"].replaced(checkpoint=str(checkpoint))


def slug(name: str) -> str:
    """`Été 2026/coats` → `Été-2026-coats`: a file name on every system, whatever somebody wrote."""
    return re.sub(r"[^\w-]+", "-", name).strip("-_")[:60] or "fashion"
