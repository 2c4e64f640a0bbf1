"""The real page of a real ComfyUI in a headless chromium: workflows, chips, gauge, menu, curve, panel, reloads."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfy_live import Comfy, comfyui
from comfy_page.browser import Page, chromium
from comfy_page.saved_graph import Graph
from tiny_models import tiny_clip

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "photos" / "look-03.jpg"  # a brown striped top
EVIL = "<img src=x onerror=ran=1>"
READY = "app.graph && app.extensions.some(({ name }) => name === 'Modiste') && document.querySelector('#graph-canvas')"
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False}  # nothing stands over the graph
RUN_S = 120
START_S = 120  # for the page to load on a busy machine

pytestmark = [pytest.mark.comfyui, pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def comfy(tmp_path_factory) -> Iterator[Comfy]:
    with comfyui(tmp_path_factory.mktemp("comfyui")) as server:
        server.call("/settings", SETTINGS)
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory, comfy) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("browser"), width=1600, height=1000) as page:
        page.open(comfy.url, READY, START_S)
        yield page


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """The page; nothing that a person or a server wrote may run in it, and none of our scripts may fail."""
    browser.problems.clear()
    yield browser
    assert [told for told in browser.problems if "extensions/modiste" in told] == []
    assert browser.run("typeof ran") == "undefined" and not [one for one in browser.requests if one.endswith("/x")]


def load(page: Page, graph: dict[str, Any]) -> None:
    page.run(f"app.loadGraphData({json.dumps(graph)})")


def looking(**tagger: str | float) -> Graph:
    """1: a photo, 2: the reference, 3: the tagger, 4: the scorer."""
    graph = Graph()
    photo = graph.add("LoadImage", (40, 40), (300, 320), image="example.png")
    reference = graph.add("LoadImage", (40, 420), (300, 320), image="example.png")
    graph.add("ModisteTagger", (400, 40), (400, 640), images=(photo, "IMAGE"), encoder="mini", **tagger)
    graph.add("ModisteScorer", (850, 40), (400, 560), images=(photo, 0), reference=(reference, 0), encoder="mini")
    return graph


def upload(page: Page, name: str, node: int = 1) -> None:
    """The sample photo under that name, dropped on the node as from a file manager."""
    photo = base64.b64encode(PHOTO.read_bytes()).decode()
    page.run(
        f"""fetch("data:image/jpeg;base64,{photo}").then((answer) => answer.blob()).then((blob) =>
          app.graph.getNodeById({node}).onDragDrop({{
            dataTransfer: {{ files: [new File([blob], {json.dumps(name)}, {{ type: "image/jpeg" }})], items: [] }},
          }}))"""
    )
    page.until(f"app.graph.getNodeById({node}).widgets[0].value === {json.dumps(name)}")


def queue(page: Page) -> list[str]:
    """The page's own Run, to its end; the nodes that the server took from its cache."""
    page.run(
        """(() => {
          window.cached = window.ended = null
          const once = { once: true }
          app.api.addEventListener("execution_cached", ({ detail }) => { window.cached = detail.nodes }, once)
          app.api.addEventListener("execution_success", () => { window.ended = true }, once)
          return app.queuePrompt(0).then(() => true)
        })()"""
    )
    page.until("window.ended", RUN_S)
    return page.run("window.cached")


def texts(page: Page, selector: str) -> list[str]:
    return page.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((each) => each.textContent)")


def serialised(page: Page, node: int) -> dict[str, Any]:
    """What the page would queue of the node."""
    return page.run(f"app.graphToPrompt().then(({{ output }}) => output[{node}].inputs)")


def chip(key: str) -> str:
    return f'.modiste-chip[data-key="{key}"]'


SAVED = "Object.keys(sessionStorage).filter((key) => key.startsWith('workflow:')).map((key) => sessionStorage[key])"
RESULTS = "Object.keys(sessionStorage).filter((key) => key.startsWith('modiste:'))"
LOOKED = "document.querySelector('.modiste-chip') && document.querySelector('.modiste-figure strong')"


# ── the workflows that come along ──


@pytest.mark.parametrize("file", sorted((ROOT / "example_workflows").glob("*.json")), ids=lambda file: file.stem)
def test_an_example_workflow_loads_whole_and_is_saved_with_the_same_values_and_links(page, file):
    graph = json.loads(file.read_text(encoding="utf-8"))
    load(page, graph)
    saved = page.run("app.graph.serialize()")
    kinds = {node["id"]: (node["type"], node.get("widgets_values", [])) for node in graph["nodes"]}
    assert {node["id"]: (node["type"], node.get("widgets_values", [])) for node in saved["nodes"]} == kinds
    assert sorted(saved["links"]) == sorted(graph["links"])
    assert page.run("app.graph.nodes.filter((node) => node.has_errors).map(({ type }) => type)") == []
    assert texts(page, "[role=dialog]") == [], "the page misses nothing"


def test_a_workflow_with_an_unknown_node_is_what_the_page_complains_of(page):
    graph = Graph()
    graph.add("ModisteTagger", (40, 40), (400, 640))
    graph.nodes[0]["type"] = "ModisteNowhere"
    load(page, graph.saved())
    page.until("document.querySelector('[role=dialog]')?.textContent.includes('ModisteNowhere')")
    page.press("Escape")
    page.until("!document.querySelector('[role=dialog]')")


# ── chips and gauge ──


def test_tags_and_score_are_drawn_as_the_server_gives_them_without_a_page(page, comfy):
    load(page, looking().saved())
    upload(page, "top.jpg")
    queue(page)
    told = comfy.run(page.run("app.graphToPrompt().then(({ output }) => output)")).outputs
    [tags], [score] = told["3"]["modiste_tags"], told["4"]["modiste_scores"]
    drawn = page.run("[...document.querySelectorAll('.modiste-chip')].map((each) => each.dataset.key)")
    assert sorted(drawn) == sorted(f"{tag['group']}:{tag['label']}" for tag in tags["tags"])
    assert {"category:top", "colour:brown", "pattern:striped"} <= set(drawn)
    assert texts(page, ".modiste-caption") == [tags["caption"]]
    assert texts(page, ".modiste-figure strong") == [str(round(100 * score["similarity"]))]
    assert len(texts(page, ".modiste-differences li")) == len(score["differences"]) > 0


def test_clicks_on_a_chip_go_into_the_nodes_inputs_and_the_next_run_follows_them(page):
    load(page, looking(threshold=0.0).saved())
    upload(page, "top.jpg")
    queue(page)
    seen = []
    for _ in range(2):
        page.click(chip("colour:brown"))
        inputs = serialised(page, 3)
        seen.append((inputs["pin"], inputs["exclude"]))
    assert seen == [("colour:brown", ""), ("", "colour:brown")]
    another = ".modiste-chip[data-key^='colour:']:not([data-key='colour:brown'])"
    queue(page)
    assert len(texts(page, another)) == 1, "the next best colour"
    assert page.run(f"document.querySelector({json.dumps(chip('colour:brown'))}).dataset.state") == "excluded"


def test_undo_and_a_reload_know_of_a_click_and_a_cached_run_draws_again_what_was_lost(page):
    load(page, looking().saved())
    upload(page, "top.jpg")
    queue(page)
    before = texts(page, ".modiste-chip"), texts(page, ".modiste-figure strong")
    page.click(chip("colour:brown"))
    page.click(chip("colour:brown"))
    page.run("app.extensionManager.command.execute('Comfy.Undo')")
    page.until(f"document.querySelector({json.dumps(chip('colour:brown'))})?.dataset.state === 'pinned'")
    assert serialised(page, 3)["pin"] == "colour:brown"
    page.until(f"{SAVED}.some((text) => text.includes('colour:brown'))")
    page.reload(f"{READY} && {LOOKED}", START_S)
    assert (texts(page, ".modiste-chip"), texts(page, ".modiste-figure strong")) == before
    assert serialised(page, 3)["pin"] == "colour:brown"
    queue(page)
    page.run(f"{RESULTS}.forEach((key) => sessionStorage.removeItem(key))")
    page.reload(
        f"{READY} && document.querySelector('.modiste-tags') && document.querySelector('.modiste-score')", START_S
    )
    assert texts(page, ".modiste-chip") == ["brown"], "the pinned one alone"
    assert {"3", "4"} <= set(queue(page))
    assert (texts(page, ".modiste-chip"), texts(page, ".modiste-figure strong")) == before


def test_a_hostile_file_name_and_caption_stay_words(page):
    load(page, looking(trigger=EVIL).saved())
    upload(page, f"{EVIL}.jpg")
    queue(page)
    assert EVIL in texts(page, ".modiste-caption")[0]
    assert page.run("document.querySelectorAll('.modiste img[src=x]').length") == 0


# ── right click ──


def right_click(page: Page, node: int, entry: str) -> None:
    """The entry of the node's own menu."""
    x, y = page.run(
        f"""(() => {{
          const [x, y] = app.graph.getNodeById({node}).pos
          const box = app.canvas.canvas.getBoundingClientRect()
          const at = app.canvas.ds.convertOffsetToCanvas([x + 60, y - 12])
          return [at[0] + box.x, at[1] + box.y]
        }})()"""
    )
    page.click_at(x, y, button="right")
    found = f"[...document.querySelectorAll('.litemenu-entry')].find((one) => one.textContent.includes({entry!r}))"
    page.until(found)
    page.run(f"{found}.id = 'chosen-entry'")
    page.click("#chosen-entry")


def test_tag_this_image_reads_with_what_auto_means_and_says_which_that_is(page, comfy):
    load(page, looking().saved())
    upload(page, f"{EVIL}.jpg")
    right_click(page, 1, "tag this image")
    page.until("document.querySelector('dialog.modiste[open] .modiste-chip')", RUN_S)
    [notice] = texts(page, "dialog.modiste .modiste-notice")
    assert notice.startswith("fashion-clip is not on this machine") and "get fashion-clip --to " in notice
    assert "/models/fashion_clip`" in notice
    assert "brown" in "".join(texts(page, "dialog.modiste .modiste-chip"))
    page.press("Escape")
    page.until("!document.querySelector('dialog.modiste')")
    tiny_clip(comfy.base / "models" / "fashion_clip" / "fashion-clip")
    right_click(page, 1, "tag this image")
    page.until("document.querySelector('dialog.modiste[open] .modiste-chip')", RUN_S)
    assert texts(page, "dialog.modiste .modiste-notice") == []
    assert EVIL in texts(page, "dialog.modiste header")[0]
    assert texts(page, "dialog.modiste .modiste-caption")[0].startswith("a photo of")
    page.press("Escape")
    page.until("!document.querySelector('dialog.modiste')")


# ── training ──


def test_a_training_is_drawn_while_it_goes_on_taken_up_after_a_reload_and_listed_in_the_panel(page, comfy):
    graph = Graph()
    wish = dict(folder="photos", encoder="mini", checkpoint="mini (embedded)", steps=60, name=EVIL)
    graph.add("ModisteLoraTrainer", (40, 40), (480, 900), **wish)
    load(page, graph.saved())
    page.run("app.queuePrompt(0).then(() => true)")
    page.until("document.querySelector('.modiste-curve .smooth')", RUN_S)
    page.reload(f"{READY} && document.querySelector('.modiste-curve .smooth')", START_S)
    assert page.run("document.querySelector('.modiste-state').dataset.state") == "running"
    page.until("document.querySelector('.modiste-state')?.dataset.state === 'done'", RUN_S)
    [run] = comfy.call("/modiste/runs")[1]["runs"]
    toasts = "[...document.querySelectorAll('.p-toast-message')].map((each) => each.textContent)"
    page.until(f"{toasts}.some((text) => text.includes({json.dumps(run['file'])}))")
    steps = f"{run['steps']} / {run['total']}"
    assert texts(page, ".modiste-figures dd")[0] == steps and run["steps"] >= run["best_step"] > 0
    page.run("app.extensionManager.command.execute('Modiste.ShowRuns')")
    page.until("document.querySelector('.modiste-panel tbody tr')")
    assert texts(page, ".modiste-panel tbody th") == [run["title"]] and steps in texts(page, ".modiste-panel td")
    page.until("document.querySelector('.modiste-panel .modiste-comparison path')")
