"""The panel in A1111 and Forge: a thin page. Modiste itself runs as a process in its own environment."""

from __future__ import annotations

import subprocess

from modules import script_callbacks

from modiste.install import ROOT, own_environ, venv_folder, venv_python

CHECK_TIMEOUT_S = 120
PAGE = """\
### Modiste: from a photo of a garment to the prompt that draws it again

Modiste looks at photos, finds the words, draws with them, and shows on unseen seeds what they were worth.
It runs in its own environment and changes nothing in this WebUI's.

Set it up once, in a terminal (Python 3.10 or newer):

    python "{root}/install.py" setup

Then, for one photo or a folder of photos:

    "{python}" "{root}/harness.py" prompt PHOTOS --out FOLDER

The folder's `report.html` shows each photo beside the best picture, with the prompt to paste here.
"""


def own_python() -> str:
    """The interpreter of Modiste's own environment, whether it is there or not."""
    return str(venv_python(venv_folder()))


def check() -> str:
    """What Modiste's own environment says about itself, or how to get one."""
    command = [own_python(), str(ROOT / "harness.py"), "doctor"]
    if not venv_python(venv_folder()).exists():
        return f'There is no environment yet. In a terminal: python "{ROOT / "install.py"}" setup'
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", timeout=CHECK_TIMEOUT_S, env=own_environ()
        )
    except subprocess.TimeoutExpired:
        return f"No answer in {CHECK_TIMEOUT_S} s from: {' '.join(command)}"
    return done.stdout + done.stderr


def on_ui_tabs() -> list[tuple[object, str, str]]:
    """The `Modiste` tab; only what gradio 3.41 and 4.40 have in common."""
    import gradio as gr

    with gr.Blocks(analytics_enabled=False) as page:
        gr.Markdown(PAGE.format(root=ROOT, python=own_python()))
        button = gr.Button("Check the environment")
        answer = gr.Textbox(label="What is there", lines=16, interactive=False)
        button.click(fn=check, inputs=[], outputs=[answer])
    return [(page, "Modiste", "modiste")]


script_callbacks.on_ui_tabs(on_ui_tabs)
