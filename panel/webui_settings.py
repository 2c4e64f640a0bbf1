"""The WebUI's settings that the page needs; the script passes them in, tests pass their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class WebuiSettings:
    """`has_api`: whether the WebUI was started with --api."""

    server: Callable[[], Sequence[str]]  # options that reach its API from this machine; known once it is up
    has_api: bool
    runs: Path  # folder of Modiste's runs; the WebUI may serve files of it
    lora_folder: Path
    language: str = "en"
    folders_allowed: bool = True  # whether users may name folders of this machine
    preset: str = ""  # the user's own choice in the settings; empty: by what is on this machine
    encoder: str = ""  # the same, in place of the preset's encoder
    secrets: dict[str, str] = field(default_factory=dict, repr=False)  # environment variables for the process
    checkpoint_file: Callable[[], str | None] = lambda: None  # the loaded checkpoint's file
    refresh_loras: Callable[[], None] = lambda: None
    connect_send: Callable[[Any, Any], None] = lambda button, text: None  # text and settings replace those of txt2img
    receive_images: Callable[[Any], None] = lambda image: None  # the WebUI's buttons "Send to Modiste" fill the image
    save_style: Callable[[str, str, str], str] = lambda name, prompt, negative: name  # returns the name it got
