"""What happens to a photo that is not square before an encoder reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image

Framing = Literal["pad", "crop"]  # `pad` keeps head and hem, `crop` is the model's own centre crop


def framed(images: Sequence[Image.Image], framing: Framing) -> list[Image.Image]:
    """The pictures as the encoder's own preprocessing gets them."""
    return [padded(image) for image in images] if framing == "pad" else list(images)


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
