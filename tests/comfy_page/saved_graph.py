"""Node definitions + a short plan → a graph as ComfyUI's page saves it: nodes, bent links, groups, notes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WIDGETS = {"STRING", "INT", "FLOAT", "BOOLEAN", "COMBO"}
TITLE, PADDING, GROUP_TITLE = 30, 15, 40  # pixels of the page, at its full size
# Pixels that the results add to a node's height.
GROWN = {
    "ModisteTagger": 220,
    "ModisteScorer": 290,
    "ModisteLoraTrainer": 400,
    "ModistePromptSearch": 170,
    "ModisteCompare": 150,
}
MARGIN = (90, 130)  # of the page's own bars
NOTE_COLOURS = {"color": "#432", "bgcolor": "#653"}

Point = tuple[int, int]


def definitions() -> dict[str, Any]:
    """What /object_info says of our nodes and of the few core nodes that the examples use."""
    ours = json.loads((ROOT / "tests/data/comfy_object_info.json").read_text(encoding="utf-8"))
    core = json.loads((Path(__file__).parent / "core_object_info.json").read_text(encoding="utf-8"))
    return core | ours


def texts(language: str = "en") -> dict[str, str]:
    """The words of notes and groups, which the page translates when it opens a template."""
    main = json.loads((ROOT / f"locales/{language}/main.json").read_text(encoding="utf-8"))
    return main["modiste_templates"]


class Graph:
    """Nodes and links in the page's own file format, version 0.4."""

    def __init__(self, scale: float = 0.7):
        """`scale`: the zoom at which the graph opens; below 0.6 the classic page draws no words."""
        self._known = definitions()
        self.nodes: list[dict[str, Any]] = []
        self.links: list[list[Any]] = []
        self.groups: list[dict[str, Any]] = []
        self.reroutes: list[dict[str, Any]] = []
        self.scale = scale

    def note(self, at: Point, size: Point, key: str) -> int:
        """Words for people, in Markdown, by their key among the texts."""
        node = self._node("MarkdownNote", at, size)
        title = texts()["title_models" if key.startswith("models") else "title_note"]
        node.update(inputs=[], outputs=[], title=title, properties={}, widgets_values=[texts()[key]], **NOTE_COLOURS)
        return node["id"]

    def name(self, node: int, key: str) -> None:
        """Gives a node a title of its own, by its key among the texts: what a preview shows is not said by its kind."""
        self.nodes[node - 1]["title"] = texts()[key]

    def group(self, key: str, colour: str, nodes: Sequence[int]) -> None:
        """A titled frame around nodes and their results, by its title's key among the texts."""
        boxes = []
        for number in nodes:
            (left, top), (width, height) = self.nodes[number - 1]["pos"], self.nodes[number - 1]["size"]
            boxes.append((left, top, width, height + GROWN.get(self.nodes[number - 1]["type"], 0)))
        left, top = min(box[0] for box in boxes) - PADDING, min(box[1] for box in boxes) - TITLE - GROUP_TITLE
        right, bottom = (max(box[axis] + box[axis + 2] for box in boxes) + PADDING for axis in (0, 1))
        bounding = [left, top, right - left, bottom - top]
        known = {"title": texts()[key], "bounding": bounding, "color": colour, "font_size": 24, "flags": {}}
        self.groups.append({"id": len(self.groups) + 1, **known})

    def bend(self, node: int, name: str, *points: Point) -> None:
        """Leads the link into that input along points, so that it runs behind no node."""
        target = self.nodes[node - 1]
        number = next(socket["link"] for socket in target["inputs"] if socket["name"] == name)
        parent = None
        for point in points:
            known = {"id": len(self.reroutes) + 1, "pos": list(point), "linkIds": [number]}
            self.reroutes.append(known if parent is None else {**known, "parentId": parent})
            parent = known["id"]

    def add(self, kind: str, at: Point, size: Point, **inputs: Any) -> int:
        """A node; an input is a widget's value, or (node, name or index of its output). Returns its id."""
        known = self._known[kind]
        node = self._node(kind, at, size)
        sockets, widgets, values = [], [], []
        for where in ("required", "optional"):
            for name, (type_, *options) in known["input"].get(where, {}).items():
                given, options = inputs.pop(name, None), options[0] if options else {}
                type_ = "COMBO" if isinstance(type_, list) else type_
                socket = {"name": name, "type": type_, "link": None}
                if where == "optional":
                    socket["shape"] = 7
                if type_ not in WIDGETS or options.get("forceInput"):
                    sockets.append(socket)
                else:
                    widgets.append({**socket, "widget": {"name": name}})
                    values.append(_default(type_, options) if given is None or isinstance(given, tuple) else given)
                    if options.get("control_after_generate"):
                        values.append("fixed")
                    if options.get("image_upload"):
                        values.append("image")
                if isinstance(given, tuple):
                    socket = (sockets if socket in sockets else widgets)[-1]
                    socket["link"] = self._link(given, node["id"], name, type_)
        if inputs:
            raise ValueError(f"{kind} has no input {', '.join(inputs)}")
        node["inputs"] = sockets + widgets
        for link in self.links:
            if link[3] == node["id"]:
                link[4] = [socket["name"] for socket in node["inputs"]].index(link[4])
        node["outputs"] = [
            {"name": name, "type": type_, "links": [], **({"shape": 6} if many else {})}
            for name, type_, many in zip(known["output_name"], known["output"], known["output_is_list"], strict=True)
        ]
        node["properties"] = {"Node name for S&R": kind}
        node["widgets_values"] = values
        return node["id"]

    def _node(self, kind: str, at: Point, size: Point) -> dict[str, Any]:
        number = len(self.nodes) + 1
        node = {"id": number, "type": kind, "pos": list(at), "size": list(size), "flags": {}, "order": number - 1}
        self.nodes.append({**node, "mode": 0})
        return self.nodes[-1]

    def _link(self, source: tuple[int, str | int], target: int, name: str, type_: str) -> int:
        node = self.nodes[source[0] - 1]
        names = [output["name"] for output in node["outputs"]]
        slot = source[1] if isinstance(source[1], int) else names.index(source[1])
        number = len(self.links) + 1
        given = node["outputs"][slot]["type"]
        if type_ not in (given, "*"):
            raise ValueError(f"{node['type']} gives {given} where {type_} is wanted")
        node["outputs"][slot]["links"].append(number)
        self.links.append([number, source[0], slot, target, name, given])
        return number

    def saved(self) -> dict[str, Any]:
        """The file's content."""
        last = {link: reroute["id"] for reroute in self.reroutes for link in reroute["linkIds"]}
        extensions = [{"id": link, "parentId": reroute} for link, reroute in last.items()]
        corners = [node["pos"] for node in self.nodes] + [group["bounding"][:2] for group in self.groups]
        left, top = (min(corner[axis] for corner in corners) for axis in (0, 1))
        offset = [round(side / self.scale - start) for side, start in ((MARGIN[0], left), (MARGIN[1], top))]
        extra: dict[str, Any] = {"ds": {"scale": self.scale, "offset": offset}}
        if self.reroutes:
            extra |= {"reroutes": self.reroutes, "linkExtensions": extensions}
        return {
            "last_node_id": len(self.nodes),
            "last_link_id": len(self.links),
            "nodes": self.nodes,
            "links": self.links,
            "groups": self.groups,
            "config": {},
            "extra": extra,
            "version": 0.4,
        }


def _default(type_: str, options: dict[str, Any]) -> Any:
    if "default" in options:
        return options["default"]
    return (
        options["options"][0] if type_ == "COMBO" else {"STRING": "", "INT": 0, "FLOAT": 0.0, "BOOLEAN": False}[type_]
    )
