"""The templates and blueprints in a real page: the classic renderer and Nodes 2.0, the host's front end and another."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from comfy_live import PUBLISHED, Comfy, comfyui
from comfy_page.browser import Page, chromium
from comfy_page.saved_graph import texts

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted(file.stem for file in (ROOT / "example_workflows").glob("*.json"))
BLUEPRINTS = sorted(file.stem for file in (ROOT / "subgraphs").glob("*.json"))
READY = (
    "window.app?.graph && app.extensions.some(({ name }) => name === 'Modiste') "
    "&& document.querySelector('#graph-canvas')"
)
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False}
VUE = "Comfy.VueNodes.Enabled"
START_S = 120  # for the page to load on a busy machine
OTHER = os.environ.get("MODISTE_COMFYUI_FRONT_END")

pytestmark = [pytest.mark.comfyui, pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module", params=["host's front end", "other front end"])
def comfy(request, tmp_path_factory) -> Iterator[Comfy]:
    other = request.param == "other front end"
    if other and not OTHER:
        pytest.skip("MODISTE_COMFYUI_FRONT_END names no other front end")
    with comfyui(tmp_path_factory.mktemp("comfyui"), *(["--front-end-root", OTHER] if other else [])) as server:
        server.call("/settings", SETTINGS)
        yield server


@pytest.fixture(scope="module", params=["classic", "Nodes 2.0"])
def page(request, tmp_path_factory, comfy) -> Iterator[Page]:
    comfy.call("/settings", {VUE: request.param == "Nodes 2.0", "Comfy.Locale": "en"})
    with chromium(tmp_path_factory.mktemp("browser"), width=1800, height=1200) as tab:
        tab.open(comfy.url, READY, START_S)
        yield tab


def file_of(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "example_workflows" / f"{name}.json").read_text(encoding="utf-8"))


def opened(page: Page, graph: dict[str, Any]) -> None:
    """Opens the graph as a file, and waits until the page has drawn it."""
    page.problems.clear()
    page.warnings.clear()
    page.run(f"app.loadGraphData({json.dumps(graph)})")
    page.until(f"app.graph.nodes.length === {len(graph['nodes'])}")
    page.run("new Promise((done) => setTimeout(() => done(true), 700))")


def reloaded(page: Page, comfy: Comfy, language: str) -> None:
    """The page anew in that language, after it has opened what was open before, which would replace a graph of ours."""
    comfy.call("/settings", {"Comfy.Locale": language})
    page.reload(READY, START_S)
    page.until("app.graph.nodes.length", START_S)
    page.run("new Promise((done) => setTimeout(() => done(true), 1000))")


def issues(page: Page) -> list[str]:
    """All that the page complains of: dialogs, notices, marked nodes, errors and warnings of our scripts."""
    shown = page.run(
        """[...document.querySelectorAll('[role=dialog], .p-toast-message, [data-testid*=error-overlay]')]
          .map((each) => each.textContent)"""
    )
    marked = page.run("app.graph.nodes.filter((node) => node.has_errors).map(({ type }) => type)")
    ours = [told for told in (*page.problems, *page.warnings) if "modiste" in told.lower() or "deprecated" in told]
    return [*shown, *marked, *ours]


def boxes(page: Page) -> dict[str, list[float]]:
    """Each node as it is drawn: left, top, right, bottom, in the graph's units."""
    return page.run(
        """Object.fromEntries(app.graph.nodes.map((node) => {
          const drawn = document.querySelector(`[data-node-id="${node.id}"]`)
          const [left, top] = [node.pos[0], node.pos[1] - 30]
          const width = drawn?.offsetWidth || node.size[0]
          const height = drawn?.offsetHeight || node.size[1] + 30
          return [`${node.id} ${node.type}`, [left, top, left + width, top + height]]
        }))"""
    )


WIDENED = """app.graph.nodes.some((node) => {
  const drawn = document.querySelector(`[data-node-id="${node.id}"]`)
  return drawn && !node.flags.collapsed && drawn.offsetWidth > node.size[0] + 1
})"""


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_opens_without_an_issue_and_no_node_lies_over_another(page, name):
    opened(page, file_of(name))
    assert issues(page) == []
    assert page.run("app.graph.groups.map(({ title }) => title)") == [
        group["title"] for group in file_of(name)["groups"]
    ]
    if page.run(WIDENED):
        return  # front ends up to 1.27 draw every node of Nodes 2.0 at least 430 wide, whatever its size
    for (one, first), (other, second) in combinations(boxes(page).items(), 2):
        apart = first[2] <= second[0] or second[2] <= first[0] or first[3] <= second[1] or second[3] <= first[1]
        assert apart, (one, first, other, second)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_of_the_page_is_queued_as_it_was_planned(page, comfy, name):
    """The values and links that the page sends are those of the file."""
    graph = file_of(name)
    opened(page, graph)
    sent = page.run("app.graphToPrompt().then(({ output }) => output)")
    ours = {str(node["id"]): node for node in graph["nodes"] if node["type"] in comfy.info}
    assert {number: node["class_type"] for number, node in sent.items()} == {
        number: node["type"] for number, node in ours.items()
    }
    for number, source, out, target, into, _ in graph["links"]:
        socket = ours[str(target)]["inputs"][into]["name"]
        assert sent[str(target)]["inputs"][socket] == [str(source), out], number


def test_a_search_that_was_saved_before_it_had_search_steps_opens_with_them_off_and_its_values_in_place(page):
    graph = file_of("search-a-prompt")
    search = next(node for node in graph["nodes"] if node["type"] == "ModistePromptSearch")
    assert search["inputs"].pop()["name"] == "search_steps" and search["widgets_values"].pop() == 0
    search["widgets_values"][1:3] = [60, 30]
    opened(page, graph)
    sent = page.run("app.graphToPrompt().then(({ output }) => output)")[str(search["id"])]["inputs"]
    values = {name: sent[name] for name in ("budget", "steps", "scheduler", "learn", "aspect", "search_steps")}
    assert values == dict(budget=60, steps=30, scheduler="karras", learn=True, aspect="off", search_steps=0)
    assert issues(page) == []


def test_a_missing_checkpoint_comes_with_the_folder_and_a_link(page):
    graph = json.loads(json.dumps(file_of("search-a-prompt")).replace(PUBLISHED, "nowhere.safetensors"))
    opened(page, graph)
    shown = "document.body.textContent"
    words = ("nowhere.safetensors is missing", "checkpoints / nowhere.safetensors")  # newer, older front ends
    page.until(" || ".join(f"{shown}.includes({text!r})" for text in words))
    page.press("Escape")


@pytest.mark.parametrize("language", ["zh-TW", "zh"])
def test_notes_and_groups_speak_chinese_in_a_chinese_page(page, comfy, language):
    reloaded(page, comfy, language)
    words = texts(language)
    opened(page, file_of("tag-prompt-generate-score"))
    titles = page.run("app.graph.groups.map(({ title }) => title)")
    assert titles == [words[key] for key in ("group_photo", "group_words", "group_draw", "group_score")]
    notes = "app.graph.nodes.filter(({ type }) => type === 'MarkdownNote').map(({ widgets }) => widgets[0].value)"
    assert page.run(notes) == [words["note_tag"], words["models"]]
    reloaded(page, comfy, "en")


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_a_blueprint_is_listed_and_stands_in_a_graph_without_an_issue(page, comfy, name):
    graph = json.loads((ROOT / "subgraphs" / f"{name}.json").read_text(encoding="utf-8"))
    opened(page, graph)
    assert issues(page) == []
    [node] = page.run("app.graph.nodes.map((node) => [node.title, node.inputs.map(({ name }) => name)])")
    assert node[0] == graph["nodes"][0]["title"] and node[1][0] == graph["nodes"][0]["inputs"][0]["name"]


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_a_server_that_has_blueprints_lists_ours_and_gives_the_whole_graph(comfy, name):
    status, listed = comfy.call("/global_subgraphs")
    if status == 404:
        pytest.skip("this ComfyUI has no /global_subgraphs")
    [(key, entry)] = [(key, entry) for key, entry in listed.items() if entry["name"] == name]
    assert entry["source"] == "custom_node" and entry["info"]["node_pack"].endswith("modiste")
    graph = json.loads(comfy.call(f"/global_subgraphs/{key}")[1]["data"])
    assert graph == json.loads((ROOT / "subgraphs" / f"{name}.json").read_text(encoding="utf-8"))
