"""The tab's page Training: photos in, a LoRA out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .commands import RANKS, STEPS, finetune_command, photos_of
from .form import photo_fields, preset_field
from .job import CommandProcess, JobOrder
from .results import delivered_prompt
from .run_panel import RunPanel
from .send_buttons import send_buttons
from .texts import Words
from .webui_settings import WebuiSettings


def training_page(webui: WebuiSettings, words: Words, panel: RunPanel) -> tuple[Any, ...]:
    """Photos of a brand → a LoRA in the WebUI's folder, with the words that call it."""
    import gradio as gr

    with gr.Row():
        with gr.Column():
            photos, folder = photo_fields("training", words("dataset"), webui, words)
            preset = preset_field("training", webui, words)
            loaded = gr.Checkbox(value=False, label=words("loaded_here"), elem_id="modiste_training_loaded")
            with gr.Row():
                name = gr.Textbox(value="brand", label=words("lora_name"), elem_id="modiste_training_name")
                trigger = gr.Textbox(value="", label=words("trigger"), elem_id="modiste_training_trigger")
            steps = gr.Slider(*STEPS, value=500, step=50, label=words("steps"), elem_id="modiste_training_steps")
            rank = gr.Slider(*RANKS, value=16, step=4, label=words("rank"), elem_id="modiste_training_rank")
            start = gr.Button(words("start"), variant="primary", elem_id="modiste_training_start")
        with gr.Column():
            tag = gr.Textbox(label=words("lora_tag"), interactive=False, elem_id="modiste_training_text")
            style = send_buttons("training", words)
            loss = gr.Image(label=words("loss"), interactive=False, elem_id="modiste_training_loss")

    def order(
        uploads: Any, folder_path: str, chosen: str, use_loaded: bool, lora: str, word: str, updates: float, size: float
    ) -> JobOrder:
        photo_paths = photos_of(uploads, folder_path, webui.folders_allowed)
        checkpoint = webui.checkpoint_file() if use_loaded else None
        trained = chosen, checkpoint, word, updates, size
        command, out = finetune_command(photo_paths, *trained, webui.runs, (webui.lora_folder, lora))
        options = {"embedded": chosen == "mini" and not checkpoint}
        return JobOrder("training", tuple(command), str(webui.runs), str(out), options)

    def view(job: CommandProcess) -> dict[str, Any]:
        return trained_view(job, words)

    panel.saves(style, tag)
    panel.starts(start, [photos, folder, preset, loaded, name, trigger, steps, rank], order)
    panel.shows("training", {"text": tag, "loss": loss}, view)
    return (tag, loss)


def trained_view(job: CommandProcess, words: Words) -> dict[str, Any]:
    """What a finished training has delivered, and its loss."""
    from .current_job import status_of

    if not job.finished:
        return {}
    out, prompt = Path(job.order.out), delivered_prompt(Path(job.order.out))
    note = f"<div>{words('mini_lora')}</div>" if job.order.options.get("embedded") and prompt else ""
    curve = out / "loss.png"
    return {"status": status_of(job, words) + note, "text": prompt, "loss": str(curve) if curve.is_file() else None}
