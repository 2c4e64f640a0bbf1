"""Photos and texts → unit vectors. Every cache is keyed by an encoder's identity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import torch
    from PIL import Image


class EncoderIdentity(BaseModel):
    """What makes two embeddings comparable: id, revision (hub commit, or a local file's sha256), preprocessing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    revision: str
    preprocessing: str  # e.g. "pad-224", "center-crop-224"

    @property
    def key(self) -> str:
        """One line that changes with any of the three."""
        return f"{self.id}@{self.revision}#{self.preprocessing}"


class ImageEncoder(Protocol):
    """Photos → unit vectors."""

    identity: EncoderIdentity

    def embed_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """RGB pictures of any size → [N, D] float32 on CPU, each row of norm 1."""


class Encoder(ImageEncoder, Protocol):
    """Photos and texts → unit vectors in one space."""

    logit_scale: float  # exp of the model's own; cosines × this are its logits

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts → [N, D] float32 on CPU, each row of norm 1."""
