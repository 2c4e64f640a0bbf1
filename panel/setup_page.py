"""The tab's page Set-up: what Modiste's own environment has and lacks."""

from __future__ import annotations

from typing import Any

from ..install import venv_folder
from . import environment
from .commands import BadForm
from .job import CommandProcess, JobOrder
from .run_panel import RunPanel
from .texts import Words
from .webui_settings import WebuiSettings


def setup_page(webui: WebuiSettings, words: Words, panel: RunPanel) -> tuple[Any, ...]:
    """Shows whether Modiste's own environment exists; makes it after the user's consent."""
    import gradio as gr

    here = gr.Markdown(setup_text(words))
    agree = gr.Checkbox(value=False, label=words("agree"), elem_id="modiste_setup_agree")
    with gr.Row():
        make = gr.Button(words("set_up"), variant="primary", elem_id="modiste_setup_make")
        check = gr.Button(words("check"), elem_id="modiste_setup_check")
    answer = gr.Textbox(label=words("answer"), lines=16, interactive=False, elem_id="modiste_setup_answer")

    def view(job: CommandProcess) -> dict[str, Any]:
        return {"answer": "\n".join(job.lines), "here": setup_text(words)}

    panel.shows("setup", {"answer": answer, "here": here}, view)
    panel.starts(make, [agree], setup_order)
    panel.starts(check, [], check_order)
    return (answer, agree)


def setup_order(agreed: bool) -> JobOrder:
    """The set-up; BadForm without consent or room."""
    if not agreed:
        raise BadForm("agree", "no_agreement")
    if not environment.fits():
        raise BadForm("agree", "no_disk")
    return _plain(environment.setup_command())


def check_order() -> JobOrder:
    """The environment's own report; BadForm where it is not there."""
    if not environment.is_installed():
        raise BadForm("check", "no_environment")
    return _plain(environment.doctor_command())


def _plain(command: list[str]) -> JobOrder:
    return JobOrder("setup", tuple(command), str(environment.ROOT), plain=True)


def setup_text(words: Words) -> str:
    """The environment's folder where it exists, else its size and the free space."""
    folder = venv_folder()
    if environment.is_installed():
        return words("setup_there", folder=folder)
    sizes = {"size": environment.SIZE_GB, "cuda": environment.SIZE_CUDA_GB, "free": environment.free_gb()}
    return words("setup_missing", folder=folder, **sizes)
