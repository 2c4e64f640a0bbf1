"""The models of a preset, opened once: who reads photos, who scores, who judges, who draws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .drawing_host import HostChoice, open_host
from .presets import require_weights
from .vision import VisionModels, open_vision_models

if TYPE_CHECKING:
    from ..hosts.request import Host
    from .presets import Preset


@dataclass(frozen=True)
class Session:
    """Everything that a run needs, opened."""

    preset: Preset
    vision: VisionModels
    host: Host
    lora_dir: Path | None = None  # the LoRA folder of a server that draws


def open_session(preset: Preset, host: HostChoice | str = "local", device: str = "auto") -> Session:
    """The whole studio; missing weights are named, all at once, before anything is loaded."""
    choice = HostChoice(host) if isinstance(host, str) else host
    require_weights(preset, *(["checkpoint"] if choice.kind == "local" else []), "encoder")
    drawing = open_host(preset, choice, device)
    return Session(preset, open_vision_models(preset, device), drawing, choice.lora_dir)
