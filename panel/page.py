"""The tab: the run panel, and under it the pages' forms. Only names that gradio 3.41 and 4.40 share."""

from __future__ import annotations

from typing import Any

from .both_page import both_page
from .current_job import CurrentJob
from .form import keep_apart
from .judge_page import judge_page
from .prompt_page import prompt_page
from .run_panel import RunPanel
from .setup_page import setup_page
from .texts import Words
from .training_page import training_page
from .webui_settings import WebuiSettings

PAGES = {
    "prompt": prompt_page,
    "training": training_page,
    "both": both_page,
    "judge": judge_page,
    "setup": setup_page,
}


def build(webui: WebuiSettings) -> Any:
    """The tab's gr.Blocks."""
    import gradio as gr

    words, current_job = Words(webui.language), CurrentJob(webui.runs, webui.refresh_loras)
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Markdown(words("intro"))
        panel = RunPanel(webui, words, current_job)
        with gr.Tabs(elem_id="modiste_pages"):
            for name, make_page in PAGES.items():
                with gr.Tab(words(f"page_{name}"), elem_id=f"modiste_{name}") as tab:
                    results = make_page(webui, words, panel)
                keep_apart(tab, name, results)
        panel.connect()
    return page
