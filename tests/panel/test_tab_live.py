"""The tab in a real A1111 or Forge at MODISTE_WEBUI_URL, of this machine, in a headless chromium.

The WebUI has --api, this tree as an extension, a set-up environment (MODISTE_VENV) and a checkpoint that draws
(tests/finite_sd15.py makes one). Minutes on a CPU. MODISTE_TAB_PICTURES=FOLDER keeps screenshots.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
import requests
from comfy_page.browser import PROGRAM, chromium

pytestmark = [
    pytest.mark.webui,
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no chromium"),
]
PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
READY = "document.querySelector('#modiste_run_status') && document.querySelector('#txt2img_prompt textarea')"
STATUS = "document.querySelector('#modiste_run_status').innerText"
LONG_S = 900


@pytest.fixture
def url():
    return os.environ["MODISTE_WEBUI_URL"].rstrip("/")


class TabPage:
    """The page of a WebUI with the tab Modiste open."""

    def __init__(self, page, url: str):
        self.page = page
        page.open(url, READY, 120)
        self.show()

    def show(self) -> None:
        self.run(
            "[...document.querySelectorAll('#tabs > .tab-nav > button')].find(b => b.innerText === 'Modiste').click()"
        )

    def reload(self) -> None:
        self.page.reload(READY, 120)
        self.show()

    def run(self, script: str):
        return self.page.run(script)

    def open(self, name: str) -> None:
        """One of the tab's own pages."""
        self.run(
            "[...document.querySelectorAll('#modiste_pages > .tab-nav > button')]"
            f".find(b => b.innerText.trim() === {json.dumps(name)}).click()"
        )

    def fill(self, element_id: str, text: str) -> None:
        """Text into a field, by keys."""
        self.run(f"(e => {{ e.focus(); e.select() }})(document.querySelector('#{element_id} :is(textarea, input)'))")
        self.page.type(text)
        self.run("document.activeElement.blur()")

    def click(self, element_id: str) -> None:
        self.run(f"document.querySelector('#{element_id}').click()")

    def value(self, element_id: str) -> str:
        return self.run(f"document.querySelector('#{element_id} textarea').value")

    def until_status(self, pattern: str, timeout_s: float = LONG_S) -> str:
        """Waits until the status matches, and returns it."""
        self.page.until(f"/{pattern}/.test({STATUS})", timeout_s)
        return self.run(STATUS)

    def picture(self, name: str) -> None:
        if folder := os.environ.get("MODISTE_TAB_PICTURES"):
            self.page.picture(Path(folder) / f"{name}.png")

    @property
    def problems(self) -> list[str]:
        """Errors of the console that are not the host's own."""
        hosts_own = ("webui-assets", "file=", "favicon", "manifest", "theme", "fonts", "ERR_NAME_NOT_RESOLVED")
        return [problem for problem in self.page.problems if not any(name in problem for name in hosts_own)]


def lora_folder(url: str) -> Path:
    with urlopen(f"{url}/sdapi/v1/cmd-flags", timeout=30) as answer:
        return Path(json.load(answer)["lora_dir"])


@pytest.fixture
def tab(url, tmp_path):
    with chromium(tmp_path, 1400, 1200) as page:
        tab = TabPage(page, url)
        yield tab
        if not any(word in tab.run(STATUS) for word in ("Done", "Stopped", "Nothing", "failed")):
            tab.click("modiste_run_cancel")
            tab.until_status("Stopped|Done|failed", 120)


def test_the_pages_are_there_without_an_error_and_warn_of_what_is_for_a_trial_only(tab):
    for name in ("Prompt", "Training", "Both routes", "Set-up"):
        tab.open(name)
        tab.picture(f"tab-{name.lower().replace(' ', '-')}")
    ids = tab.run("[...document.querySelectorAll('[id^=modiste_]')].map(e => e.id)")
    twice = {each for each in ids if ids.count(each) > 1}
    assert len(set(ids)) > 40 and all(each.endswith(("_status", "_warning")) for each in twice)  # gradio's own, of HTML
    assert "64 × 64 pixels" in tab.run("document.querySelector('#modiste_prompt_warning').innerText")
    assert tab.problems == []


def test_a_text_is_added_to_the_prompt_that_is_there_and_only_once(tab):
    tab.open("Prompt")
    tab.fill("modiste_prompt_text", "a red dress\nNegative prompt: blurry\nSteps: 16, Sampler: Euler")
    tab.run("switch_to_txt2img()")
    tab.fill("txt2img_prompt", "my own words, ")
    for _ in range(2):
        tab.show()
        tab.click("modiste_prompt_to_txt2img")
    assert tab.value("txt2img_prompt") == "my own words, a red dress" and tab.value("txt2img_neg_prompt") == "blurry"
    tab.click("modiste_prompt_to_img2img")
    assert tab.value("img2img_prompt") == "a red dress" and tab.problems == []


def test_a_search_that_this_webui_draws_is_found_again_after_a_reload_cancelled_and_gone_on_with(tab):
    tab.open("Prompt")
    tab.fill("modiste_prompt_folder", str(PHOTOS))
    tab.run("[...document.querySelectorAll('#modiste_prompt_drawer label')][0].click()")
    tab.page.until("/this WebUI draws at 64/.test(document.querySelector('#modiste_prompt_warning').innerText)", 60)
    tab.click("modiste_prompt_start")
    tab.until_status(r"Drawing and comparing: [1-9]\d* \/")
    tab.reload()
    before = tab.until_status(r"Prompt search · Drawing and comparing: [1-9]\d* \/", 120)
    tab.picture("tab-after-a-reload")
    tab.click("modiste_run_cancel")
    assert "Go on" in tab.until_status("Stopped", 120)
    tab.click("modiste_run_go_on")
    after = tab.until_status(r"Drawing and comparing: [1-9]\d* \/")
    drawn = [int(text.partition("comparing: ")[2].split(" /")[0]) for text in (before, after)]
    assert drawn[1] >= drawn[0]
    tab.click("modiste_run_cancel")
    tab.until_status("Stopped", 120)
    assert tab.problems == []


def test_a_training_whose_browser_is_closed_delivers_its_lora_and_the_next_browser_shows_it(url, tmp_path):
    word = f"vesper{int(time.time()) % 100000}"
    folder = lora_folder(url)
    with chromium(tmp_path / "first", 1400, 1200) as page:
        tab = TabPage(page, url)
        tab.open("Training")
        tab.fill("modiste_training_folder", str(PHOTOS))
        tab.fill("modiste_training_trigger", word)
        tab.fill("modiste_training_name", word)
        tab.run(
            "(e => { e.value = 50; updateInput(e) })"
            "(document.querySelector('#modiste_training_steps input[type=number]'))"
        )
        tab.click("modiste_training_start")
        tab.until_status(r"Training · (?!Starting)", 300)
    end = time.monotonic() + LONG_S
    while not list(folder.glob(f"{word}-*.safetensors")) and time.monotonic() < end:
        time.sleep(1)
    (file,) = folder.glob(f"{word}-*.safetensors")
    with chromium(tmp_path / "second", 1400, 1200) as page:
        tab = TabPage(page, url)
        tab.until_status("Training · Done", 120)
        tab.open("Training")
        tab.page.until("document.querySelector('#modiste_training_text textarea').value !== ''", 60)
        assert tab.value("modiste_training_text") == f"<lora:{file.stem}:0.8>, {word}"
        tab.picture("tab-trained")
        tab.click("modiste_training_to_txt2img")
        assert tab.value("txt2img_prompt").endswith(f"<lora:{file.stem}:0.8>, {word}")
        assert tab.problems == []


def test_a_picture_of_png_info_is_sent_to_the_tab(tab):
    page = tab.page
    node = page.send("DOM.getDocument")["root"]["nodeId"]
    found = page.send("DOM.querySelector", nodeId=node, selector="#pnginfo_image input[type=file]")
    page.send("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(PHOTOS / "look-01.jpg")])
    page.until("document.querySelector('#pnginfo_image img')", 60)
    tab.click("modiste_send_from_pnginfo")
    page.until("document.querySelector('#modiste_prompt_sent img')", 60)
    chosen = "document.querySelector('#tabs > .tab-nav > button.selected').innerText.trim()"
    assert tab.run(chosen) == "Modiste"
    tab.open("Prompt")
    tab.click("modiste_prompt_read")
    tab.until_status("Tags · Done", 300)
    page.until("/colour/.test(document.querySelector('#modiste_prompt_tags').innerText)", 30)
    tab.picture("tab-tags")
    assert tab.problems == []


def test_a_picture_of_the_api_has_its_score_in_the_infotext_and_without_the_script_none(url):
    photo = base64.b64encode((PHOTOS / "look-01.jpg").read_bytes()).decode()
    drawing = {"prompt": "a red dress", "steps": 1, "width": 64, "height": 64, "sampler_name": "Euler", "seed": 1}
    batch = drawing | {"batch_size": 2, "alwayson_scripts": {"Modiste score": {"args": [True, photo, "mini"]}}}

    def infotexts(body: dict) -> list[str]:
        answer = requests.post(f"{url}/sdapi/v1/txt2img", json=body, timeout=LONG_S)
        assert answer.status_code == 200, answer.text
        return json.loads(answer.json()["info"])["infotexts"]

    scores = [float(re.search(r"Modiste score: (-?[\d.]+)", text)[1]) for text in infotexts(batch)[-2:]]
    assert len(scores) == 2
    assert not any("Modiste score" in text for text in infotexts(drawing))
    no_photo = drawing | {"alwayson_scripts": {"Modiste score": {"args": [True, "", "mini"]}}}
    assert "none (there is no reference photo)" in infotexts(no_photo)[0]
