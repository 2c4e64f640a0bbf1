"""Parts that the tab's pages share: photo and drawing fields, buttons, how a command starts and ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..install import own_environ
from . import environment
from .commands import (
    HERE,
    OWN,
    PRESETS,
    BadForm,
)
from .current_job import CurrentJob, status_of
from .texts import Words
from .webui_settings import WebuiSide

PHOTO_TYPES = [".png", ".jpg", ".jpeg", ".webp"]


def photo_fields(label: str, side: WebuiSide, words: Words) -> tuple[Any, Any]:
    """Uploads, and a folder's path where the WebUI lets people name folders."""
    import gradio as gr

    photos = gr.File(label=label, file_count="multiple", file_types=PHOTO_TYPES)
    return photos, gr.Textbox(label=words("folder"), visible=side.folders_allowed)


def drawing_fields(side: WebuiSide, words: Words) -> tuple[Any, Any]:
    """The models, and who draws with them; this WebUI first where it can."""
    import gradio as gr

    with gr.Row():
        preset = gr.Dropdown(list(PRESETS), value=PRESETS[0], label=words("preset"))
        first = words("here" if side.has_api else "own")
        return preset, gr.Radio([words("here"), words("own")], value=first, label=words("drawer"))


def who_draws(chosen: str, side: WebuiSide, words: Words) -> str:
    """What was chosen, as the commands know it; BadForm where this WebUI was chosen and can't be asked."""
    drawer = {words("here"): HERE, words("own"): OWN}.get(chosen, "")
    if drawer == HERE and not side.has_api:
        raise BadForm("drawer", "no_api")
    return drawer


def begin(desk: CurrentJob, command: list[str], side: WebuiSide) -> Any:
    """Starts a command of harness.py in the own environment; BadForm where that is not there."""
    if not environment.is_there():
        raise BadForm("environment", "no_environment")
    return desk.begin([str(environment.own_python()), *command], side.runs, {**own_environ(), **side.secrets})


def refused(words: Words, wrong: BadForm, others: int) -> tuple[Any, ...]:
    """A message in place of the status; the other outputs stay."""
    return (f"<div><b>{words(wrong.why)}</b></div>", *unchanged(others))


def unchanged(count: int) -> list[Any]:
    """Updates that change nothing."""
    import gradio as gr

    return [gr.update() for _ in range(count)]


def canceller(desk: CurrentJob, words: Words) -> Callable[[], str]:
    """What the cancel button does."""

    def cancel() -> str:
        desk.cancel()
        return status_of(desk.job, words)

    return cancel


def press(button: Any, handler: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> None:
    """The handler of a button, without gradio's own spinner over the outputs."""
    button.click(fn=handler, inputs=inputs, outputs=outputs, show_progress="hidden")
