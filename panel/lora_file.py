"""What a prompt says to draw with a trained file that lies in the host's LoRA folder."""

from __future__ import annotations

from pathlib import Path

STRENGTH = 0.8


def prompt_tag(place: Path, trigger: str) -> str:
    """What goes into a prompt to draw with it."""
    tag = f"<lora:{place.stem}:{STRENGTH:g}>"
    return f"{tag}, {trigger}" if trigger else tag
