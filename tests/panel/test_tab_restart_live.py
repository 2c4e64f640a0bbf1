"""A search of the tab whose WebUI is killed and started again under it: A1111 or Forge by MODISTE_WEBUI_START.

What such a server has to have: tests/webui_tab.py. Minutes on a CPU.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from comfy_live import free_port
from comfy_page.browser import PROGRAM, chromium
from webui_tab import PHOTOS, TabPage, kill, run_folder, webui

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no chromium"),
    pytest.mark.skipif("MODISTE_WEBUI_START" not in os.environ, reason="MODISTE_WEBUI_START is not set"),
]
ANSWERED = re.compile(rb" 200 http/[\d.]+ POST /sdapi/v1/txt2img ")  # in the log that --api-log writes


def test_a_search_goes_on_at_the_next_start_of_a_webui_that_was_killed_and_draws_nothing_twice(tmp_path):
    """Of one life of the server no picture is answered again in the next one; a trial picture asks for the model."""
    photos, logs = tmp_path / "photos", [tmp_path / "first.log", tmp_path / "second.log"]
    photos.mkdir()
    shutil.copy(PHOTOS / "look-01.jpg", photos)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with webui(port, logs[0]) as server, chromium(tmp_path / "first", 1400, 1200) as page:
        tab = TabPage(page, url)
        tab.search(photos, budget=8)
        tab.until_status(r"Drawing and comparing: [2-9] \/")
        run = run_folder(url)
        kill(server)
    before = pictures(run)
    with webui(port, logs[1]), chromium(tmp_path / "second", 1400, 1200) as page:
        tab = TabPage(page, url)
        status = tab.until_status("Prompt search · (Drawing|Done)", 120)
        tab.picture("tab-after-a-restart")
        if "Done" not in status:
            tab.until_status("Prompt search · Done")
        tab.picture("tab-search-done")
        assert tab.problems == []
    after = pictures(run)
    answered = [len(ANSWERED.findall(log.read_bytes())) for log in logs]
    assert len(before) >= 2 and before.items() <= after.items()
    assert len(after) <= sum(answered) <= len(after) + len(logs), (answered, len(after))
    assert answered[1] <= len(after) - len(before) + 1


def pictures(run: Path) -> dict[str, int]:
    """Each picture of the run, with the time of its writing."""
    return {file.name: file.stat().st_mtime_ns for file in (run / "images").rglob("*.png")}
