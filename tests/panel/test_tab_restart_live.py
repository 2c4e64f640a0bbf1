"""A search of the tab whose WebUI is killed and started again under it: A1111 or Forge by MODISTE_WEBUI_START.

What such a server has to have: tests/webui_tab.py. Minutes on a CPU.
"""

from __future__ import annotations

import os

import pytest
from comfy_live import free_port
from comfy_page.browser import PROGRAM, chromium
from webui_tab import LONG_S, PHOTOS, STATUS, TabPage, kill, pictures, run_folder, webui

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no chromium"),
    pytest.mark.skipif("MODISTE_WEBUI_START" not in os.environ, reason="MODISTE_WEBUI_START is not set"),
]
DRAWN = f"Number(/comparing: (\\d+)/.exec({STATUS})?.[1] ?? 0)"


def test_a_search_of_the_tab_outlives_its_webui_and_the_next_one_shows_it_and_draws_on(tmp_path):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with chromium(tmp_path, 1400, 1000) as page:
        with webui(port, tmp_path / "first.log") as first:
            tab = TabPage(page, url)
            tab.search(PHOTOS, 8)
            page.until(f"{DRAWN} > 0", LONG_S)
            run = run_folder(url)
            kill(first)
        before = pictures(run)
        with webui(port, tmp_path / "second.log"):
            tab = TabPage(page, url)
            status = tab.until_status("Prompt search · ", 120)
            if "Stopped" in status:  # a start that took longer than a search waits for
                tab.click("modiste_run_go_on")
            page.until(f"{DRAWN} > {len(before)}", LONG_S)
            tab.picture("tab-after-a-restart")
            tab.click("modiste_run_cancel")
            tab.until_status("Stopped", 120)
    after = pictures(run)
    assert before and before.items() <= after.items() and len(before) < len(after)
