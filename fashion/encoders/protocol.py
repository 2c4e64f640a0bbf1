"""What an encoder is: photos and texts → unit vectors, with an identity that keys every cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import torch
    from PIL import Image


class EncoderIdentity(BaseModel):
    """Id, revision (hub commit, or a local file's sha256) and preprocessing: equal ones give comparable embeddings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    revision: str
    preprocessing: str  # e.g. "pad-224", "center-crop-224"

    @property
    def key(self) -> str:
        """The three fields in one line."""
        return f"{self.id}@{self.revision}#{self.preprocessing}"


class ImageEncoder(Protocol):
    """An encoder of photos alone."""

    identity: EncoderIdentity

    def embed_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """RGB pictures of any size → [N, D] float32 on CPU, each row of norm 1."""


class Encoder(ImageEncoder, Protocol):
    """An encoder of photos and texts in one space."""

    logit_scale: float  # exp of the model's own; cosines × this are its logits
    device: str  # where it computes: cpu, cuda, mps

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts → [N, D] float32 on CPU, each row of norm 1."""
