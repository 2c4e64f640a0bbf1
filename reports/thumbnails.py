"""Pictures small enough to live inside a page."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

SMALL = 160  # pixels; below this a picture is enlarged here, where it can be done well


class Thumbnail(NamedTuple):
    """A picture as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


def thumbnail(folder: Path, name: str, side: int) -> Thumbnail | None:
    """The picture `name` of `folder`, at most `side` pixels long; None where missing, broken or outside.

    A picture of a few dozen pixels is enlarged with a Lanczos filter: browsers would blur or block it.
    """
    from PIL import Image, ImageOps

    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        return None
    try:
        with Image.open(path, formats=["PNG", "JPEG", "WEBP"]) as file:
            file.draft("RGB", (2 * side, 2 * side))  # a large JPEG is decoded at a fraction of its size
            picture = ImageOps.exif_transpose(file).convert("RGB")
    except (OSError, SyntaxError, ValueError):
        return None
    enlarge = max(1, min(4, side // max(picture.size))) if max(picture.size) < SMALL else 1
    if enlarge > 1:
        picture = picture.resize((picture.width * enlarge, picture.height * enlarge), Image.Resampling.LANCZOS)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    picture.save(buffer, "WEBP", quality=86, method=3)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Thumbnail(f"data:image/webp;base64,{encoded}", picture.width, picture.height)
