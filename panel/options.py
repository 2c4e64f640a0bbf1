"""The section Modiste of the WebUI's settings."""

from __future__ import annotations

from typing import Any, NamedTuple

from .commands import PRESETS
from .texts import LANGUAGES, WORDS, Words

AUTOMATIC = WORDS["automatic"]  # in every language: a setting keeps its text when the language changes


class Option(NamedTuple):
    """A setting as the WebUI's OptionInfo takes it."""

    name: str
    default: str
    label: str
    component: Any
    arguments: dict[str, Any] | None


def options(words: Words) -> list[Option]:
    """Preset, encoder, folder of the runs, language; empty or automatic: as the tab decides itself."""
    import gradio as gr

    settings = []
    for name, choices in (("preset", PRESETS), ("encoder", ()), ("runs", ()), ("language", LANGUAGES)):
        label, automatic = words(f"set_{name}"), words("automatic")
        chosen = {"choices": [automatic, *choices]}
        settings.append(
            Option(name, automatic, label, gr.Dropdown, chosen)
            if choices
            else Option(name, "", label, gr.Textbox, None)
        )
    return settings
