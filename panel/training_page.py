"""The tab's page Training: photos in, a LoRA out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..hosts.lora_folder import give_to_host
from .commands import (
    PRESETS,
    RANKS,
    STEPS,
    BadForm,
    finetune_command,
    photos_of,
)
from .current_job import CurrentJob, status_of, watch
from .form import begin, canceller, photo_fields, press, refused, unchanged
from .results import (
    prompt_tag,
)
from .texts import Words
from .webui_settings import WebuiSettings


def training_page(webui: WebuiSettings, words: Words, current_job: CurrentJob) -> None:
    """Photos of a brand → a LoRA in the WebUI's folder, with the words that call it."""
    import gradio as gr

    with gr.Row():
        with gr.Column():
            photos, folder = photo_fields(words("dataset"), webui, words)
            preset = gr.Dropdown(list(PRESETS), value=PRESETS[0], label=words("preset"))
            loaded = gr.Checkbox(value=False, label=words("loaded_here"))
            with gr.Row():
                name = gr.Textbox(value="brand", label=words("lora_name"))
                trigger = gr.Textbox(value="", label=words("trigger"))
            steps = gr.Slider(*STEPS, value=500, step=50, label=words("steps"))
            rank = gr.Slider(*RANKS, value=16, step=4, label=words("rank"))
            with gr.Row():
                start = gr.Button(words("start"), variant="primary")
                cancel = gr.Button(words("cancel"), variant="stop")
            status = gr.HTML(status_of(current_job.job, words))
        with gr.Column():
            pictures = gr.Gallery(label=words("pictures"), columns=4, height="auto")
            tag = gr.Textbox(label=words("lora_tag"), interactive=False)
            send = gr.Button(words("send"))
            loss = gr.Image(label=words("loss"), interactive=False)

    def on_start(*fields: Any) -> Iterator[tuple[Any, ...]]:
        uploads, folder_path, chosen, use_loaded, lora_name, trigger_word, steps_chosen, rank_chosen = fields
        try:
            photo_paths = photos_of(uploads, folder_path, webui.folders_allowed)
            checkpoint = webui.checkpoint_file() if use_loaded else None
            command, out = finetune_command(
                photo_paths, chosen, checkpoint, trigger_word, steps_chosen, rank_chosen, webui.runs
            )
            job = begin(current_job, command, webui)
        except BadForm as wrong:
            yield refused(words, wrong, 3)
            return
        for state in watch(job):
            if not state.finished or not isinstance(state.document, dict):
                yield (status_of(state, words), list(state.pictures), *unchanged(2))
                continue
            place = give_to_host(Path(state.document["file"]), webui.lora_folder, lora_name)
            webui.refresh_loras()
            curve = out / "loss.png"
            note = f"<div>{words('mini_lora')}</div>" if chosen == "mini" and not checkpoint else ""
            yield (
                status_of(state, words) + note,
                list(state.pictures),
                prompt_tag(place, trigger_word.strip()),
                str(curve) if curve.is_file() else None,
            )

    form = [photos, folder, preset, loaded, name, trigger, steps, rank]
    press(start, on_start, form, [status, pictures, tag, loss])
    press(cancel, canceller(current_job, words), [], [status])
    webui.connect_send(send, tag)
