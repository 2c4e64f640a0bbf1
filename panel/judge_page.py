"""The tab's page Which file?: LoRA files, or the samples of a training, and photos in; the one to keep out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from .commands import photos_of
from .current_job import status_of
from .form import drawing_fields, photo_fields, who_draws
from .job import CommandProcess, JobOrder
from .judge_command import judge_command, judged_files, loras_in
from .results import Rows
from .run_panel import RunPanel
from .send_buttons import send_buttons
from .texts import Words
from .webui_settings import WebuiSettings

NAME_DIGITS = 8  # of a copy's digest
SHOWN = 4  # pictures a candidate in the gallery


def judge_page(webui: WebuiSettings, words: Words, panel: RunPanel) -> tuple[Any, ...]:
    """Candidates → pictures on common seeds → which one to keep, and what it gains."""
    import gradio as gr

    def choices() -> Any:
        return gr.update(choices=loras_in(webui.lora_folder))

    gr.Markdown(words("judge_intro"))
    with gr.Row():
        with gr.Column():
            photos, folder = photo_fields("judge", words("judge_photos"), webui, words)
            loras = gr.Dropdown(
                loras_in(webui.lora_folder),
                value=[],
                multiselect=True,
                label=words("judge_loras"),
                elem_id="modiste_judge_loras",
            )
            files = gr.Textbox(
                label=words("judge_folder"), visible=webui.folders_allowed, elem_id="modiste_judge_files"
            )
            preset, drawer = drawing_fields("judge", webui, words)
            with gr.Row():
                strengths = gr.Textbox(value="1", label=words("judge_strengths"), elem_id="modiste_judge_strengths")
                trigger = gr.Textbox(value="", label=words("trigger"), elem_id="modiste_judge_trigger")
            start = gr.Button(words("start"), variant="primary", elem_id="modiste_judge_start")
        with gr.Column():
            verdict = gr.Textbox(label=words("verdict"), lines=4, interactive=False, elem_id="modiste_judge_verdict")
            tag = gr.Textbox(label=words("judge_to_prompt"), interactive=False, elem_id="modiste_judge_text")
            style = send_buttons("judge", words)
            report = gr.File(label=words("report"), interactive=False, elem_id="modiste_judge_report")
    heads = [words(f"col_{name}") for name in ("candidate", "similarity", "judge", "behind", "pictures", "standing")]
    rows = gr.Dataframe(headers=heads, label=words("judge_candidates"), interactive=False, elem_id="modiste_judge_rows")

    def order(
        uploads: Any, path: str, chosen: Any, files_path: str, models: str, by: str, tried: str, word: str
    ) -> JobOrder:
        judged = judged_files(chosen or [], files_path or "", webui.lora_folder, webui.folders_allowed)
        photo_paths = photos_of(uploads, path, webui.folders_allowed)
        host = "" if judged[1] else who_draws(by, webui, words)
        server = webui.server(), webui.lora_folder
        command, out = judge_command(
            photo_paths, judged, models, host, server, tried or "", word or "", webui.runs, webui.encoder
        )
        return JobOrder("judge", tuple(command), str(webui.runs), str(out))

    def view(job: CommandProcess) -> dict[str, Any]:
        return {**judged_view(job, words, webui.lora_folder), **({} if job.running else {"loras": choices()})}

    panel.shows("judge", {"verdict": verdict, "text": tag, "rows": rows, "report": report, "loras": loras}, view)
    panel.saves(style, tag)
    panel.starts(start, [photos, folder, loras, files, preset, drawer, strengths, trigger], order)
    return (verdict, tag, rows, report, folder, files, loras)


def judged_view(job: CommandProcess, words: Words, lora_folder: Path) -> dict[str, Any]:
    """The verdict of a finished judgement, its candidates, and the one to keep as a prompt names it."""
    document = job.document if job.finished else None
    if not isinstance(document, dict):
        return {}
    out = Path(job.order.out)
    page = out / "report.html"
    return {
        "status": status_of(job, words),
        "pictures": candidate_pictures(document, out),
        "verdict": verdict_text(document, words),
        "text": prompt_text(document, lora_folder),
        "rows": candidate_rows(document, words),
        "report": str(page) if page.is_file() else None,
    }


def verdict_text(report: dict[str, Any], words: Words) -> str:
    """The decision, and what the best one gains over base, next and last with intervals, in points of 100."""
    verdict = report["verdict"]
    lines = [words(f"judged_{verdict['decision']}", label=verdict["label"])]
    for gain in report["gains"]:
        other = words("judged_base") if gain["over"] == "base" else gain["label"]
        mean, low, high = (100 * gain["interval"][name] for name in ("mean", "low", "high"))
        lines.append(words("judged_over", points=mean, other=other, low=low, high=high))
    return "\n".join(lines)


def candidate_rows(report: dict[str, Any], words: Words) -> Rows:
    """Rows of candidate, similarity, second opinion, points behind the best, pictures, standing."""
    return [
        [
            row["label"],
            _points(row["similarity"]),
            _points(row["judge"]),
            f"{-100 * row['best_over_it']['mean']:+.1f}" if row["best_over_it"] else "–",
            row["pictures"],
            words(f"standing_{row['standing']}"),
        ]
        for row in report["rows"]
    ]


def candidate_pictures(report: dict[str, Any], out: Path) -> list[tuple[str, str]]:
    """(file, caption) of each candidate's first pictures."""
    shown = [(out / file, row["label"]) for row in report["rows"] for file in row["files"][:SHOWN]]
    return [(str(file), label) for file, label in shown if file.is_file()]


def prompt_text(report: dict[str, Any], lora_folder: Path) -> str:
    """`<lora:NAME:STRENGTH>` of the file to keep, by its name in `lora_folder`, and its trigger; empty without proof.

    A file from elsewhere is called there as the copy that was judged, whose name ends in its content's digest
    (hosts/lora_folder.py).
    """
    verdict = report["verdict"]
    if verdict["decision"] != "keep" or not verdict["file"]:
        return ""
    file, trigger = Path(verdict["file"]), report["settings"].get("trigger") or ""
    name = file.stem
    if lora_folder not in file.parents and file.is_file():
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:NAME_DIGITS]
        name = next((copy.stem for copy in sorted(lora_folder.glob(f"*-{digest}{file.suffix}"))), name)
    tag = f"<lora:{name}:{verdict['strength'] or 1:g}>"
    return ", ".join(word for word in (tag, trigger) if word)


def _points(share: float | None) -> int | str:
    return "–" if share is None else round(100 * share)
