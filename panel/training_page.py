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
from .webui_settings import WebuiSide


def training_page(side: WebuiSide, words: Words, desk: CurrentJob) -> None:
    """Photos of a brand → a LoRA in the WebUI's folder, with the words that call it."""
    import gradio as gr

    with gr.Row():
        with gr.Column():
            photos, folder = photo_fields(words("dataset"), side, words)
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
            status = gr.HTML(status_of(desk.job, words))
        with gr.Column():
            pictures = gr.Gallery(label=words("pictures"), columns=4, height="auto")
            tag = gr.Textbox(label=words("lora_tag"), interactive=False)
            send = gr.Button(words("send"))
            loss = gr.Image(label=words("loss"), interactive=False)

    def on_start(*fields: Any) -> Iterator[tuple[Any, ...]]:
        given, path, chosen, here, called, word, count, size = fields
        try:
            found = photos_of(given, path, side.folders_allowed)
            checkpoint = side.checkpoint_file() if here else None
            command, out = finetune_command(found, chosen, checkpoint, word, count, size, side.runs)
            job = begin(desk, command, side)
        except BadForm as wrong:
            yield refused(words, wrong, 3)
            return
        for now in watch(job):
            if not now.finished or not isinstance(now.document, dict):
                yield (status_of(now, words), list(now.pictures), *unchanged(2))
                continue
            place = give_to_host(Path(now.document["file"]), side.lora_folder, called)
            side.refresh_loras()
            curve = out / "loss.png"
            note = f"<div>{words('mini_lora')}</div>" if chosen == "mini" and not checkpoint else ""
            yield (
                status_of(now, words) + note,
                list(now.pictures),
                prompt_tag(place, word.strip()),
                str(curve) if curve.is_file() else None,
            )

    form = [photos, folder, preset, loaded, name, trigger, steps, rank]
    press(start, on_start, form, [status, pictures, tag, loss])
    press(cancel, canceller(desk, words), [], [status])
    side.connect_send(send, tag)
