"""What the page needs of the WebUI that it stands in; the script hands it in, tests hand in their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class WebuiSide:
    """`url`: where the WebUI's API is asked from this machine; `has_api`: whether it was started with it."""

    url: str
    has_api: bool
    runs: Path  # folder for what Modiste leaves; the WebUI may show files of it
    lora_folder: Path
    language: str = "en"
    folders_allowed: bool = True  # whether people may name folders of this machine
    secrets: dict[str, str] = field(default_factory=dict, repr=False)  # environment variables for the process
    checkpoint_file: Callable[[], str | None] = lambda: None  # the loaded checkpoint's file
    refresh_loras: Callable[[], None] = lambda: None
    connect_send: Callable[[Any, Any], None] = lambda button, text: None  # button → the text goes to txt2img
