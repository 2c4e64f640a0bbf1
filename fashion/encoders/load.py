"""Opens the encoder of a hub id or a folder, with its identity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core.device import choose_device
from ...core.errors import InputError, MissingWeights
from ...core.files import sha256_of
from ...core.state_files import json_object, read_model_json
from ...core.weights import how_to_get, hub_cache, locate
from ..framing import Framer
from .clip import ClipEncoder, ImageOnlyEncoder
from .open_clip_models import OpenClipEncoder
from .protocol import EncoderIdentity

if TYPE_CHECKING:
    from .protocol import Encoder, ImageEncoder

OPEN_CLIP = "open_clip_config.json"
REVISION_DIGITS = 16
AS_SQUARES = Framer()


def load_encoder(
    model: str,
    *,
    revision: str | None = None,
    device: str = "auto",
    framer: Framer = AS_SQUARES,
    cpu_batch: int = 1,
) -> Encoder:
    """An encoder of photos and texts by hub id or folder; raises MissingWeights if it is not on this machine.

    `cpu_batch`: pictures that a CPU encodes at once (unit_vectors.py).

    A folder in open_clip's form is opened by open_clip, any other by transformers: Marqo's models have both forms, and
    the second one would run the model's own code.
    """
    folder = find_model(model, revision)
    kind = OpenClipEncoder if (folder / OPEN_CLIP).is_file() else ClipEncoder
    return kind(folder, _identity(model, folder, framer), choose_device(device), framer, cpu_batch)


def load_image_encoder(
    model: str, *, revision: str | None = None, device: str = "auto", framer: Framer = AS_SQUARES
) -> ImageEncoder:
    """An image-only encoder by hub id or folder; raises MissingWeights if it is not on this machine."""
    folder = find_model(model, revision)
    return ImageOnlyEncoder(folder, _identity(model, folder, framer), choose_device(device), framer)


def find_model(model: str, revision: str | None = None) -> Path:
    """The model's folder on this machine, which must hold safetensors: pickled weights could hold code."""
    folder = locate(model, revision)
    if folder is None:
        at = f" at revision {revision}" if revision else ""
        raise MissingWeights(
            f"the model {model}{at} is not on this machine",
            where=f"looked in {hub_cache()}",
            to_try=how_to_get(model),
        )
    if not folder.is_dir():
        raise InputError("an encoder is a folder with its config and tokenizer, not a single file", where=str(folder))
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            "the encoder's folder holds no .safetensors file (pickled weights are not opened)",
            where=str(folder),
            to_try="a revision of the model that has one, or convert it with safetensors.torch.save_file",
        )
    return folder


def _identity(model: str, folder: Path, framer: Framer) -> EncoderIdentity:
    """The identity of a hub model (id and commit), or of another folder (name and the weights' digest)."""
    preprocessing = f"{framer.key}-{_side(folder)}"
    if folder.parent.name == "snapshots":
        return EncoderIdentity(id=model, revision=folder.name, preprocessing=preprocessing)
    revision = f"sha256:{sha256_of(sorted(folder.glob('*.safetensors')))[:REVISION_DIGITS]}"
    return EncoderIdentity(id=folder.name, revision=revision, preprocessing=preprocessing)


def _side(folder: Path) -> int | str:
    """The side of the model's input in pixels; `own` where its folder does not say."""
    if (folder / OPEN_CLIP).is_file():
        vision = read_model_json(folder / OPEN_CLIP, lambda config: config["model_cfg"]["vision_cfg"])
        open_clip_side: int | str = vision.get("image_size", "own")
        return open_clip_side
    processor = read_model_json(folder / "preprocessor_config.json", json_object)
    size = processor.get("crop_size") or processor.get("size") or {}
    side: int | str = size if isinstance(size, int) else size.get("height") or size.get("shortest_edge") or "own"
    return side
