"""The tab's page Set-up: what Modiste's own environment has and lacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..install import own_environ, venv_folder
from . import environment
from .commands import (
    BadForm,
)
from .current_job import CurrentJob, status_of, watch
from .form import canceller, press, refused
from .texts import Words


def setup_page(words: Words, current_job: CurrentJob) -> None:
    """Shows whether Modiste's own environment exists; makes it after the user's consent."""
    import gradio as gr

    here = gr.Markdown(setup_text(words))
    agree = gr.Checkbox(value=False, label=words("agree"))
    with gr.Row():
        make = gr.Button(words("set_up"), variant="primary")
        check = gr.Button(words("check"))
        cancel = gr.Button(words("cancel"), variant="stop")
    status = gr.HTML(status_of(current_job.job, words))
    answer = gr.Textbox(label=words("answer"), lines=16, interactive=False)

    def follow(command: list[str]) -> Iterator[tuple[Any, ...]]:
        try:
            job = current_job.begin(command, environment.ROOT, own_environ())
        except BadForm as wrong:
            yield refused(words, wrong, 2)
            return
        for state in watch(job):
            yield status_of(state, words), "\n".join(state.lines), setup_text(words)

    def on_make(agreed: bool) -> Iterator[tuple[Any, ...]]:
        why = "no_agreement" if not agreed else None if environment.fits() else "no_disk"
        if why:
            yield refused(words, BadForm("agree", why), 2)
            return
        yield from follow(environment.setup_command())

    def on_check() -> Iterator[tuple[Any, ...]]:
        if not environment.is_installed():
            yield (*refused(words, BadForm("check", "no_environment"), 1), setup_text(words))
            return
        yield from follow(environment.doctor_command())

    press(make, on_make, [agree], [status, answer, here])
    press(check, on_check, [], [status, answer, here])
    press(cancel, canceller(current_job, words), [], [status])


def setup_text(words: Words) -> str:
    """The environment's folder where it exists, else its size and the free space."""
    folder = venv_folder()
    if environment.is_installed():
        return words("setup_there", folder=folder)
    sizes = {"size": environment.SIZE_GB, "cuda": environment.SIZE_CUDA_GB, "free": environment.free_gb()}
    return words("setup_missing", folder=folder, **sizes)
