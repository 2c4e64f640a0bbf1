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
from .results import (
    drawing_of,
    gallery,
    infotexts,
    read_report,
    result_rows,
    tag_rows,
)
from .texts import Words
from .webui_settings import WebuiSide


def prompt_page(side: WebuiSide, words: Words, desk: CurrentJob) -> None:
    """Photos → tags → prompts → pictures → the best prompt, sent to txt2img."""
    import gradio as gr

    with gr.Row():
        with gr.Column():
            photos, folder = photo_fields(words("photos"), side, words)
            preset, drawer = drawing_fields(side, words)
            strategies = gr.Dropdown(list(STRATEGIES), value=[], multiselect=True, label=words("strategies"))
            budget = gr.Slider(*BUDGETS, value=24, step=1, label=words("budget"))
            with gr.Row():
                read = gr.Button(words("read_tags"))
                start = gr.Button(words("start"), variant="primary")
                cancel = gr.Button(words("cancel"), variant="stop")
                look = gr.Button(words("watch"))
            status = gr.HTML(status_of(desk.job, words))
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
    runs: dict[int, Path] = {}  # a job's folder, by the job: also for a browser that looks later

    def on_start(*fields: Any) -> Iterator[tuple[Any, ...]]:
        given, path, chosen, who, names, count = fields
        try:
            drawn_by = who_draws(who, side, words)
            found = photos_of(given, path, side.folders_allowed)
            command, out = prompt_command(found, chosen, drawn_by, side.url, names or [], count, side.runs)
            job = begin(desk, command, side)
        except BadForm as wrong:
            yield refused(words, wrong, 6)
            return
        runs.clear()
        runs[id(job)] = out
        yield from on_look()

    def on_look() -> Iterator[tuple[Any, ...]]:
        if desk.job is None or id(desk.job) not in runs:
            yield (status_of(desk.job, words), *unchanged(6))
            return
        for job in watch(desk.job):
            out = runs[id(job)]
            if job.running or not (found := read_report(out)):
                yield (status_of(job, words), list(job.pictures), *unchanged(5))
                continue
            said = infotexts(found, drawing_of(found))
            page = out / "report.html"
            yield (
                status_of(job, words),
                gallery(found, out),
                tag_rows(found["images"]),
                result_rows(found),
                said,
                gr.update(choices=list(said), value=next(iter(said), None)),
                str(page) if page.is_file() else None,
            )

    def on_read(given: Any, path: str, chosen: str) -> Iterator[tuple[Any, ...]]:
        try:
            job = begin(desk, tag_command(photos_of(given, path, side.folders_allowed), chosen), side)
        except BadForm as wrong:
            yield refused(words, wrong, 1)
            return
        for now in watch(job):
            yield status_of(now, words), tag_rows(now.document or []) if now.finished else gr.update()

    shown = [status, pictures, tags, results, texts, best_of, report]
    press(start, on_start, [photos, folder, preset, drawer, strategies, budget], shown)
    press(look, on_look, [], shown)
    press(read, on_read, [photos, folder, preset], [status, tags])
    press(cancel, canceller(desk, words), [], [status])
    best_of.change(fn=lambda name, said: (said or {}).get(name, ""), inputs=[best_of, texts], outputs=[best])
    side.connect_send(send, best)
