"""Encoders in transformers' folder form: CLIP (photos and texts) and image-only models such as DINOv2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.device import choose_dtype
from ...core.library_output import without_bars
from ...core.torchvision_ops import patch_torchvision_ops
from ..framing import Framer
from .protocol import EncoderIdentity
from .unit_vectors import unit_text_vectors, unit_vectors

if TYPE_CHECKING:
    import torch
    from PIL import Image


class ClipEncoder:
    """A `transformers.CLIPModel` folder (FashionCLIP) as an `Encoder` (protocol.py)."""

    def __init__(self, folder: Path, identity: EncoderIdentity, device: str, framer: Framer, cpu_batch: int = 1):
        patch_torchvision_ops()
        from transformers import CLIPModel, CLIPTokenizer

        self.identity, self.device, self.cpu_batch = identity, device, cpu_batch
        self.model = _load(CLIPModel, folder, device)
        self.logit_scale = float(self.model.logit_scale.exp())
        self.tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        self._pixels = Pixels(folder, framer, self.model)

    def embed_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """RGB pictures of any size → [N, D] float32 on CPU, each row of norm 1."""

        def features(part: Sequence[Image.Image]) -> Any:
            return self.model.get_image_features(pixel_values=self._pixels(part))

        return unit_vectors(images, features, self.device, self.cpu_batch)

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts → [N, D] float32 on CPU, each row of norm 1; what exceeds the model's length is cut off."""

        def features(part: Sequence[str]) -> Any:
            words = self.tokenizer(list(part), padding=True, truncation=True, return_tensors="pt").to(self.device)
            return self.model.get_text_features(**words)

        return unit_text_vectors(texts, features)


class ImageOnlyEncoder:
    """A transformers vision model whose pooled output is the embedding (DINOv2) as an `ImageEncoder`."""

    def __init__(self, folder: Path, identity: EncoderIdentity, device: str, framer: Framer):
        patch_torchvision_ops()
        from transformers import AutoModel

        self.identity, self.device = identity, device
        self.model = _load(AutoModel, folder, device)
        self._pixels = Pixels(folder, framer, self.model)

    def embed_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """RGB pictures of any size → [N, D] float32 on CPU, each row of norm 1."""
        return unit_vectors(images, lambda part: self.model(pixel_values=self._pixels(part)), self.device)


class Pixels:
    """Turns pictures into the model's input with the image processor of the model's folder."""

    def __init__(self, folder: Path, framer: Framer, model: Any):
        from transformers import AutoImageProcessor

        self.processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        self.framer, self.model = framer, model

    def __call__(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """The model's input [B, 3, S, S], normalised, of B pictures."""
        pixels: torch.Tensor = self.processor(images=self.framer(images), return_tensors="pt").pixel_values
        return pixels.to(self.model.device, self.model.dtype)


def _load(kind: Any, folder: Path, device: str) -> Any:
    with without_bars():
        model = kind.from_pretrained(folder, use_safetensors=True, local_files_only=True, dtype=choose_dtype(device))
    return model.to(device).eval().requires_grad_(False)
