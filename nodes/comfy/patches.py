"""Refuses a LoRA that changes nothing in the graph's models; ComfyUI itself only logs what does not fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...core.errors import InputError


def refuse_unfit_lora(model: Any, clip: Any, lora: Mapping[str, Any]) -> None:
    """InputError where no module of a LoRA (tensors by key) fits a weight of the model or its text encoder."""
    import comfy.lora
    import comfy.lora_convert

    names = comfy.lora.model_lora_keys_unet(model.model, {})
    names = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, names)
    patches = comfy.lora.load_lora(comfy.lora_convert.convert_lora(dict(lora)), names, log_missing=False)
    weights = {**model.model.state_dict(), **clip.cond_stage_model.state_dict()}
    if not fitting(patches, {name: tuple(weight.shape) for name, weight in weights.items()}):
        modules = len({key.partition(".")[0] for key in lora})
        raise InputError(
            f"the LoRA changes nothing in this model: none of its {modules} modules fits a layer",
            to_try="a LoRA that was trained on a model of the same family, or that model's checkpoint",
        )


def fitting(patches: Mapping[Any, Any], shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many of the host's patches (by a weight's name, or by name and part) fit the shape of their weight.

    Of a LoRA's factors up [out, rank] and down [rank, in, …] the shapes are compared; other kinds count as fitting.
    """
    count = 0
    for target, patch in patches.items():
        whole = isinstance(target, str)
        count += _fits(patch, shapes.get(target if whole else target[0]), whole)
    return count


def _fits(patch: Any, shape: tuple[int, ...] | None, whole: bool) -> bool:
    if shape is None:
        return False
    factors = getattr(patch, "weights", ())
    if getattr(patch, "name", "") != "lora" or (len(factors) > 3 and factors[3] is not None):
        return True
    up, down = factors[0], factors[1]
    rows = up.shape[0] == shape[0] if whole else up.shape[0] <= shape[0]
    return rows and math.prod(down.shape[1:]) == math.prod(shape[1:])


def refuse_unchanged(base: Any, tuned: Any) -> None:
    """InputError where the tuned model is the base itself: same weights, and no patch or option beside."""
    if tuned.model is base.model and _changes(tuned) == _changes(base):
        raise InputError(
            "the tuned model is its base: nothing was changed on the way to it",
            to_try="a LoRA of this model's family (ComfyUI's log says `lora key not loaded` where none of it fits)",
        )


def _changes(model: Any) -> tuple[Any, ...]:
    """The patched weights with their number of patches, other patches, and options of a ModelPatcher."""
    patches = {name: len(each) for name, each in model.patches.items()}
    options = {name: repr(value) for name, value in model.model_options.items()}
    return patches, sorted(model.object_patches), options
