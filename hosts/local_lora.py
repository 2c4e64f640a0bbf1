"""A LoRA file → an adapter of a diffusers pipeline; one of another model is named instead of raised at from within."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.library_output import suppress_log
from .errors import LoraWithoutEffect

NO_MODULE = "not found in the base model"  # peft's error where none of the file's modules is one of the model's


def load_adapter(pipeline: Any, lora: Path, name: str, model: str) -> None:
    """Loads `lora` as the adapter `name`; `model` is what messages call the pipeline's.

    InputError for a file of another size, LoraWithoutEffect for one whose modules the model does not have at all.
    """
    with (
        warnings.catch_warnings(),
        # Several adapters in one model are meant, and a LoRA without a text encoder is no mistake.
        suppress_log("diffusers.loaders.lora_base", "No LoRA keys associated"),
        suppress_log("diffusers.loaders.peft", "No LoRA keys associated"),
        suppress_log("diffusers.loaders.peft", "Loading "),
    ):
        warnings.filterwarnings("ignore", "Already found a `peft_config`", UserWarning)
        try:
            pipeline.load_lora_weights(lora.parent, weight_name=lora.name, adapter_name=name)
        except RuntimeError as error:
            if "size mismatch" not in str(error):
                raise
            raise InputError(
                f"this LoRA is for a model of other sizes than {model}",
                where=str(lora),
                to_try="the --checkpoint that it was trained on",
            ) from None
        except ValueError as error:
            if NO_MODULE not in str(error):
                raise
            raise _without_effect(lora, model) from None
    if not any(name in adapters for adapters in pipeline.get_list_adapters().values()):
        raise _without_effect(lora, model)


def _without_effect(lora: Path, model: str) -> LoraWithoutEffect:
    return LoraWithoutEffect(
        f"no module of this LoRA is one of {model}'s: it changes nothing",
        where=str(lora),
        to_try="the model that it was trained on; `lora inspect FILE` says what it holds",
    )
