"""Upscalers that need no model, by A1111's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import NOT_HONOURED, UNKNOWN_NAME, Refusal

if TYPE_CHECKING:
    from PIL import Image

UPSCALERS = ("None", "Lanczos", "Nearest")
MOST_PIXELS = 4096 * 4096  # of a resized picture


def refuse_unknown_upscaler(name: str, field: str) -> None:
    """Refusal (400) names the upscalers there are."""
    if name not in UPSCALERS:
        raise Refusal(UNKNOWN_NAME, f"{field}: there is no upscaler {name!r} here; upscalers: {', '.join(UPSCALERS)}")


def resized(image: Image.Image, size: tuple[int, int], upscaler: str, *, crop: bool) -> Image.Image:
    """The picture at `size` (width, height): cropped to it, or fitted within it. `None` resamples as `Lanczos` does."""
    from PIL import Image, ImageOps

    if size[0] * size[1] > MOST_PIXELS or min(size) < 1:
        raise Refusal(
            NOT_HONOURED, f"a picture of {size[0]}×{size[1]} can't be made here; {MOST_PIXELS} pixels are the limit"
        )
    method = Image.Resampling.NEAREST if upscaler == "Nearest" else Image.Resampling.LANCZOS
    if crop:
        return ImageOps.fit(image, size, method)
    return ImageOps.contain(image, size, method)


def filled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The whole picture within `size`, its outermost rows or columns stretched over the rest: resize_mode 2."""
    from PIL import Image, ImageOps

    inner = ImageOps.contain(image, size, Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", size)
    left, top = (size[0] - inner.width) // 2, (size[1] - inner.height) // 2
    right, bottom = size[0] - left - inner.width, size[1] - top - inner.height
    strips = (
        ((0, 0, inner.width, 1), (size[0], top), (0, 0)),
        ((0, inner.height - 1, inner.width, inner.height), (size[0], bottom), (0, top + inner.height)),
        ((0, 0, 1, inner.height), (left, inner.height), (0, top)),
        ((inner.width - 1, 0, inner.width, inner.height), (right, inner.height), (left + inner.width, top)),
    )
    for box, strip, place in strips:
        if min(strip) > 0:
            canvas.paste(inner.crop(box).resize(strip), place)
    canvas.paste(inner, (left, top))
    return canvas
