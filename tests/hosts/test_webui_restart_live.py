"""A search whose WebUI is killed and started again under it: A1111 or Forge by MODISTE_WEBUI_START.

What such a server has to have: tests/webui_tab.py. Minutes on a CPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from comfy_live import free_port
from webui_tab import LONG_S, PHOTOS, kill, webui

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("MODISTE_WEBUI_START" not in os.environ, reason="MODISTE_WEBUI_START is not set"),
]
HARNESS = Path(__file__).parents[2] / "harness.py"
DRAWN = b"Total progress: 100%"  # A1111 and Forge write it twice a picture


def test_a_search_waits_for_its_killed_webui_and_draws_nothing_twice_at_the_next_one(tmp_path):
    """Each picture is drawn to its end by one of both servers; a trial picture may ask either for its model."""
    out, logs, port = tmp_path / "run", [tmp_path / "first.log", tmp_path / "second.log"], free_port()
    drawing = ["--steps", "1", "--sampler", "Euler", "--budget", "8", "--preset", "mini", "--no-learn", "--json"]
    server = ["--host", "webui", "--url", f"http://127.0.0.1:{port}"]
    command = [sys.executable, str(HARNESS), "prompt", str(PHOTOS / "look-01.jpg"), "--out", str(out)]
    log = tmp_path / "search.log"
    with log.open("wb") as told:
        with webui(port, logs[0]) as first:
            search = subprocess.Popen([*command, *drawing, *server], stdout=subprocess.PIPE, stderr=told)
            end = time.monotonic() + LONG_S
            while len(pictures(out)) < 2:
                assert search.poll() is None and time.monotonic() < end, log.read_text()
                time.sleep(0.05)
            kill(first)
        before = pictures(out)
        with webui(port, logs[1]):
            if search.poll() is not None:  # a start that takes longer than a search waits for
                assert search.returncode == 4, log.read_text()
                search = subprocess.Popen([*command, *drawing, *server], stdout=subprocess.PIPE, stderr=told)
            report, _ = search.communicate(timeout=LONG_S)
    assert search.returncode == 0, log.read_text()
    assert len(json.loads(report)["images"]) == 1
    after, drawn = pictures(out), [log.read_bytes().count(DRAWN) // 2 for log in logs]
    assert before.items() <= after.items() and len(before) < len(after)
    assert len(after) <= sum(drawn) <= len(after) + len(logs), (drawn, len(after))


def pictures(run: Path) -> dict[str, int]:
    """Each picture of the run, with the time of its writing."""
    return {file.name: file.stat().st_mtime_ns for file in (run / "images").rglob("*.png")}
