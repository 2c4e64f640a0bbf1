"""The mask of a photo: NAME-masklabel.png beside it (OneTrainer's convention), else NAME.png in the folder of masks."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import InputError
from .buckets import Size
from .photo_files import MASK, SUFFIXES
from .sample import Mask, Read

MASK_LEAST = 8  # of 255; darker is nothing, as JPEG's and WebP's noise in black is
MASK_ASPECT = 0.02  # of the photo's aspect: what rounding a resized mask may cost


class BadMask(InputError):
    """A mask that can't be used: its photo is left out, as without a mask all of it would be learned."""

    kind, code = "mask", "MASK"

    def __init__(self, path: Path, reason: str):
        self.path, self.reason = path, reason
        super().__init__(reason, where=str(path))


def find_mask(photo: Path, root: Path, masks: Path | None) -> Path | None:
    """The mask's file of a photo in the folder `root`: beside it, else under its own path or name in `masks`."""
    beside = photo.with_name(f"{photo.stem}{MASK}.png")
    if beside.is_file():
        return beside
    if masks is None:
        return None
    places = (masks / photo.relative_to(root), masks / photo.name)
    named = (place.with_suffix(suffix) for place in places for suffix in (".png", *SUFFIXES))
    return next((path for path in named if path.is_file()), None)


def read_mask(path: Path, size: Size, read: Read) -> Mask:
    """The mask of a photo of `size` (width, height); BadMask for one that can't be read, fits it not, or is black."""
    try:
        mask = read(path)
    except InputError as bad:
        code, reason = getattr(bad, "code", None), getattr(bad, "reason", "")
        if code is None:
            raise
        raise BadMask(path, f"{code}, {reason}") from None
    width, height = mask.image.size
    if abs(width * size[1] / (height * size[0]) - 1) > MASK_ASPECT:
        raise BadMask(path, f"it is {width}×{height}, of another shape than the photo's {size[0]}×{size[1]}")
    box = mask.image.convert("L").point(lambda value: 255 * (value >= MASK_LEAST)).getbbox()
    if box is None:
        raise BadMask(path, "it is all black: nothing of the photo counts")
    shares = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
    return Mask(path, mask.sha256, shares)
