"""The subgraph blueprints as plans: one node of the page, with a small graph within, in the page's own file format.

`python tests/comfy_page/blueprints.py` writes subgraphs/*.json anew; a test compares the files with the plans.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from comfy_page.saved_graph import ROOT, Graph

FOLDER = ROOT / "subgraphs"
INPUTS, OUTPUTS = -10, -20  # the two nodes at the edges of a subgraph
NAMES = uuid.UUID("5a9d6c0e-6f0b-4f0a-9a5e-2b1f7d3c8e41")  # ids that are the same each time
SIZE_OF_EDGE = (120, 60)

Socket = tuple[int, str]  # a node within, and the name of its input or output


def blueprint(
    name: str, graph: Graph, inputs: dict[str, Socket], outputs: dict[str, Socket], widgets: list[Socket]
) -> dict[str, Any]:
    """The file: `inputs`, `outputs` and `widgets` of nodes of `graph` are those of the one node that stands for it."""
    identity = str(uuid.uuid5(NAMES, name))
    links = [
        {"id": number, "origin_id": source, "origin_slot": out, "target_id": target, "target_slot": into, "type": kind}
        for number, source, out, target, into, kind in graph.links
    ]
    edges: dict[str, list[dict[str, Any]]] = {"inputs": [], "outputs": []}
    for side, sockets in (("inputs", inputs), ("outputs", outputs)):
        for slot, (label, (number, socket)) in enumerate(sockets.items()):
            known = graph.nodes[number - 1][side]
            index = [each["name"] for each in known].index(socket)
            link = len(links) + 1
            ends = (INPUTS, slot, number, index) if side == "inputs" else (number, index, OUTPUTS, slot)
            names = ("origin_id", "origin_slot", "target_id", "target_slot")
            links.append({"id": link, **dict(zip(names, ends, strict=True)), "type": known[index]["type"]})
            if side == "inputs":
                known[index]["link"] = link
            else:
                known[index]["links"].append(link)
            edge = {"id": str(uuid.uuid5(NAMES, f"{name} {side} {label}")), "name": label}
            edges[side].append({**edge, "type": known[index]["type"], "linkIds": [link]})
    right = max(node["pos"][0] + node["size"][0] for node in graph.nodes)
    inner = {
        "id": identity,
        "version": 1,
        "state": {
            "lastGroupId": 0,
            "lastNodeId": len(graph.nodes),
            "lastLinkId": len(links),
            "lastRerouteId": 0,
        },
        "revision": 0,
        "config": {},
        "name": name,
        "inputNode": {"id": INPUTS, "bounding": [-200, 20, *SIZE_OF_EDGE]},
        "outputNode": {"id": OUTPUTS, "bounding": [right + 80, 20, *SIZE_OF_EDGE]},
        **edges,
        "widgets": [],
        "nodes": graph.nodes,
        "groups": [],
        "links": links,
        "extra": {},
    }
    node = {
        "id": len(graph.nodes) + 1,
        "type": identity,
        "pos": [100, 100],
        "size": [340, 60 + 26 * (len(widgets) + max(len(inputs), len(outputs)))],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [{"name": edge["name"], "type": edge["type"], "link": None} for edge in edges["inputs"]],
        "outputs": [{"name": edge["name"], "type": edge["type"], "links": []} for edge in edges["outputs"]],
        "title": name,
        "properties": {"proxyWidgets": [[str(number), widget] for number, widget in widgets]},
        "widgets_values": [],
    }
    outer = {"revision": 0, "last_node_id": node["id"], "last_link_id": 0, "nodes": [node], "links": [], "version": 0.4}
    return {**outer, "definitions": {"subgraphs": [inner]}}


def tags_to_prompt() -> dict[str, Any]:
    """Photos → tags → positive and negative prompt."""
    graph = Graph()
    tags = graph.add("ModisteTagger", (0, 0), (380, 320))
    words = graph.add("ModistePromptBuilder", (460, 0), (380, 405), tags=(tags, "tags"))
    return blueprint(
        "Fashion tags to prompt",
        graph,
        {"images": (tags, "images")},
        {"positive": (words, "positive"), "negative": (words, "negative"), "captions": (tags, "captions")},
        [(tags, "encoder"), (tags, "threshold"), (words, "strategy"), (words, "extra"), (words, "avoid")],
    )


def score_a_batch() -> dict[str, Any]:
    """Images × a reference photo → the best ones, and the scores as text to read and to pass on."""
    graph = Graph()
    scores = graph.add("ModisteScorer", (0, 0), (380, 265))
    graph.add("PreviewImage", (460, 0), (380, 320), images=(scores, "best"))
    graph.add("PreviewAny", (460, 400), (380, 220), source=(scores, "report"))
    return blueprint(
        "Score a batch of fashion images",
        graph,
        {"images": (scores, "images"), "reference": (scores, "reference")},
        {
            "best": (scores, "best"),
            "similarity": (scores, "similarity"),
            "best similarity": (scores, "best similarity"),
            "report": (scores, "report"),
        },
        [(scores, "encoder"), (scores, "top_k")],
    )


PLANS = {"Fashion tags to prompt": tags_to_prompt, "Score a batch of fashion images": score_a_batch}


def text(name: str) -> str:
    """The whole file of that blueprint."""
    return json.dumps(PLANS[name](), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in PLANS:
        (FOLDER / f"{name}.json").write_text(text(name), encoding="utf-8")
