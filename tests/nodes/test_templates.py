"""The layout of the example workflows: steps in groups, nothing over one another, no wire behind a node."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from comfy_page import blueprints
from comfy_page.saved_graph import GROWN, TITLE, Graph, texts
from comfy_page.workflows import PLANS

SLOT = 20  # pixels between two sockets

Box = tuple[float, float, float, float]


def box_of(node: dict[str, Any], grown: bool = False) -> Box:
    """Left, top, right and bottom of a node with its title."""
    (left, top), (width, height) = node["pos"], node["size"]
    return left, top - TITLE, left + width, top + height + (GROWN.get(node["type"], 0) if grown else 0)


def place(node: dict[str, Any], side: str, slot: int) -> tuple[float, float]:
    """Where a wire meets the node: at its socket, or somewhere beside its widgets."""
    left, top, right, bottom = box_of(node)
    sockets = sum("widget" not in socket for socket in node["inputs"])
    height = TITLE + (0.7 + slot) * SLOT if side == "outputs" or slot < sockets else (bottom - top) / 2
    return (right if side == "outputs" else left), top + height


def wires(graph: Graph) -> list[tuple[int, int, list[tuple[float, float]]]]:
    """(source, target, points) of every link, with its bends."""
    nodes = {node["id"]: node for node in graph.nodes}
    bends = {number: [] for number, *_ in graph.links}
    for reroute in graph.reroutes:
        bends[reroute["linkIds"][0]].append(tuple(reroute["pos"]))
    return [
        (source, target, [place(nodes[source], "outputs", out), *bends[number], place(nodes[target], "inputs", into)])
        for number, source, out, target, into, _ in graph.links
    ]


def crosses(start: tuple[float, float], end: tuple[float, float], box: Box, margin: float = 6) -> bool:
    """Whether any point of the segment, in hundredths of it, lies well within the box."""
    left, top, right, bottom = box
    for step in range(101):
        x, y = (start[axis] + (end[axis] - start[axis]) * step / 100 for axis in (0, 1))
        if left + margin < x < right - margin and top + margin < y < bottom - margin:
            return True
    return False


@pytest.mark.parametrize("name", PLANS)
def test_no_two_nodes_of_a_template_lie_over_one_another_when_their_results_are_there(name):
    for one, other in combinations(PLANS[name]().nodes, 2):
        left, top, right, bottom = box_of(one, grown=True)
        low, high, far, deep = box_of(other, grown=True)
        assert right <= low or far <= left or bottom <= high or deep <= top, (one["type"], other["type"])


@pytest.mark.parametrize("name", PLANS)
def test_no_wire_of_a_template_runs_behind_a_node(name):
    graph = PLANS[name]()
    for source, target, points in wires(graph):
        for start, end in zip(points, points[1:], strict=False):
            for node in graph.nodes:
                beside = (start == points[0] and node["id"] == source) or (end == points[-1] and node["id"] == target)
                assert beside or not crosses(start, end, box_of(node)), (name, source, target, node["type"])


@pytest.mark.parametrize("name", PLANS)
def test_every_node_of_a_template_stands_in_one_titled_group_and_steps_are_numbered_in_order(name):
    graph = PLANS[name]()
    inside = []
    for node in graph.nodes:
        left, top, right, bottom = box_of(node, grown=True)
        around = [
            group["title"]
            for group in graph.groups
            for x, y, width, height in [group["bounding"]]
            if x <= left and y <= top and right <= x + width and bottom <= y + height
        ]
        assert len(around) == (0 if node["type"] == "MarkdownNote" else 1), (node["type"], around)
        inside += around
    numbers = [int(title.split(" · ")[0]) for title in dict.fromkeys(inside) if title[0].isdigit()]
    assert sorted(set(numbers)) == list(range(1, max(numbers) + 1)) and len(numbers) >= 3
    assert len({group["color"] for group in graph.groups}) >= 3


@pytest.mark.parametrize("name", PLANS)
def test_a_template_says_what_to_do_and_links_every_model_that_it_names(name):
    graph = PLANS[name]()
    notes = [node["widgets_values"][0] for node in graph.nodes if node["type"] == "MarkdownNote"]
    assert len(notes) == 2 and "\n## 1 " in notes[0] and "/patrickjohncyh/fashion-clip/" in notes[1]
    for node in graph.nodes:
        if node["type"] == "CheckpointLoaderSimple":
            [link] = node["properties"]["models"]
            assert link["name"] == node["widgets_values"][0] and link["directory"] == "checkpoints"
            assert link["url"].split("?")[0] in notes[1]


def test_chinese_notes_name_the_same_files_folders_and_links_as_the_english_ones():
    english = texts()
    for language in ("zh", "zh-TW"):
        for key, text in texts(language).items():
            assert text != english[key] and set(_code(text)) == set(_code(english[key])), (language, key)


def _code(text: str) -> list[str]:
    """What stands in backquotes, and the addresses of links."""
    return text.split("`")[1::2] + [part.split(")")[0] for part in text.split("](")[1:]]


# ── subgraph blueprints ──


@pytest.mark.parametrize("name", blueprints.PLANS)
def test_a_blueprint_is_what_its_plan_gives_with_the_nodes_of_today(name):
    file = blueprints.FOLDER / f"{name}.json"
    assert file.read_text(encoding="utf-8") == blueprints.text(name), "python tests/comfy_page/blueprints.py"
    assert {each.stem for each in blueprints.FOLDER.glob("*.json")} == set(blueprints.PLANS)


@pytest.mark.parametrize("name", blueprints.PLANS)
def test_a_blueprint_is_one_node_whose_every_wire_and_widget_leads_to_a_node_within(name):
    saved = blueprints.PLANS[name]()
    [node] = saved["nodes"]
    [inner] = saved["definitions"]["subgraphs"]
    nodes = {each["id"]: each for each in inner["nodes"]}
    assert node["type"] == inner["id"] and node["id"] not in nodes and inner["name"] == node["title"] == name
    for link in inner["links"]:
        if link["origin_id"] in nodes:
            output = nodes[link["origin_id"]]["outputs"][link["origin_slot"]]
            assert link["id"] in output["links"] and output["type"] == link["type"]
        else:
            assert link["id"] in inner["inputs"][link["origin_slot"]]["linkIds"]
        if link["target_id"] in nodes:
            assert nodes[link["target_id"]]["inputs"][link["target_slot"]]["link"] == link["id"]
        else:
            assert link["id"] in inner["outputs"][link["target_slot"]]["linkIds"]
    for number, widget in node["properties"]["proxyWidgets"]:
        assert widget in {each["name"] for each in nodes[int(number)]["inputs"] if "widget" in each}
    for each in nodes.values():
        for socket in each["inputs"]:
            assert "widget" in socket or socket.get("shape") == 7 or socket["link"] is not None, socket["name"]
