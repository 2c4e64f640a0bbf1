"""Encoders in transformers' folder form: CLIP (photos and texts) and image-only models such as DINOv2."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..device import choose_device, choose_dtype
from ..errors import InputError, MissingWeights
from ..torchvision_ops import heal
from ..weights import hub_cache, locate
from .encoder import EncoderIdentity

if TYPE_CHECKING:
    import torch
    from PIL import Image

Framing = Literal["pad", "crop"]
BATCH = 32  # on a GPU
REVISION_DIGITS = 16


class ClipEncoder:
    """A `transformers.CLIPModel` folder as an `Encoder` (fashion/encoder.py)."""

    def __init__(self, folder: Path, identity: EncoderIdentity, device: str, framing: Framing):
        heal()
        from transformers import AutoImageProcessor, CLIPModel, CLIPTokenizer

        self.identity, self.device, self.framing = identity, device, framing
        self.model = _load(CLIPModel, folder, device)
        self.processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        self.tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)

    @cached_property
    def logit_scale(self) -> float:
        """exp of the model's own parameter; cosines × this are its logits."""
        return float(self.model.logit_scale.detach().exp())

    def embed_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """RGB pictures of any size → [N, D] float32 on CPU, each row of norm 1."""

        def features(part: Sequence[Image.Image]) -> Any:
            return self.model.get_image_features(pixel_values=_pixels(self.processor, part, self.framing, self.model))

        return _in_batches(images, features, self.device)

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts → [N, D] float32 on CPU, each row of norm 1; what exceeds the model's length is cut off."""

        def features(part: Sequence[str]) -> Any:
            words = self.tokenizer(list(part), padding=True, truncation=True, return_tensors="pt").to(self.device)
            return self.model.get_text_features(**words)

        return _in_batches(texts, features, self.device)


class ImageOnlyEncoder:
    """A transformers vision model whose pooled output is the embedding (DINOv2) as an `ImageEncoder`."""

    def __init__(self, folder: Path, identity: EncoderIdentity, device: str, framing: Framing):
        heal()
        from transformers import AutoImageProcessor, AutoModel

        self.identity, self.device, self.framing = identity, device, framing
        self.model = _load(AutoModel, folder, device)
        self.processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)

    def embed_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """RGB pictures of any size → [N, D] float32 on CPU, each row of norm 1."""

        def features(part: Sequence[Image.Image]) -> Any:
            return self.model(pixel_values=_pixels(self.processor, part, self.framing, self.model))

        return _in_batches(images, features, self.device)


def load_encoder(
    model: str, *, revision: str | None = None, device: str = "auto", framing: Framing = "pad"
) -> ClipEncoder:
    """A CLIP by hub id or folder; MissingWeights where this machine does not have it.

    `framing` is what happens to a photo that is not square: `pad` keeps head and hem, `crop` is CLIP's own centre
    crop.
    """
    folder = find_model(model, revision)
    return ClipEncoder(folder, _identity(model, folder, framing), choose_device(device), framing)


def load_image_encoder(
    model: str, *, revision: str | None = None, device: str = "auto", framing: Framing = "pad"
) -> ImageOnlyEncoder:
    """An image-only encoder by hub id or folder; MissingWeights where this machine does not have it."""
    folder = find_model(model, revision)
    return ImageOnlyEncoder(folder, _identity(model, folder, framing), choose_device(device), framing)


def find_model(model: str, revision: str | None = None) -> Path:
    """The model's folder on this machine."""
    folder = locate(model, revision)
    if folder is None:
        at = f" at revision {revision}" if revision else ""
        raise MissingWeights(
            f"the model {model}{at} is not on this machine",
            where=f"looked in {hub_cache()}",
            to_try=f"hf download {model}",
        )
    if not folder.is_dir():
        raise InputError("an encoder is a folder in transformers' form, not a single file", where=str(folder))
    return folder


def _identity(model: str, folder: Path, framing: Framing) -> EncoderIdentity:
    """A hub model by its id and commit, a folder of one's own by its name and its weights' digest."""
    from json import loads

    processor = loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    size = processor.get("crop_size") or processor.get("size") or {}
    side = size if isinstance(size, int) else size.get("height") or size.get("shortest_edge")
    if folder.parent.name == "snapshots":
        return EncoderIdentity(id=model, revision=folder.name, preprocessing=f"{framing}-{side}")
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as data:
            while block := data.read(1 << 20):
                digest.update(block)
    revision = f"sha256:{digest.hexdigest()[:REVISION_DIGITS]}"
    return EncoderIdentity(id=folder.name, revision=revision, preprocessing=f"{framing}-{side}")


def _load(kind: Any, folder: Path, device: str) -> Any:
    model = kind.from_pretrained(folder, use_safetensors=True, local_files_only=True, dtype=choose_dtype(device))
    return model.to(device).eval().requires_grad_(False)


def _pixels(processor: Any, images: Sequence[Image.Image], framing: Framing, model: Any) -> torch.Tensor:
    framed = [padded(image) if framing == "pad" else image for image in images]
    return processor(images=framed, return_tensors="pt").pixel_values.to(model.device, model.dtype)


def padded(image: Image.Image) -> Image.Image:
    """The picture centred on a square of its own border colour; a square one as it is."""
    from PIL import Image

    if image.width == image.height:
        return image
    side = max(image.size)
    square = Image.new("RGB", (side, side), _border_colour(image))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def _border_colour(image: Image.Image) -> tuple[int, int, int]:
    """The median of the outermost pixels, channel by channel."""
    import numpy as np

    pixels = np.asarray(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(value) for value in np.median(border, 0))
    return red, green, blue


def _in_batches(items: Sequence[Any], features: Any, device: str) -> torch.Tensor:
    """On a CPU one by one: hardly slower, and the last bits do not depend on what else is asked."""
    import torch

    size = 1 if device == "cpu" else BATCH
    with torch.inference_mode():
        parts = [_unit(features(items[start : start + size])) for start in range(0, len(items), size)]
    return torch.cat(parts)


def _unit(output: Any) -> torch.Tensor:
    """transformers 4 gives a tensor, transformers 5 an object that holds it."""
    import torch

    embeds = output if isinstance(output, torch.Tensor) else output.pooler_output
    return torch.nn.functional.normalize(embeds.float(), dim=-1).cpu()
