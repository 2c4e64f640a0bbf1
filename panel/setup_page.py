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


def setup_page(words: Words, desk: CurrentJob) -> None:
    """The own environment: is it there; if not, what it takes, and made when that is agreed to."""
    import gradio as gr

    here = gr.Markdown(setup_text(words))
    agree = gr.Checkbox(value=False, label=words("agree"))
    with gr.Row():
        make = gr.Button(words("set_up"), variant="primary")
        check = gr.Button(words("check"))
        cancel = gr.Button(words("cancel"), variant="stop")
    status = gr.HTML(status_of(desk.job, words))
    answer = gr.Textbox(label=words("answer"), lines=16, interactive=False)

    def follow(command: list[str]) -> Iterator[tuple[Any, ...]]:
        try:
            job = desk.begin(command, environment.ROOT, own_environ())
        except BadForm as wrong:
            yield refused(words, wrong, 2)
            return
        for now in watch(job):
            yield status_of(now, words), "\n".join(now.lines), setup_text(words)

    def on_make(agreed: bool) -> Iterator[tuple[Any, ...]]:
        why = "no_agreement" if not agreed else None if environment.fits() else "no_disk"
        if why:
            yield refused(words, BadForm("agree", why), 2)
            return
        yield from follow(environment.setup_command())

    def on_check() -> Iterator[tuple[Any, ...]]:
        if not environment.is_there():
            yield (*refused(words, BadForm("check", "no_environment"), 1), setup_text(words))
            return
        yield from follow(environment.doctor_command())

    press(make, on_make, [agree], [status, answer, here])
    press(check, on_check, [], [status, answer, here])
    press(cancel, canceller(desk, words), [], [status])


def setup_text(words: Words) -> str:
    """Whether the environment is there, or what it takes."""
    folder = venv_folder()
    if environment.is_there():
        return words("setup_there", folder=folder)
    sizes = {"size": environment.SIZE_GB, "cuda": environment.SIZE_CUDA_GB, "free": environment.free_gb()}
    return words("setup_missing", folder=folder, **sizes)
