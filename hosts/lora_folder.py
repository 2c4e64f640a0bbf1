"""A trained LoRA file → a host's LoRA folder, under a name that is its content's own.

Hosts keep what they loaded under a name: a file that is replaced by a better one would be drawn with as it was.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ..core.files import make_folder, write_whole

LONGEST = 40  # characters of the readable part
NAME_DIGITS = 8


def name_on_host(data: bytes, name: str) -> str:
    """`name` as far as a prompt can say it, and the content's digest: what `<lora:…>` calls it."""
    readable = re.sub(r"[^\w-]+", "_", name).strip("_")[:LONGEST] or "modiste"
    return f"{readable}-{hashlib.sha256(data).hexdigest()[:NAME_DIGITS]}"


def give_to_host(file: Path, folder: Path, name: str) -> Path:
    """Copies the file whole and returns its place; the same content is the same place, and stays untouched."""
    data = file.read_bytes()
    place = folder / f"{name_on_host(data, name)}{file.suffix}"
    if not place.is_file() or place.read_bytes() != data:
        make_folder(folder)
        write_whole(place, data)
    return place
