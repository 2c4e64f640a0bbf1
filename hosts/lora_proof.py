"""Proof that a LoRA does something: the same seed drawn with it and without it.

The server's own "Lora hashes" proves nothing: it is there even where no key of the file matched, and the picture is
then the same to the bit. Where a server does not draw the same picture twice, the LoRA must change more than that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from .request import GenerationRequest

LORA_STRENGTH = re.compile(r"<lora:([^:>]+)(?::([+-]?[\d.]+))?[^>]*>")
DEVICE_NOISE = 0.5  # of 255, mean over the picture: below it a difference may be the device's own noise


@dataclass(frozen=True)
class LoraProof:
    """Mean absolute differences of pixels, 0 … 255: what the LoRA changes, and what drawing again changes."""

    lora: str
    effect: float
    noise: float

    @property
    def proven(self) -> bool:
        """Whether the LoRA changes more than chance does."""
        return self.effect > 2 * self.noise and self.effect > 0


def prove(
    request: GenerationRequest, lora: str, draw: Callable[[GenerationRequest], Image.Image], drawn: Image.Image
) -> LoraProof:
    """`drawn` is the picture of `request`; one is drawn without the LoRA, and one more where they hardly differ."""
    effect = difference(drawn, draw(without(request, lora)))
    noise = difference(drawn, draw(request)) if 0 < effect < DEVICE_NOISE else 0.0
    return LoraProof(lora, effect, noise)


def effective(request: GenerationRequest) -> list[str]:
    """The LoRAs of a request that must change its picture: those with a strength other than 0."""
    strengths = [(lora.name, lora.strength) for lora in request.loras]
    strengths += [(name, float(strength or 1)) for name, strength in LORA_STRENGTH.findall(request.prompt)]
    return list(dict.fromkeys(name for name, strength in strengths if strength))


def without(request: GenerationRequest, lora: str) -> GenerationRequest:
    """The same request with this LoRA alone taken out of its fields and its prompt."""
    prompt = re.sub(rf"\s*<lora:{re.escape(lora)}(:[^>]*)?>", "", request.prompt)
    others = tuple(ref for ref in request.loras if ref.name != lora)
    return request.model_copy(update={"prompt": prompt, "loras": others})


def difference(first: Image.Image, second: Image.Image) -> float:
    """Mean absolute difference of two RGB pictures of one size, 0 … 255."""
    from PIL import ImageChops, ImageStat

    return sum(ImageStat.Stat(ImageChops.difference(first, second)).mean) / 3
