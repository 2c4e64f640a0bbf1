"""The tab's page Both routes: the whole pipeline and its verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .commands import BUDGETS, photos_of, pipeline_command
from .current_job import status_of
from .form import drawing_fields, photo_fields, tick, who_draws
from .job import CommandProcess, JobOrder
from .results import delivered_prompt, side_by_side, way_rows
from .run_panel import RunPanel
from .send_buttons import send_buttons
from .texts import Words
from .webui_settings import WebuiSettings


def both_page(webui: WebuiSettings, words: Words, panel: RunPanel) -> tuple[Any, ...]:
    """Photos of a brand → words → a LoRA → which of them pays, on photos that neither has seen."""
    import gradio as gr

    gr.Markdown(words("both_intro"))
    with gr.Row():
        with gr.Column():
            photos, folder = photo_fields("both", words("dataset"), webui, words)
            preset, drawer = drawing_fields("both", webui, words)
            trigger = gr.Textbox(value="", label=words("trigger"), elem_id="modiste_both_trigger")
            budget = gr.Slider(*BUDGETS, value=16, step=1, label=words("budget"), elem_id="modiste_both_budget")
            with_class = gr.Checkbox(value=False, label=words("with_class"), elem_id="modiste_both_with_class")
            photo_shape, any_photo = (tick("both", name, words) for name in ("photo_shape", "any_photo"))
            start = gr.Button(words("start"), variant="primary", elem_id="modiste_both_start")
        with gr.Column():
            verdict = gr.Textbox(label=words("verdict"), lines=2, interactive=False, elem_id="modiste_both_verdict")
            tag = gr.Textbox(label=words("lora_tag"), interactive=False, elem_id="modiste_both_text")
            style = send_buttons("both", words)
            report = gr.File(label=words("report"), interactive=False, elem_id="modiste_both_report")
    heads = [words(f"col_{name}") for name in ("way", "similarity", "judge", "adherence")]
    ways = gr.Dataframe(headers=heads, label=words("results"), interactive=False, elem_id="modiste_both_ways")

    def order(uploads: Any, path: str, chosen: str, by: str, word: str, count: float, *ticks: Any) -> JobOrder:
        host, photo_paths = who_draws(by, webui, words), photos_of(uploads, path, webui.folders_allowed)
        joined, shape, any_kind = map(bool, ticks)
        address, options = (
            (webui.server(), webui.lora_folder),
            (word, count, joined, webui.runs, shape, webui.encoder, any_kind, webui.checkpoint_file()),
        )
        command, out = pipeline_command(photo_paths, chosen, host, *address, *options)
        return JobOrder("both", tuple(command), str(webui.runs), str(out), {"embedded": chosen == "mini"})

    def view(job: CommandProcess) -> dict[str, Any]:
        return verdict_view(job, words)

    panel.shows("both", {"verdict": verdict, "text": tag, "ways": ways, "report": report}, view)
    panel.saves(style, tag)
    panel.starts(start, [photos, folder, preset, drawer, trigger, budget, with_class, photo_shape, any_photo], order)
    return (verdict, tag, ways, report, folder)


def verdict_view(job: CommandProcess, words: Words) -> dict[str, Any]:
    """The verdict of a finished run of both routes, and the LoRA that it has delivered."""
    document = job.document if job.finished else None
    if not isinstance(document, dict):
        return {}
    out = Path(job.order.out)
    page, prompt = out / "report.html", delivered_prompt(out)
    note = f"<div>{words('mini_lora')}</div>" if job.order.options.get("embedded") and prompt else ""
    return {
        "status": status_of(job, words) + note,
        "pictures": side_by_side(document, out, words),
        "verdict": verdict_text(document, words),
        "text": prompt,
        "ways": way_rows(document, words),
        "report": str(page) if page.is_file() else None,
    }


def verdict_text(document: dict[str, Any], words: Words) -> str:
    """The decision, and the scorer's gain over the best words with its interval, in points of 100."""
    key = {"arm": "tuned", "over": "words", "by": "scorer", "group": None}
    gain = next(row["interval"] for row in document["gains"] if key.items() <= row.items())
    mean, low, high = (100 * gain[name] for name in ("mean", "low", "high"))
    decision = words(f"v_{document['verdict']['decision']}")
    return words("verdict_line", decision=decision, gain=mean, low=low, high=high)
