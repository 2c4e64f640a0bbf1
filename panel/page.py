"""The tab: four pages of forms, and what a press of a button does. Only names that gradio 3.41 and 4.40 share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..hosts.lora_file import give_to_host
from ..install import own_environ, venv_folder
from . import environment
from .commands import (
    BUDGETS,
    HERE,
    OWN,
    PRESETS,
    RANKS,
    STEPS,
    STRATEGIES,
    BadForm,
    finetune_command,
    photos_of,
    pipeline_command,
    prompt_command,
    tag_command,
)
from .desk import Desk, status_of, watch
from .results import (
    drawing_of,
    gallery,
    infotexts,
    prompt_tag,
    read_report,
    result_rows,
    side_by_side,
    tag_rows,
    way_rows,
)
from .webui_side import WebuiSide
from .words import Words

PHOTO_TYPES = [".png", ".jpg", ".jpeg", ".webp"]


def build(side: WebuiSide) -> Any:
    """The tab's gr.Blocks."""
    import gradio as gr

    words, desk = Words(side.language), Desk()
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Markdown(words("intro"))
        with gr.Tabs():
            with gr.Tab(words("page_prompt")):
                prompt_page(side, words, desk)
            with gr.Tab(words("page_training")):
                training_page(side, words, desk)
            with gr.Tab(words("page_both")):
                both_page(side, words, desk)
            with gr.Tab(words("page_setup")):
                setup_page(words, desk)
    return page


def prompt_page(side: WebuiSide, words: Words, desk: Desk) -> None:
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


def training_page(side: WebuiSide, words: Words, desk: Desk) -> None:
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


def both_page(side: WebuiSide, words: Words, desk: Desk) -> None:
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


def setup_page(words: Words, desk: Desk) -> None:
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


def photo_fields(label: str, side: WebuiSide, words: Words) -> tuple[Any, Any]:
    """Uploads, and a folder's path where the WebUI lets people name folders."""
    import gradio as gr

    photos = gr.File(label=label, file_count="multiple", file_types=PHOTO_TYPES)
    return photos, gr.Textbox(label=words("folder"), visible=side.folders_allowed)


def drawing_fields(side: WebuiSide, words: Words) -> tuple[Any, Any]:
    """The models, and who draws with them; this WebUI first where it can."""
    import gradio as gr

    with gr.Row():
        preset = gr.Dropdown(list(PRESETS), value=PRESETS[0], label=words("preset"))
        first = words("here" if side.has_api else "own")
        return preset, gr.Radio([words("here"), words("own")], value=first, label=words("drawer"))


def who_draws(chosen: str, side: WebuiSide, words: Words) -> str:
    """What was chosen, as the commands know it; BadForm where this WebUI was chosen and can't be asked."""
    drawer = {words("here"): HERE, words("own"): OWN}.get(chosen, "")
    if drawer == HERE and not side.has_api:
        raise BadForm("drawer", "no_api")
    return drawer


def setup_text(words: Words) -> str:
    """Whether the environment is there, or what it takes."""
    folder = venv_folder()
    if environment.is_there():
        return words("setup_there", folder=folder)
    sizes = {"size": environment.SIZE_GB, "cuda": environment.SIZE_CUDA_GB, "free": environment.free_gb()}
    return words("setup_missing", folder=folder, **sizes)


def begin(desk: Desk, command: list[str], side: WebuiSide) -> Any:
    """Starts a command of harness.py in the own environment; BadForm where that is not there."""
    if not environment.is_there():
        raise BadForm("environment", "no_environment")
    return desk.begin([str(environment.own_python()), *command], side.runs, {**own_environ(), **side.secrets})


def refused(words: Words, wrong: BadForm, others: int) -> tuple[Any, ...]:
    """A message in place of the status; the other outputs stay."""
    return (f"<div><b>{words(wrong.why)}</b></div>", *unchanged(others))


def unchanged(count: int) -> list[Any]:
    """Updates that change nothing."""
    import gradio as gr

    return [gr.update() for _ in range(count)]


def canceller(desk: Desk, words: Words) -> Callable[[], str]:
    """What the cancel button does."""

    def cancel() -> str:
        desk.cancel()
        return status_of(desk.job, words)

    return cancel


def press(button: Any, handler: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> None:
    """The handler of a button, without gradio's own spinner over the outputs."""
    button.click(fn=handler, inputs=inputs, outputs=outputs, show_progress="hidden")
