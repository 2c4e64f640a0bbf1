"""What the always-on script *Modiste score* shows and does; scripts/modiste_score.py makes a WebUI's script of it."""

from __future__ import annotations

import logging
from typing import Any

from .commands import PRESETS
from .score_worker import NoScore, ScoreWorker
from .suggestions import FACTS
from .texts import Words

log = logging.getLogger("modiste")
KEY, TITLE = "Modiste score", "Modiste score"  # of the infotext; what the API calls the script
PLOT = "X/Y/Z plot"
OVERRIDE = "modiste_reference"  # attribute of a processing whose reference the X/Y/Z plot sets


def controls(words: Words, preset: str, elem_id: Any) -> list[Any]:
    """On or off, reference photo, preset whose encoder looks: the script's arguments, in the API's order."""
    import gradio as gr

    with gr.Accordion(label=TITLE, open=False, elem_id=elem_id("modiste_score")):
        enabled = gr.Checkbox(value=False, label=words("score_on"), elem_id=elem_id("modiste_score_on"))
        reference = gr.Image(label=words("reference"), type="pil", elem_id=elem_id("modiste_score_reference"))
        chosen = gr.Dropdown(
            list(PRESETS), value=preset, label=words("score_preset"), elem_id=elem_id("modiste_score_preset")
        )
    for control in (enabled, reference, chosen):
        control.do_not_save_to_config = True  # off at every start
    return [enabled, reference, chosen]


def score_of(
    worker: ScoreWorker, image: Any, enabled: Any, reference: Any = None, preset: str = "", encoder: str = ""
) -> str | None:
    """The score as the infotext shows it, 0 to 100; None where the script is off; a failure is a text, no error.

    The arguments are those of `controls`; a client of the API may leave out the last ones.
    """
    if not enabled:
        return None
    try:
        if preset and preset not in FACTS:
            raise NoScore(f"there is no preset {preset!r}: {', '.join(FACTS)}")
        return f"{100 * worker.score(image, reference, preset or 'mini', encoder):.1f}"
    except (NoScore, OSError) as error:
        log.warning("Modiste score: %s", error)
        return f"none ({error})"


def infotext_value(score: str | None) -> Any:
    """What goes into the infotext's parameters: the picture's own, and none for a grid of several.

    The X/Y/Z plot writes its grids' infotexts with the parameters of the first cell, to which it adds its own name.
    """

    def value(use_main_prompt: bool = False, p: Any = None, **_: Any) -> str | None:
        in_plot = getattr(p, "extra_generation_params", {}).get("Script") == PLOT
        return None if use_main_prompt or in_plot else score

    return value
