"""Opens the models of a preset for a run: vision models and the drawing host."""

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
    """The opened models of a run."""

    preset: Preset
    vision: VisionModels
    host: Host
    lora_dir: Path | None = None  # the LoRA folder of a server that draws


def open_session(preset: Preset, host: HostChoice | str = "local", device: str = "auto") -> Session:
    """The session of a preset; raises MissingWeights with all missing models before anything is loaded."""
    choice = HostChoice(host) if isinstance(host, str) else host
    require_weights(preset, *(["checkpoint"] if choice.kind == "local" else []), "encoder")
    drawing = open_host(preset, choice, device)
    return Session(preset, open_vision_models(preset, device), drawing, choice.lora_dir)
