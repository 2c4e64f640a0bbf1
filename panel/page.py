"""The tab: four pages of forms and their handlers. Only names that gradio 3.41 and 4.40 share."""

from __future__ import annotations

from typing import Any

from .both_page import both_page
from .current_job import CurrentJob
from .prompt_page import prompt_page
from .setup_page import setup_page
from .texts import Words
from .training_page import training_page
from .webui_settings import WebuiSettings


def build(webui: WebuiSettings) -> Any:
    """The tab's gr.Blocks."""
    import gradio as gr

    words, current_job = Words(webui.language), CurrentJob()
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Markdown(words("intro"))
        with gr.Tabs():
            with gr.Tab(words("page_prompt")):
                prompt_page(webui, words, current_job)
            with gr.Tab(words("page_training")):
                training_page(webui, words, current_job)
            with gr.Tab(words("page_both")):
                both_page(webui, words, current_job)
            with gr.Tab(words("page_setup")):
                setup_page(words, current_job)
    return page
