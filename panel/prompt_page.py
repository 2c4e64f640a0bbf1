"""The tab's page Prompt: photos in, best prompts out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .commands import BUDGETS, STRATEGIES, photos_of, prompt_command, tag_command
from .form import drawing_fields, photo_fields, sent_file, tick, who_draws
from .job import CommandProcess, JobOrder
from .results import drawing_of, gallery, infotexts, read_report, result_rows, tag_rows
from .run_panel import RunPanel
from .send_buttons import send_buttons
from .texts import Words
from .webui_settings import WebuiSettings


def prompt_page(webui: WebuiSettings, words: Words, panel: RunPanel) -> tuple[Any, ...]:
    """Photos → tags → prompts → pictures → the best prompt, sent to txt2img."""
    import gradio as gr

    with gr.Row():
        with gr.Column():
            photos, folder = photo_fields("prompt", words("photos"), webui, words)
            sent = gr.Image(label=words("sent"), type="pil", height=240, elem_id="modiste_prompt_sent")
            preset, drawer = drawing_fields("prompt", webui, words)
            strategies = _choices("strategies", STRATEGIES, words)
            budget = gr.Slider(*BUDGETS, value=24, step=1, label=words("budget"), elem_id="modiste_prompt_budget")
            photo_shape, any_photo = (tick("prompt", name, words) for name in ("photo_shape", "any_photo"))
            pinned, left_out = (_choices(name, (), words) for name in ("pin", "leave_out"))
            with gr.Row():
                read = gr.Button(words("read_tags"), elem_id="modiste_prompt_read")
                start = gr.Button(words("start"), variant="primary", elem_id="modiste_prompt_start")
        with gr.Column():
            best_of = gr.Dropdown([], label=words("best_of"), elem_id="modiste_prompt_best_of")
            best = gr.Textbox(label=words("best"), lines=4, elem_id="modiste_prompt_text")
            style = send_buttons("prompt", words)
            send = gr.Button(words("send"), elem_id="modiste_prompt_send")
            report = gr.File(label=words("report"), interactive=False, elem_id="modiste_prompt_report")
    tags = _table("tags", ("photo", "group", "label", "confidence"), words)
    results = _table("results", ("photo", "strategy", "similarity", "baseline", "improved"), words)
    texts = gr.State({})

    def search_order(
        uploads: Any, path: str, image: Any, chosen: str, by: str, ways: Any, count: float, *options: Any
    ) -> JobOrder:
        host, sent = who_draws(by, webui, words), sent_file(image, webui.runs)
        photo_paths = photos_of(uploads, path, webui.folders_allowed, sent)
        drawing = chosen, host, webui.server(), ways or [], count
        shape, *edits, any_kind = options
        kept, dropped = (tuple(tags or ()) for tags in edits)
        rest = webui.runs, bool(shape), webui.encoder, (kept, dropped), bool(any_kind)
        command, out = prompt_command(photo_paths, *drawing, *rest)
        return JobOrder("prompt", tuple(command), str(webui.runs), str(out))

    def tags_order(uploads: Any, path: str, image: Any, chosen: str, any_kind: bool) -> JobOrder:
        photo_paths = photos_of(uploads, path, webui.folders_allowed, sent_file(image, webui.runs))
        command = tag_command(photo_paths, chosen, webui.encoder, bool(any_kind))
        return JobOrder("tags", tuple(command), str(webui.runs))

    shown = {"tags": tags, "results": results, "texts": texts, "best_of": best_of, "best": best, "report": report}
    panel.shows("prompt", shown, found_view)
    panel.shows("tags", {"tags": tags, "pin": pinned, "leave_out": left_out}, tags_view)
    form = [photos, folder, sent, preset, drawer, strategies, budget, photo_shape, pinned, left_out, any_photo]
    panel.starts(start, form, search_order)
    panel.starts(read, [photos, folder, sent, preset, any_photo], tags_order)
    best_of.change(fn=lambda name, texts: (texts or {}).get(name, ""), inputs=[best_of, texts], outputs=[best])
    webui.connect_send(send, best)
    webui.receive_images(sent)
    panel.saves(style, best)
    return (best_of, best, tags, results, report, folder, pinned, left_out)


def _table(name: str, columns: tuple[str, ...], words: Words) -> Any:
    import gradio as gr

    heads = [words(f"col_{column}") for column in columns]
    return gr.Dataframe(headers=heads, label=words(name), interactive=False, elem_id=f"modiste_prompt_{name}")


def _choices(name: str, options: Sequence[str], words: Words) -> Any:
    """A list of which any number is taken, none at first."""
    import gradio as gr

    return gr.Dropdown(list(options), value=[], multiselect=True, label=words(name), elem_id=f"modiste_prompt_{name}")


def tags_view(job: CommandProcess) -> dict[str, Any]:
    """The tags that were read, and chips of them to pin or to leave out."""
    import gradio as gr

    if not job.finished:
        return {}
    photos = job.document or []
    chips = list(dict.fromkeys(f"{tag['group']}:{tag['label']}" for photo in photos for tag in photo["tags"]))
    groups = dict.fromkeys(chip.partition(":")[0] for chip in chips)
    return {
        "tags": tag_rows(photos),
        "pin": gr.update(choices=chips, value=[]),
        "leave_out": gr.update(choices=[*chips, *groups], value=[]),
    }


def found_view(job: CommandProcess) -> dict[str, Any]:
    """What a search has found, once it has ended with a report."""
    import gradio as gr

    out = Path(job.order.out)
    report = None if job.running else read_report(out)
    if report is None:
        return {}
    texts, page = infotexts(report, drawing_of(report)), out / "report.html"
    first = next(iter(texts), None)
    return {
        "pictures": gallery(report, out),
        "tags": tag_rows(report["images"]),
        "results": result_rows(report),
        "texts": texts,
        "best_of": gr.update(choices=list(texts), value=first),
        "best": texts.get(first, ""),
        "report": str(page) if page.is_file() else None,
    }
