"""Parts that the tab's pages share: photo and drawing fields, buttons, how a command starts and ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..install import own_environ
from . import environment
from .commands import (
    OWN_MODEL,
    PRESETS,
    WEBUI,
    BadForm,
)
from .current_job import CurrentJob, status_of
from .texts import Words
from .webui_settings import WebuiSettings

PHOTO_TYPES = [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif"]


def photo_fields(label: str, webui: WebuiSettings, words: Words) -> tuple[Any, Any]:
    """Uploads, and a folder's path where the WebUI lets people name folders."""
    import gradio as gr

    photos = gr.File(label=label, file_count="multiple", file_types=PHOTO_TYPES)
    return photos, gr.Textbox(label=words("folder"), visible=webui.folders_allowed)


def drawing_fields(webui: WebuiSettings, words: Words) -> tuple[Any, Any]:
    """The preset, and the host that draws: this WebUI by default where its API is on."""
    import gradio as gr

    with gr.Row():
        preset = gr.Dropdown(list(PRESETS), value=PRESETS[0], label=words("preset"))
        first = words("here" if webui.has_api else "own")
        return preset, gr.Radio([words("here"), words("own")], value=first, label=words("drawer"))


def who_draws(chosen: str, webui: WebuiSettings, words: Words) -> str:
    """The chosen host as the commands name it; BadForm for this WebUI where its API is off."""
    drawer = {words("here"): WEBUI, words("own"): OWN_MODEL}.get(chosen, "")
    if drawer == WEBUI and not webui.has_api:
        raise BadForm("drawer", "no_api")
    return drawer


def begin(current_job: CurrentJob, command: list[str], webui: WebuiSettings) -> Any:
    """Starts a command of harness.py in the own environment; BadForm where that is not there."""
    if not environment.is_installed():
        raise BadForm("environment", "no_environment")
    python = str(environment.environment_python())
    return current_job.begin([python, *command], webui.runs, {**own_environ(), **webui.secrets})


def refused(words: Words, wrong: BadForm, others: int) -> tuple[Any, ...]:
    """Updates that show the refusal in the status and leave `others` outputs unchanged."""
    return (f"<div><b>{words(wrong.why)}</b></div>", *unchanged(others))


def unchanged(count: int) -> list[Any]:
    """Updates that change nothing."""
    import gradio as gr

    return [gr.update() for _ in range(count)]


def canceller(current_job: CurrentJob, words: Words) -> Callable[[], str]:
    """The cancel button's handler."""

    def cancel() -> str:
        current_job.cancel()
        return status_of(current_job.job, words)

    return cancel


def press(button: Any, handler: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> None:
    """Connects a button to its handler, without gradio's own spinner over the outputs."""
    button.click(fn=handler, inputs=inputs, outputs=outputs, show_progress="hidden")
