"""A LoRA or a whole model on the disk, and what is known of its making."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...core.state_files import json_object, read_state
from ...trainer.results import RECORD
from ...trainer.run import STEP_FILES
from .lora_content import refuse_no_lora

REPAIR = "copy the file again from where the model was trained, or take it away: then no photo counts as trained on"

if TYPE_CHECKING:
    from ...fashion.photos import Photo


@dataclass(frozen=True)
class TunedModel:
    """A LoRA or a whole model, and what is known of its making. `trained_on`: sha256 of photos, None: nobody knows."""

    file: Path
    kind: str  # lora | model
    identity: str
    trigger: str = ""
    record: dict[str, Any] | None = None  # train.json
    trained_on: frozenset[str] | None = None


def open_tuned(file: Path, trigger: str | None = None, any_model: bool = False) -> TunedModel:
    """A file or folder with the train.json beside it, where there is one; InputError for anything else.

    `any_model`: also a LoRA of a model beyond Stable Diffusion 1, 2 and XL, for hosts that draw with those.
    """
    kind, identity, named_trigger = _kind_of(file, any_model)
    record = _record_of(file)
    train_record = read_state(record, _as_record, REPAIR) if record.is_file() else None
    config = train_record["config"] if train_record else {"data": {"trigger": named_trigger, "folders": []}}
    known = _contents(map(Path, config["data"]["folders"])) if train_record else {}
    held_out = {str(Path(path)) for path in train_record["photos"]["held_out"]} if train_record else set()
    trained_on = frozenset(sha256 for path, sha256 in known.items() if path not in held_out)
    word = config["data"]["trigger"] if trigger is None else trigger
    return TunedModel(file, kind, identity, word, train_record, trained_on if known else None)


def _record_of(file: Path) -> Path:
    """The train.json beside a file; of one that a training kept on its way, that of the training."""
    beside = file.parent / RECORD
    return file.parent.parent / RECORD if file.parent.name == STEP_FILES and not beside.is_file() else beside


def _as_record(content: Any) -> dict[str, Any]:
    """The content of a train.json: a form for `read_state`."""
    data, held_out = json_object(content)["config"]["data"], content["photos"]["held_out"]
    if not (isinstance(data["trigger"], str) and isinstance(data["folders"], list) and isinstance(held_out, list)):
        raise ValueError("it does not say what was trained on")
    return json_object(content)


def _kind_of(file: Path, any_model: bool) -> tuple[str, str, str]:
    """Kind, digest of the weights, and the trigger that the metadata names."""
    if (file / "model_index.json").is_file():
        from ...hosts.local import LocalHost

        return "model", LocalHost(str(file), device="cpu").checkpoint_hash, ""
    if file.is_file() and file.suffix == ".safetensors":
        from ...trainer.lora.file import model_hash_of, read_lora, read_tensors
        from ...trainer.lora.state import refuse_unusable

        if any_model:
            metadata = read_tensors(file)[1]
            refuse_no_lora(file)
        else:
            lora = read_lora(file)
            refuse_unusable(lora, str(file))
            metadata = lora.metadata
        return "lora", model_hash_of(file.read_bytes())[:16], metadata.get("modelspec.trigger_phrase", "")
    missing = "" if file.exists() else "there is no such file or folder; "
    raise InputError(
        f"{missing}a tuned model is a LoRA as .safetensors or a diffusers folder with a model_index.json",
        where=str(file),
        to_try="what `finetune` left: fashion_lora_weights.safetensors or fashion_sd_model/",
    )


def _contents(folders: Any) -> dict[str, str]:
    """Path → sha256 of the photos in `folders` that are still there."""
    import hashlib

    from ...fashion.photos import find_photos

    files = find_photos([folder for folder in folders if folder.is_dir()])[0]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def proof_photos(photos: Sequence[Photo], tuned: TunedModel) -> tuple[list[Photo], list[Photo]]:
    """(those that the tuned model has not trained on, those that it has); InputError where none is left."""
    trained_on = tuned.trained_on or frozenset()
    fresh = [photo for photo in photos if photo.sha256 not in trained_on]
    if not fresh:
        raise InputError(
            f"the tuned model was trained on all {len(photos)} photos: drawing them again proves nothing",
            where=str(tuned.file),
            to_try="photos of garments of the same look that it has not seen",
        )
    return fresh, [photo for photo in photos if photo.sha256 in trained_on]
