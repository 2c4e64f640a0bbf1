"""The tab in a real A1111 or Forge at MODISTE_WEBUI_URL, of this machine, in a headless chromium.

What it has to have: tests/webui_tab.py. Minutes on a CPU.
"""

from __future__ import annotations

import re
import shutil
import time

import pytest
from comfy_page.browser import PROGRAM, chromium
from webui_tab import LONG_S, PHOTOS, STATUS, TabPage, lora_folder

pytestmark = [
    pytest.mark.webui,
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no chromium"),
]

CHOSEN_TAB = "document.querySelector('#tabs > .tab-nav > button.selected').innerText.trim()"


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
    tab.search(PHOTOS, 24)
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
        tab.number("modiste_training_steps", 50)
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
    assert tab.run(CHOSEN_TAB) == "Modiste"
    tab.open("Prompt")
    tab.click("modiste_prompt_read")
    tab.until_status("Tags · Done", 300)
    page.until("/colour/.test(document.querySelector('#modiste_prompt_tags').innerText)", 30)
    tab.picture("tab-tags")
    assert tab.problems == []


def test_a_picture_that_was_just_drawn_is_sent_from_txt2img_to_the_tab(tab):
    tab.run("switch_to_txt2img()")
    tab.fill("txt2img_prompt", "a red dress")
    for name, value in (("steps", 1), ("width", 64), ("height", 64)):
        tab.number(f"txt2img_{name}", value)
    tab.click("txt2img_generate")
    tab.page.until("document.querySelector('#txt2img_gallery img')", LONG_S)
    tab.click("modiste_send_from_txt2img")
    tab.page.until("document.querySelector('#modiste_prompt_sent img')", 120)
    size = "[e.naturalWidth, e.naturalHeight])(document.querySelector('#modiste_prompt_sent img'))"
    assert tab.run(CHOSEN_TAB) == "Modiste" and tab.run(f"(e => {size}") == [64, 64]
    tab.picture("tab-sent")
    assert tab.problems == []


def test_both_routes_become_a_verdict_and_a_report_in_the_tab(tab, tmp_path):
    """On the embedded model, with eight photos: the verdict's contents are the pipeline's own tests."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(1, 9):
        shutil.copy(PHOTOS / f"look-{number:02}.jpg", photos)
    tab.open("Both routes")
    tab.fill("modiste_both_folder", str(photos))
    tab.fill("modiste_both_trigger", "vesper")
    tab.number("modiste_both_budget", 8)
    tab.click("modiste_both_start")
    tab.until_status(r"Both routes · (?!Starting)", 300)
    tab.reload()
    tab.until_status("Both routes · Done", 3 * LONG_S)
    tab.open("Both routes")
    tab.page.until("document.querySelector('#modiste_both_verdict textarea').value !== ''", 60)
    assert re.search(r"[+−-]\d+\.\d", tab.value("modiste_both_verdict"))
    assert tab.run("document.querySelector('#modiste_both_ways').innerText").count("\n") > 3
    tab.picture("tab-verdict")
    assert tab.problems == []
