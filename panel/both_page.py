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
from .webui_settings import WebuiSide


def both_page(side: WebuiSide, words: Words, desk: CurrentJob) -> None:
    """Photos of a brand → words → a LoRA → which of them pays, on photos that neither has seen."""
    import gradio as gr

    gr.Markdown(words("both_intro"))
    with gr.Row():
        with gr.Column():
            photos, folder = photo_fields(words("dataset"), side, words)
            preset, drawer = drawing_fields(side, words)
            trigger = gr.Textbox(value="", label=words("trigger"))
            budget = gr.Slider(*BUDGETS, value=16, step=1, label=words("budget"))
            with_class = gr.Checkbox(value=False, label=words("with_class"))
            with gr.Row():
                start = gr.Button(words("start"), variant="primary")
                cancel = gr.Button(words("cancel"), variant="stop")
            status = gr.HTML(status_of(desk.job, words))
        with gr.Column():
            verdict = gr.Textbox(label=words("verdict"), lines=2, interactive=False)
            pictures = gr.Gallery(label=words("pictures"), columns=3, height="auto")
            tag = gr.Textbox(label=words("lora_tag"), interactive=False)
            send = gr.Button(words("send"))
            report = gr.File(label=words("report"), interactive=False)
    heads = [words(f"col_{name}") for name in ("way", "similarity", "judge", "adherence")]
    ways = gr.Dataframe(headers=heads, label=words("results"), interactive=False)

    def on_start(*fields: Any) -> Iterator[tuple[Any, ...]]:
        given, path, chosen, who, word, count, with_pictures = fields
        try:
            drawn_by = who_draws(who, side, words)
            found = photos_of(given, path, side.folders_allowed)
            command, out = pipeline_command(
                found, chosen, drawn_by, side.url, side.lora_folder, word, count, bool(with_pictures), side.runs
            )
            job = begin(desk, command, side)
        except BadForm as wrong:
            yield refused(words, wrong, 5)
            return
        for now in watch(job):
            if not now.finished or not isinstance(now.document, dict):
                yield (status_of(now, words), gr.update(), list(now.pictures), *unchanged(3))
                continue
            story, page = now.document, out / "report.html"
            tag_of_it = lora_of(story, side)
            note = f"<div>{words('mini_lora')}</div>" if chosen == "mini" and tag_of_it else ""
            yield (
                status_of(now, words) + note,
                verdict_text(story, words),
                side_by_side(story, out, words),
                tag_of_it,
                way_rows(story, words),
                str(page) if page.is_file() else None,
            )

    form = [photos, folder, preset, drawer, trigger, budget, with_class]
    press(start, on_start, form, [status, verdict, pictures, tag, ways, report])
    press(cancel, canceller(desk, words), [], [status])
    side.connect_send(send, tag)


def verdict_text(story: dict[str, Any], words: Words) -> str:
    """The decision, and the scorer's gain over the best words."""
    wanted = {"arm": "tuned", "over": "words", "by": "scorer", "group": None}
    gain = next(one["interval"] for one in story["gains"] if wanted.items() <= one.items())
    mean, low, high = (100 * gain[name] for name in ("mean", "low", "high"))
    return words("verdict_line", decision=words(f"v_{story['verdict']['decision']}"), gain=mean, low=low, high=high)


def lora_of(story: dict[str, Any], side: WebuiSide) -> str:
    """What goes into a prompt, where training has paid; the LoRA then lies in the WebUI's folder."""
    tuned, verdict = story["tuned"], story["verdict"]
    if verdict["decision"] != "training" or tuned["kind"] != "lora":
        return ""
    file = Path(tuned["file"])
    place = give_to_host(file, side.lora_folder, tuned["trigger"] or file.stem)
    side.refresh_loras()
    return prompt_tag(place, tuned["trigger"], verdict["strength"])
