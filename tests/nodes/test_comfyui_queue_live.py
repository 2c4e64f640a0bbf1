"""What a real page shows while trainings wait, run, are cancelled and go on, and while the server dies under them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfy_live import Comfy, free_port, furnish, serving
from comfy_page.browser import Page, chromium
from comfy_page.saved_graph import Graph

READY = "app.graph && app.extensions.some(({ name }) => name === 'Modiste') && document.querySelector('#graph-canvas')"
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False}
STATE = "document.querySelector('.modiste-state')?.dataset.state"
STEPS = "Number(document.querySelector('.modiste-figures dd')?.textContent.split(' / ')[0])"
RUN_S = START_S = 180

pytestmark = [pytest.mark.comfyui, pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("comfyui") / "base"
    furnish(folder)
    return folder


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("browser"), width=1600, height=1000) as tab:
        yield tab


def opened(page: Page, comfy: Comfy, **trainer: Any) -> None:
    """The page with one trainer in it."""
    comfy.call("/settings", SETTINGS)
    page.open(comfy.url, READY, START_S)
    graph = Graph()
    choice = dict(folder="photos", encoder="mini", checkpoint="mini (embedded)", **trainer)
    graph.add("ModisteLoraTrainer", (40, 40), (480, 900), **choice)
    page.run(f"app.loadGraphData({json.dumps(graph.saved())})")
    page.until("app.graph.nodes.length === 1")


def queue(page: Page, name: str) -> None:
    """The page's own Run, with the trainer's `name` set."""
    page.run(
        f"""(() => {{
          const widget = app.graph.nodes[0].widgets.find(({{ name }}) => name === "name")
          widget.value = {json.dumps(name)}
          return app.queuePrompt(0).then(() => true)
        }})()"""
    )


def runs(comfy: Comfy) -> dict[str, dict[str, Any]]:
    """The server's account of each run, by its title."""
    return {run["title"]: run for run in comfy.call("/modiste/runs")[1]["runs"]}


def test_of_two_trainings_queued_at_once_the_second_waits_and_the_node_shows_each_in_its_turn(page, base, port):
    with serving(base, port=port) as comfy:
        opened(page, comfy, steps=40)
        page.run(
            """(() => {
              window.shown = []
              new MutationObserver(() => {
                const state = document.querySelector('.modiste-state')?.dataset.state
                if (state && window.shown.at(-1) !== state) window.shown.push(state)
              }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true })
            })()"""
        )
        queue(page, "first")
        queue(page, "second")
        waiting = comfy.call("/queue")[1]
        assert [len(waiting["queue_running"]), len(waiting["queue_pending"])] == [1, 1]
        page.until(f"{STATE} === 'running' && {STEPS} > 0", RUN_S)
        assert list(runs(comfy)) == ["first"], "what waits has no run yet"
        page.until("window.shown.join().includes('running,done,running,done')", RUN_S)
        known = runs(comfy)
        assert [known[name]["state"] for name in ("first", "second")] == ["done", "done"]
        assert known["first"]["run"] != known["second"]["run"] and known["first"]["file"] != known["second"]["file"]
        page.run("app.extensionManager.command.execute('Modiste.ShowRuns')")
        page.until("document.querySelectorAll('.modiste-panel tbody tr').length === 2")


def test_cancel_in_the_page_is_shown_as_stopped_and_queueing_again_goes_on_where_it_was(page, base, port):
    with serving(base, port=port) as comfy:
        opened(page, comfy, steps=60)
        queue(page, "cancelled")
        page.until(f"{STATE} === 'running' && {STEPS} >= 3", RUN_S)
        page.run("app.api.interrupt(null).then(() => true)")
        page.until(f"{STATE} === 'stopped'", RUN_S)
        stopped_at = page.run(STEPS)
        assert 3 <= stopped_at < 60 and runs(comfy)["cancelled"]["state"] == "stopped"
        queue(page, "cancelled")
        page.until(f"{STATE} === 'running' && {STEPS} > {stopped_at}", RUN_S)
        assert page.run("document.querySelectorAll('.modiste-curve .smooth').length") == 1
        page.until(f"{STATE} === 'done'", RUN_S)
        run = comfy.call(f"/modiste/runs/{runs(comfy)['cancelled']['run']}")[1]
        assert [step for step, _ in run["losses"]] == list(range(1, len(run["losses"]) + 1)), "no step is missing"


def test_a_training_outlives_its_server_the_page_follows_it_and_queueing_again_takes_its_file(page, base, port):
    with serving(base, port=port) as comfy:
        opened(page, comfy, steps=400)
        queue(page, "alone")
        page.until(f"{STATE} === 'running' && {STEPS} >= 3", RUN_S)
        os.kill(comfy.pid, signal.SIGKILL)
    with serving(base, port=port) as comfy:
        seen = page.run(STEPS)
        page.until(f"{STATE} === 'running' && {STEPS} > {seen} + 3", RUN_S)
        account = comfy.call(f"/modiste/runs/{runs(comfy)['alone']['run']}")[1]
        assert (account["state"], account["live"]) == ("running", False) and account["losses"][-1][0] < 400
        queue(page, "alone")
        page.until(f"{STATE} === 'done'", RUN_S)
        known = runs(comfy)["alone"]
        assert known["state"] == "done" and known["file"] in comfy.call("/models/loras")[1]
        losses = comfy.call(f"/modiste/runs/{known['run']}")[1]["losses"]
        assert [step for step, _ in losses] == list(range(1, len(losses) + 1))
        log = next((base / "output" / "modiste" / known["run"]).glob("trainer.log")).read_text()
        assert "BrokenPipe" not in log
