"""Which preset and which host fit this machine, and what a choice means: size of the pictures and who judges them."""

from __future__ import annotations

import html
from typing import NamedTuple

from ..core.weights import get_command, locate
from ..install import ROOT
from . import environment
from .commands import OWN_MODEL, WEBUI
from .texts import Words
from .webui_settings import WebuiSettings


class PresetFacts(NamedTuple):
    """What a choice of a preset depends on; as models/presets.py has them, which this page can't import."""

    side: int  # pixels of a square picture
    encoder: str  # its hub id, empty for the embedded one
    checkpoint: str


FACTS = {
    "mini": PresetFacts(64, "", ""),
    "sd15": PresetFacts(512, "patrickjohncyh/fashion-clip", "stable-diffusion-v1-5/stable-diffusion-v1-5"),
    "sdxl": PresetFacts(1024, "patrickjohncyh/fashion-clip", "stabilityai/stable-diffusion-xl-base-1.0"),
}


def default_preset(webui: WebuiSettings) -> str:
    """The user's own (Settings → Modiste); else sd15 where its encoder is here and something can draw it; else mini."""
    if webui.preset in FACTS:
        return webui.preset
    facts = FACTS["sd15"]
    draws = webui.has_api or locate(facts.checkpoint)
    return "sd15" if draws and locate(facts.encoder) else "mini"


def default_drawer(webui: WebuiSettings) -> str:
    """This WebUI where its API is on and the preset is of its size; else Modiste's own model."""
    return WEBUI if webui.has_api and default_preset(webui) != "mini" else OWN_MODEL


def warning_of(preset: str, drawer: str, words: Words) -> str:
    """What the choice means, as HTML: pixels, encoder, and what is missing or only good for a trial."""
    if preset not in FACTS:
        return ""
    facts = FACTS[preset]
    if preset == "mini":
        key = "warn_mini_here" if drawer == WEBUI else "warn_mini_own"
        return f"<div><b>{words(key, side=facts.side)}</b></div>"
    missing = [facts.encoder] if locate(facts.encoder) is None else []
    if drawer == OWN_MODEL and locate(facts.checkpoint) is None:
        missing.append(facts.checkpoint)
    if missing:
        harness = f"{environment.environment_python()} {ROOT / 'harness.py'}"
        command = f"<code>{html.escape(get_command(*missing).replace('modiste', harness, 1))}</code>"
        return f"<div><b>{words('warn_missing', models=', '.join(missing), command=command)}</b></div>"
    return f"<div>{words('fact_preset', side=facts.side, encoder=facts.encoder)}</div>"
