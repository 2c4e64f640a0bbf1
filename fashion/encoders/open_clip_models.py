"""Encoders in open_clip's folder form: Marqo-FashionCLIP and Marqo-FashionSigLIP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.device import choose_dtype
from ...core.torchvision_ops import patch_torchvision_ops
from ..framing import Framer
from .protocol import EncoderIdentity
from .unit_vectors import unit_text_vectors, unit_vectors

if TYPE_CHECKING:
    import torch
    from PIL import Image


class OpenClipEncoder:
    """A folder with `open_clip_config.json` and safetensors as an `Encoder` (protocol.py)."""

    def __init__(self, folder: Path, identity: EncoderIdentity, device: str, framer: Framer, cpu_batch: int = 1):
        patch_torchvision_ops()
        import open_clip

        self.identity, self.device, self.framer, self.cpu_batch = identity, device, framer, cpu_batch
        # open_clip's `local-dir:` form reads config, weights and tokenizer from the folder and asks no hub.
        source = f"local-dir:{folder}"
        model, self.transform = open_clip.create_model_from_pretrained(source, device=device)
        self.model = model.to(choose_dtype(device)).eval().requires_grad_(False)
        self.dtype = choose_dtype(device)
        self.tokenizer = open_clip.get_tokenizer(source)
        self.logit_scale = float(self.model.logit_scale.exp())

    def embed_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """RGB pictures of any size → [N, D] float32 on CPU, each row of norm 1."""

        def features(part: Sequence[Image.Image]) -> Any:
            import torch

            pixels = torch.stack([self.transform(image) for image in self.framer(part)])
            return self.model.encode_image(pixels.to(self.device, self.dtype))

        return unit_vectors(images, features, self.device, self.cpu_batch)

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts → [N, D] float32 on CPU, each row of norm 1; what exceeds the model's length is cut off."""
        return unit_text_vectors(texts, lambda part: self.model.encode_text(self.tokenizer(list(part)).to(self.device)))
