"""A workflow in ComfyUI's API format as a template: request → its slots → the graph to draw.

    title of a node        {prompt}   {seed} {steps}   {checkpoint}   {picture}   …
    or no titles           the slots are traced from the only sampler: its texts, its latent, its model, its picture

The built-in workflow (txt2img.json) is one such template. LoRAs and clip skip follow its checkpoint.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ..errors import RequestRefused
from ..request import LoraRef

Graph = dict[str, dict[str, Any]]

BUILT_IN = Path(__file__).parent / "txt2img.json"
# Slot → the inputs that may be it; `picture` is a node, not an input.
SLOTS = {
    "prompt": ("text", "prompt", "text_g"),
    "negative_prompt": ("text", "prompt", "text_g"),
    "seed": ("seed", "noise_seed"),
    "steps": ("steps",),
    "cfg_scale": ("cfg", "cfg_scale", "guidance"),
    "sampler": ("sampler_name",),
    "scheduler": ("scheduler",),
    "width": ("width",),
    "height": ("height",),
    "checkpoint": ("ckpt_name", "unet_name"),
}
PICTURE = "picture"
OPTIONAL = ("negative_prompt", "checkpoint")  # where they are missing, a request may not ask for them
SLOT = re.compile(r"\{(\w+)\}")
MODEL, CLIP = 0, 1  # a checkpoint loader's outputs


@dataclass(frozen=True)
class Workflow:
    """A graph with the places that a request fills: slot → (node, input)."""

    graph: Graph
    slots: Mapping[str, tuple[str, str]]
    picture: str  # the node that gives the picture
    source: str = ""

    @classmethod
    def read(cls, path: Path = BUILT_IN) -> Workflow:
        """InputError where the file is no workflow, or a slot is missing."""
        try:
            graph = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"the workflow can't be read: {error}", where=str(path)) from error
        return cls.of(graph, str(path))

    @classmethod
    def of(cls, graph: Any, source: str = "") -> Workflow:
        """The template of a graph; titles come first, what they leave open is traced from the only sampler."""
        _refuse_other_formats(graph, source)
        slots = {**_traced(graph), **_titled(graph, source)}
        pictures = [node for node, _ in _titles(graph, PICTURE)] or _readers_of_pictures(graph)
        missing = [slot for slot in SLOTS if slot not in slots and slot not in OPTIONAL]
        if len(pictures) != 1:
            missing.append(PICTURE)
        if missing:
            named = ", ".join(f"{{{slot}}}" for slot in missing)
            raise InputError(
                f"the workflow does not say what is {named}", where=source, to_try=f"write {named} into a node's title"
            )
        return cls(graph, slots, pictures[0], source)

    def filled(self, values: Mapping[str, Any], loras: tuple[LoraRef, ...] = (), clip_skip: int = 1) -> Graph:
        """The graph with `values` in its slots, LoRAs and clip skip behind the checkpoint."""
        graph = deepcopy(self.graph)
        for slot, value in values.items():
            if slot in self.slots:
                node, name = self.slots[slot]
                graph[node]["inputs"][name] = value
            elif value not in (None, ""):
                raise RequestRefused(
                    f"the workflow has no place for the {slot}", where=self.source, to_try=f"title a node {{{slot}}}"
                )
        if loras or clip_skip != 1:
            self._insert_loras(graph, loras, clip_skip)
        return graph

    def _insert_loras(self, graph: Graph, loras: tuple[LoraRef, ...], clip_skip: int) -> None:
        if "checkpoint" not in self.slots:
            raise RequestRefused(
                "LoRAs and clip skip go behind the checkpoint, and the workflow does not say which node that is",
                where=self.source,
                to_try="title it {checkpoint}",
            )
        loader = self.slots["checkpoint"][0]
        model, clip = [loader, MODEL], [loader, CLIP]
        readers = [
            (node, name)
            for node, part in graph.items()
            for name, value in part["inputs"].items()
            if value in (model, clip)
        ]
        new: Graph = {}
        for place, lora in enumerate(loras):
            inputs = {
                "model": model,
                "clip": clip,
                "lora_name": lora.name,
                "strength_model": lora.strength,
                "strength_clip": lora.strength,
            }
            new[f"lora-{place}"] = {"class_type": "LoraLoader", "inputs": inputs}
            model, clip = [f"lora-{place}", MODEL], [f"lora-{place}", CLIP]
        if clip_skip != 1:
            new["clip-skip"] = {
                "class_type": "CLIPSetLastLayer",
                "inputs": {"clip": clip, "stop_at_clip_layer": -clip_skip},
            }
            clip = ["clip-skip", 0]
        for node, name in readers:
            graph[node]["inputs"][name] = model if graph[node]["inputs"][name] == [loader, MODEL] else clip
        graph.update(new)

    def value(self, graph: Graph, slot: str) -> Any:
        """What a graph of this workflow has in a slot; None where it has no such slot."""
        if slot not in self.slots:
            return None
        node, name = self.slots[slot]
        return graph.get(node, {}).get("inputs", {}).get(name)


def _refuse_other_formats(graph: Any, source: str) -> None:
    if isinstance(graph, dict) and "nodes" in graph and "links" in graph:
        raise InputError(
            "this is a workflow as the page saves it", where=source, to_try="in ComfyUI: File → Export (API)"
        )
    nodes = graph.values() if isinstance(graph, dict) else [None]
    if not graph or not all(isinstance(node, dict) and {"class_type", "inputs"} <= node.keys() for node in nodes):
        raise InputError("this is no workflow in ComfyUI's API format", where=source, to_try="File → Export (API)")


def _titles(graph: Graph, slot: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for node, part in graph.items():
        if slot in SLOT.findall(str(part.get("_meta", {}).get("title", ""))):
            yield node, part


def _titled(graph: Graph, source: str) -> dict[str, tuple[str, str]]:
    places: dict[str, tuple[str, str]] = {}
    for slot, names in SLOTS.items():
        for node, part in _titles(graph, slot):
            fitting = [name for name in names if name in part["inputs"]]
            if not fitting or slot in places:
                why = f"node {places[slot][0]} too" if slot in places else f"it has none of {', '.join(names)}"
                raise InputError(f"node {node} is titled {{{slot}}}, but {why}", where=source)
            places[slot] = (node, fitting[0])
    return places


def _traced(graph: Graph) -> dict[str, tuple[str, str]]:
    """Slots as far as one sampler's links lead; empty where there is no sampler, or several."""
    samplers = [
        node for node, part in graph.items() if {"positive", "negative", "latent_image"} <= part["inputs"].keys()
    ]
    if len(samplers) != 1:
        return {}
    inputs = graph[samplers[0]]["inputs"]
    starts = {
        "prompt": inputs["positive"],
        "negative_prompt": inputs["negative"],
        "width": inputs["latent_image"],
        "height": inputs["latent_image"],
        "checkpoint": inputs.get("model"),
        **dict.fromkeys(("seed", "steps", "cfg_scale", "sampler", "scheduler"), [samplers[0], 0]),
    }
    places = {slot: _first_behind(graph, link, SLOTS[slot]) for slot, link in starts.items()}
    return {slot: place for slot, place in places.items() if place is not None}


def _first_behind(graph: Graph, link: Any, names: tuple[str, ...]) -> tuple[str, str] | None:
    """The nearest node behind a link with one of the inputs as a plain value."""
    queue, visited = [link], set()
    while queue:
        link = queue.pop(0)
        if not isinstance(link, list) or link[0] in visited or link[0] not in graph:
            continue
        visited.add(link[0])
        inputs = graph[link[0]]["inputs"]
        for name in names:
            if name in inputs and not isinstance(inputs[name], list):
                return link[0], name
        queue += inputs.values()
    return None


def _readers_of_pictures(graph: Graph) -> list[str]:
    return [node for node, part in graph.items() if part["class_type"] in ("SaveImage", "PreviewImage")]
