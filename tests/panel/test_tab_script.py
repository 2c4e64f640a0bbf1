"""javascript/modiste.js and style.css in a headless chromium, with the elements that the tab itself makes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import stand_in_gradio
from comfy_page.browser import PROGRAM, chromium

from modiste.panel import page as tab_page
from modiste.panel.webui_settings import WebuiSettings

pytestmark = [pytest.mark.browser, pytest.mark.skipif(PROGRAM is None, reason="no chromium")]
ROOT = Path(__file__).parents[2]
HOST = """
    window.gradioApp = () => document
    window.onUiLoaded = (then) => then()
    window.updateInput = () => {}
    window.switch_to_txt2img = window.switch_to_img2img = () => {}
"""


@pytest.fixture
def texts(monkeypatch, tmp_path) -> list[str]:
    """The tab's pages with a text that can be sent on."""
    monkeypatch.setitem(sys.modules, "gradio", stand_in_gradio)
    webui = WebuiSettings(server=lambda: (), has_api=True, runs=tmp_path / "runs", lora_folder=tmp_path / "Lora")
    ids = {part.options.get("elem_id") or "" for part in tab_page.build(webui).everything()}
    return sorted(name.split("_")[1] for name in ids if name.endswith("_to_txt2img"))


def test_every_page_adds_its_text_behind_the_prompt_that_is_there(texts, tmp_path):
    assert texts == ["both", "judge", "prompt", "training"]
    fields = [f"modiste_{page}_text" for page in texts] + ["txt2img_prompt", "img2img_prompt"]
    buttons = [f"modiste_{page}_to_{target}" for page in texts for target in ("txt2img", "img2img")]
    elements = [f'<div id="{field}"><textarea>{field}</textarea></div>' for field in fields]
    elements += [f'<button id="{button}"></button>' for button in buttons]
    script = (ROOT / "javascript" / "modiste.js").read_text(encoding="utf-8")
    with chromium(tmp_path, 600, 400) as page:
        page.run(f"document.body.innerHTML = {json.dumps(''.join(elements))}; {HOST}; {script}; 1")
        for name in texts:
            for target in ("txt2img", "img2img"):
                page.run(f"document.querySelector('#{target}_prompt textarea').value = 'mine, '")
                page.run(f"document.querySelector('#modiste_{name}_to_{target}').click()")
                value = page.run(f"document.querySelector('#{target}_prompt textarea').value")
                assert value == f"mine, modiste_{name}_text"
        assert page.problems == []


def test_the_box_of_a_runs_pictures_is_as_high_as_what_is_in_it(tmp_path):
    """With gradio's own rule beside it (3.41 and 4.40: Gallery.svelte)."""
    gradios = ".grid-wrap.svelte-a.svelte-a { min-height: 20rem; max-height: 55vh; overflow-y: auto }"
    style = gradios + (ROOT / "style.css").read_text(encoding="utf-8")
    box = (
        '<div id="modiste_run_pictures"><div class="grid-wrap svelte-a"><p style="height: 150px; margin: 0"></p></div>'
    )
    with chromium(tmp_path, 600, 1000) as page:
        page.run(f"document.body.innerHTML = {json.dumps(f'<style>{style}</style>{box}</div>')}; 1")
        assert page.run("document.querySelector('.grid-wrap').offsetHeight") == 150
