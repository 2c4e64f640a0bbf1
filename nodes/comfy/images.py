"""ComfyUI's IMAGE, float [B, H, W, C] of 0 … 1, ↔ pictures as everything else here sees them: Pillow, RGB."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError

LEAST_SIDE = 8  # pixels; a VAE draws no less

if TYPE_CHECKING:
    import torch
    from PIL import Image


def pictures_of(batches: Iterable[Any], what: str = "images") -> list[Image.Image]:
    """Every picture of the batches, float [B, H, W, C] each, in order; InputError for empty ones, NaN, other types."""
    from PIL import Image

    pictures = []
    for batch in batches:
        _refuse_unfit(batch, what)
        pixels = (batch[..., :3].float() * 255).round().clamp(0, 255).byte().cpu().numpy()
        pictures += [Image.fromarray(array) for array in (pixels.repeat(3, -1) if pixels.shape[-1] == 1 else pixels)]
    if not pictures:
        raise InputError(f"{what} holds no picture", to_try="connect an IMAGE")
    return pictures


def _refuse_unfit(batch: Any, what: str) -> None:
    import torch

    if not isinstance(batch, torch.Tensor) or batch.ndim != 4 or batch.shape[-1] not in (1, 3, 4):
        shape = list(batch.shape) if isinstance(batch, torch.Tensor) else type(batch).__name__
        raise InputError(f"{what} is no IMAGE: {shape} in place of [pictures, height, width, channels]")
    if 0 in batch.shape:
        raise InputError(f"{what} is an empty batch: {list(batch.shape)}", to_try="connect a picture or more")
    if min(batch.shape[1:3]) < LEAST_SIDE:
        size = f"{batch.shape[2]}×{batch.shape[1]}"
        raise InputError(
            f"{what} is too small: {size} pixels", to_try=f"pictures of at least {LEAST_SIDE} pixels a side"
        )
    if not torch.isfinite(batch).all():
        raise InputError(f"{what} holds NaN or infinity", to_try="another VAE or precision where they are drawn")


def image_of(picture: Image.Image) -> torch.Tensor:
    """The picture as an IMAGE, float [1, H, W, 3] of 0 … 1."""
    import numpy as np
    import torch

    return torch.from_numpy(np.asarray(picture.convert("RGB"), dtype=np.float32) / 255)[None]


def images_of(pictures: Sequence[Image.Image]) -> list[torch.Tensor]:
    """One IMAGE [B, H, W, 3] where all pictures have one size, else one [1, H, W, 3] for each."""
    import torch

    images = [image_of(picture) for picture in pictures]
    return [torch.cat(images)] if len({image.shape for image in images}) == 1 else images


def grid_of(rows: Sequence[Sequence[Image.Image]], side: int) -> Image.Image:
    """Rows of pictures on white, each fitted into a square of `side` pixels."""
    from PIL import Image, ImageOps

    gap = max(4, side // 32)
    columns = max(map(len, rows))
    sheet = Image.new("RGB", (columns * (side + gap) - gap, len(rows) * (side + gap) - gap), "white")
    for top, row in enumerate(rows):
        for left, picture in enumerate(row):
            sheet.paste(ImageOps.pad(picture, (side, side), color="white"), (left * (side + gap), top * (side + gap)))
    return sheet
