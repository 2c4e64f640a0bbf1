"""A segmenter of worn clothes: which pixels of a photo are which garment, and which are skin, hair or background.

Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers" (NeurIPS 2021), trained
on ATR's 18 classes (`modiste get clothes-parser`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.device import choose_device
from ..core.errors import InputError
from ..core.library_output import without_bars
from ..core.torchvision_ops import patch_torchvision_ops

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

# Classes by their names in the model's config, in lower case. Whatever is in neither set is no garment.
GARMENTS = frozenset({"upper-clothes", "skirt", "pants", "dress"})
ACCESSORIES = frozenset({"hat", "sunglasses", "belt", "left-shoe", "right-shoe", "bag", "scarf"})
SKIN = frozenset({"face", "hair", "left-leg", "right-leg", "left-arm", "right-arm"})
LEAST_AREA = 0.01  # of the picture, that a class must cover to count


class ClothesParser:
    """A `SegformerForSemanticSegmentation` folder with its image processor; `identity` names its weights."""

    def __init__(self, folder: Path, identity: str, device: str = "auto"):
        """InputError for a model whose classes are not those of clothes."""
        patch_torchvision_ops()
        from transformers import AutoImageProcessor, SegformerForSemanticSegmentation

        self.identity, self.device = identity, choose_device(device)
        with without_bars():
            model: Any = SegformerForSemanticSegmentation.from_pretrained(
                folder, use_safetensors=True, local_files_only=True
            )
        self.model = model.to(self.device).eval().requires_grad_(False)
        self.processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        self.names = {int(index): name.lower() for index, name in model.config.id2label.items()}
        if not GARMENTS & set(self.names.values()):
            raise InputError(
                f"this segmenter knows no clothes: its classes are {', '.join(list(self.names.values())[:6])} …",
                where=str(folder),
                to_try="modiste get clothes-parser",
            )

    def parse(self, image: Image.Image, size: tuple[int, int]) -> ParsedPhoto:
        """The classes of a picture's pixels, at a `size` of (width, height)."""
        import torch

        pixels = self.processor(images=[image], return_tensors="pt").pixel_values.to(self.device)
        with torch.inference_mode():
            logits = self.model(pixel_values=pixels).logits.float()
        at_size = torch.nn.functional.interpolate(logits, size=size[::-1], mode="bilinear", align_corners=False)
        return ParsedPhoto(at_size.argmax(1)[0].cpu().numpy(), self.names)


@dataclass(frozen=True)
class ParsedPhoto:
    """The class of each pixel, int64 [H, W]: indices of `names`."""

    classes: np.ndarray
    names: Mapping[int, str]

    @property
    def garments(self) -> dict[str, np.ndarray]:
        """Class name → mask, bool [H, W], of each garment in the picture, the largest first; no class of skin or hair.

        Accessories only where nothing is worn with them: a photo of a shoe or a bag.
        """
        masks = {name: self.classes == index for index, name in self.names.items()}
        shown = {name: mask for name, mask in masks.items() if mask.mean() >= LEAST_AREA}
        kind = GARMENTS if GARMENTS & shown.keys() else ACCESSORIES
        chosen = [name for name in shown if name in kind]
        return {name: shown[name] for name in sorted(chosen, key=lambda name: -int(shown[name].sum()))}

    @property
    def shows_person(self) -> bool:
        """Whether skin or hair is in the picture."""
        import numpy as np

        skin = [index for index, name in self.names.items() if name in SKIN]
        return bool(np.isin(self.classes, skin).mean() >= LEAST_AREA)
