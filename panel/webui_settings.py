"""The WebUI's settings that the page needs; the script passes them in, tests pass their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class WebuiSettings:
    """`url`: the address of the WebUI's API from this machine; `has_api`: whether it was started with --api."""

    url: str
    has_api: bool
    runs: Path  # folder of Modiste's runs; the WebUI may serve files of it
    lora_folder: Path
    language: str = "en"
    folders_allowed: bool = True  # whether users may name folders of this machine
    secrets: dict[str, str] = field(default_factory=dict, repr=False)  # environment variables for the process
    checkpoint_file: Callable[[], str | None] = lambda: None  # the loaded checkpoint's file
    refresh_loras: Callable[[], None] = lambda: None
    connect_send: Callable[[Any, Any], None] = lambda button, text: None  # button → the text goes to txt2img
