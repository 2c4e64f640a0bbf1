"""A trained file → the host's LoRA folder, under a name that is its content's own.

Hosts keep what they loaded under a name: a file that is replaced by a better one would be drawn with as it was.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

STRENGTH = 0.8
LONGEST = 40  # characters of the readable part


def give_to_host(file: Path, folder: Path, name: str) -> Path:
    """Copies the file whole and returns its place; the same content is the same place, and stays untouched."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    readable = re.sub(r"[^\w-]+", "_", name).strip("_")[:LONGEST] or "modiste"
    place = folder / f"{readable}-{digest}{file.suffix}"
    if place.is_file() and place.stat().st_size == file.stat().st_size:
        return place
    folder.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f"{place.name}.{os.getpid()}.tmp")
    try:
        shutil.copyfile(file, temporary)
        with temporary.open("rb+") as copied:
            os.fsync(copied.fileno())
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)
    return place


def prompt_tag(place: Path, trigger: str) -> str:
    """What goes into a prompt to draw with it."""
    tag = f"<lora:{place.stem}:{STRENGTH:g}>"
    return f"{tag}, {trigger}" if trigger else tag
