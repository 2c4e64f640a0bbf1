"""The tab's page Both routes: the whole pipeline and its verdict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..hosts.lora_folder import give_to_host
from .commands import (
    BUDGETS,
    BadForm,
    photos_of,
    pipeline_command,
)
from .current_job import CurrentJob, status_of, watch
from .form import begin, canceller, drawing_fields, photo_fields, press, refused, unchanged, who_draws
from .results import (
    prompt_tag,
    side_by_side,
    way_rows,
)
from .texts import Words
from .webui_settings import WebuiSettings


def both_page(webui: WebuiSettings, words: Words, current_job: CurrentJob) -> None:
    """Photos of a brand → words → a LoRA → which of them pays, on photos that neither has seen."""
    import gradio as gr

    gr.Markdown(words("both_intro"))
    with gr.Row():
        with gr.Column():
            photos, folder = photo_fields(words("dataset"), webui, words)
            preset, drawer = drawing_fields(webui, words)
            trigger = gr.Textbox(value="", label=words("trigger"))
            budget = gr.Slider(*BUDGETS, value=16, step=1, label=words("budget"))
            with_class = gr.Checkbox(value=False, label=words("with_class"))
            photo_shape = gr.Checkbox(value=False, label=words("photo_shape"))
            with gr.Row():
                start = gr.Button(words("start"), variant="primary")
                cancel = gr.Button(words("cancel"), variant="stop")
            status = gr.HTML(status_of(current_job.job, words))
        with gr.Column():
            verdict = gr.Textbox(label=words("verdict"), lines=2, interactive=False)
            pictures = gr.Gallery(label=words("pictures"), columns=3, height="auto")
            tag = gr.Textbox(label=words("lora_tag"), interactive=False)
            send = gr.Button(words("send"))
            report = gr.File(label=words("report"), interactive=False)
    heads = [words(f"col_{name}") for name in ("way", "similarity", "judge", "adherence")]
    ways = gr.Dataframe(headers=heads, label=words("results"), interactive=False)

    form = [photos, folder, preset, drawer, trigger, budget, with_class, photo_shape]

    def on_start(*fields: Any) -> Iterator[tuple[Any, ...]]:
        yield from start_pipeline(fields, webui, words, current_job)

    press(start, on_start, form, [status, verdict, pictures, tag, ways, report])
    press(cancel, canceller(current_job, words), [], [status])
    webui.connect_send(send, tag)


def start_pipeline(
    fields: tuple[Any, ...], webui: WebuiSettings, words: Words, current_job: CurrentJob
) -> Iterator[tuple[Any, ...]]:
    """Starts both routes with the form's values, in the order of the page, and yields updates of its outputs."""
    import gradio as gr

    uploads, folder, preset, drawer, trigger, budget, with_class, photo_shape = fields
    try:
        host = who_draws(drawer, webui, words)
        photos = photos_of(uploads, folder, webui.folders_allowed)
        address, runs = (webui.url, webui.lora_folder), webui.runs
        options = (trigger, budget, bool(with_class), runs, bool(photo_shape))
        command, out = pipeline_command(photos, preset, host, *address, *options)
        job = begin(current_job, command, webui)
    except BadForm as wrong:
        yield refused(words, wrong, 5)
        return
    for state in watch(job):
        if not state.finished or not isinstance(state.document, dict):
            yield (status_of(state, words), gr.update(), list(state.pictures), *unchanged(3))
            continue
        document, page = state.document, out / "report.html"
        tag = lora_of(document, webui)
        note = f"<div>{words('mini_lora')}</div>" if preset == "mini" and tag else ""
        yield (
            status_of(state, words) + note,
            verdict_text(document, words),
            side_by_side(document, out, words),
            tag,
            way_rows(document, words),
            str(page) if page.is_file() else None,
        )


def verdict_text(document: dict[str, Any], words: Words) -> str:
    """The decision, and the scorer's gain over the best words with its interval, in points of 100."""
    key = {"arm": "tuned", "over": "words", "by": "scorer", "group": None}
    gain = next(row["interval"] for row in document["gains"] if key.items() <= row.items())
    mean, low, high = (100 * gain[name] for name in ("mean", "low", "high"))
    decision = words(f"v_{document['verdict']['decision']}")
    return words("verdict_line", decision=decision, gain=mean, low=low, high=high)


def lora_of(document: dict[str, Any], webui: WebuiSettings) -> str:
    """The prompt text of the LoRA, now in the WebUI's folder, where the verdict is for training; else ""."""
    tuned, verdict = document["tuned"], document["verdict"]
    if verdict["decision"] != "training" or tuned["kind"] != "lora":
        return ""
    file = Path(tuned["file"])
    place = give_to_host(file, webui.lora_folder, tuned["trigger"] or file.stem)
    webui.refresh_loras()
    return prompt_tag(place, tuned["trigger"], verdict["strength"])
