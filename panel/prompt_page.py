"""The tab's page Prompt: photos in, best prompts out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .commands import (
    BUDGETS,
    STRATEGIES,
    BadForm,
    photos_of,
    prompt_command,
    tag_command,
)
from .current_job import CurrentJob, status_of, watch
from .form import begin, canceller, drawing_fields, photo_fields, press, refused, unchanged, who_draws
from .job import CommandProcess
from .results import (
    drawing_of,
    gallery,
    infotexts,
    read_report,
    result_rows,
    tag_rows,
)
from .texts import Words
from .webui_settings import WebuiSettings


def prompt_page(webui: WebuiSettings, words: Words, current_job: CurrentJob) -> None:
    """Photos → tags → prompts → pictures → the best prompt, sent to txt2img."""
    import gradio as gr

    with gr.Row():
        with gr.Column():
            photos, folder = photo_fields(words("photos"), webui, words)
            preset, drawer = drawing_fields(webui, words)
            strategies = gr.Dropdown(list(STRATEGIES), value=[], multiselect=True, label=words("strategies"))
            budget = gr.Slider(*BUDGETS, value=24, step=1, label=words("budget"))
            photo_shape = gr.Checkbox(value=False, label=words("photo_shape"))
            with gr.Row():
                read = gr.Button(words("read_tags"))
                start = gr.Button(words("start"), variant="primary")
                cancel = gr.Button(words("cancel"), variant="stop")
                follow = gr.Button(words("watch"))
            status = gr.HTML(status_of(current_job.job, words))
        with gr.Column():
            pictures = gr.Gallery(label=words("pictures"), columns=4, height="auto")
            best_of = gr.Dropdown([], label=words("best_of"))
            best = gr.Textbox(label=words("best"), lines=4)
            send = gr.Button(words("send"))
            report = gr.File(label=words("report"), interactive=False)
    tag_heads = [words(f"col_{name}") for name in ("photo", "group", "label", "confidence")]
    tags = gr.Dataframe(headers=tag_heads, label=words("tags"), interactive=False)
    result_heads = [words(f"col_{name}") for name in ("photo", "strategy", "similarity", "baseline", "improved")]
    results = gr.Dataframe(headers=result_heads, label=words("results"), interactive=False)
    texts = gr.State({})

    handlers = PromptHandlers(webui, words, current_job)
    outputs = [status, pictures, tags, results, texts, best_of, report]
    press(start, handlers.start, [photos, folder, preset, drawer, strategies, budget, photo_shape], outputs)
    press(follow, handlers.follow, [], outputs)
    press(read, handlers.read_tags, [photos, folder, preset], [status, tags])
    press(cancel, canceller(current_job, words), [], [status])
    best_of.change(fn=lambda name, texts: (texts or {}).get(name, ""), inputs=[best_of, texts], outputs=[best])
    webui.connect_send(send, best)


class PromptHandlers:
    """Handlers of the page's buttons: generators of updates, one tuple for each change of the job."""

    def __init__(self, webui: WebuiSettings, words: Words, current_job: CurrentJob):
        self.webui, self.words, self.current_job = webui, words, current_job
        self._folders: dict[int, Path] = {}  # id of the job → its run folder: also for a browser that follows later

    def start(self, *fields: Any) -> Iterator[tuple[Any, ...]]:
        """Starts a search with the form's values, in the order of the page, and follows it."""
        uploads, folder, preset, drawer, strategies, budget, *photo_shape = fields
        webui, shape = self.webui, any(photo_shape)
        try:
            host = who_draws(drawer, webui, self.words)
            photos = photos_of(uploads, folder, webui.folders_allowed)
            command, out = prompt_command(photos, preset, host, webui.url, strategies or [], budget, webui.runs, shape)
            job = begin(self.current_job, command, webui)
        except BadForm as wrong:
            yield refused(self.words, wrong, 6)
            return
        self._folders = {id(job): out}
        yield from self.follow()

    def follow(self) -> Iterator[tuple[Any, ...]]:
        """Shows the running or last search, also one that another browser started."""
        job = self.current_job.job
        if job is None or id(job) not in self._folders:
            yield (status_of(job, self.words), *unchanged(6))
            return
        out = self._folders[id(job)]
        for state in watch(job):
            report = None if state.running else read_report(out)
            if report:
                yield self._finished(state, report, out)
            else:
                yield (status_of(state, self.words), list(state.pictures), *unchanged(5))

    def read_tags(self, uploads: Any, folder: str, preset: str) -> Iterator[tuple[Any, ...]]:
        """Tags the photos without drawing anything."""
        import gradio as gr

        try:
            command = tag_command(photos_of(uploads, folder, self.webui.folders_allowed), preset)
            job = begin(self.current_job, command, self.webui)
        except BadForm as wrong:
            yield refused(self.words, wrong, 1)
            return
        for state in watch(job):
            rows = tag_rows(state.document or []) if state.finished else gr.update()
            yield status_of(state, self.words), rows

    def _finished(self, job: CommandProcess, report: dict[str, Any], out: Path) -> tuple[Any, ...]:
        """Updates with the run's results."""
        import gradio as gr

        texts = infotexts(report, drawing_of(report))
        page = out / "report.html"
        return (
            status_of(job, self.words),
            gallery(report, out),
            tag_rows(report["images"]),
            result_rows(report),
            texts,
            gr.update(choices=list(texts), value=next(iter(texts), None)),
            str(page) if page.is_file() else None,
        )
