"""Buttons that hand a page's text on.

#modiste_PAGE_text → #modiste_PAGE_to_txt2img, #modiste_PAGE_to_img2img: the browser adds it to the prompt that is there
(javascript/modiste.js)
"""

from __future__ import annotations

from typing import Any

from .texts import Words


def send_buttons(page: str, words: Words) -> Any:
    """Add to txt2img, add to img2img, save as a style; returns the last one, which the WebUI itself answers."""
    import gradio as gr

    with gr.Row():
        for target in ("txt2img", "img2img"):
            gr.Button(words(f"to_{target}"), elem_id=f"modiste_{page}_to_{target}")
        return gr.Button(words("to_style"), elem_id=f"modiste_{page}_to_style")


def receiving_button(words: Words, elem_id: str) -> Any:
    """The button beside a picture of the WebUI that sends it to the tab."""
    import gradio as gr

    return gr.Button(words("to_modiste"), elem_id=elem_id)


def style_of(text: str) -> tuple[str, str, str]:
    """Name, prompt and negative prompt of a style, from a text as the WebUI reads it; its settings are left out."""
    lines = [line for line in text.splitlines() if not line.startswith("Steps: ")]
    prompt, _, negative = "\n".join(lines).partition("Negative prompt:")
    prompt = prompt.strip()
    words = prompt.replace("<lora:", "").replace(">", "").split()
    return " ".join(["Modiste:", *words[:6]]).rstrip(","), prompt, negative.strip()
