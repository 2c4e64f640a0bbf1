"""Where in a graph a request's values go: by the slots that node titles name, else by following the sampler's links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ...core.errors import InputError

Graph = dict[str, dict[str, Any]]
Place = tuple[str, str]  # (node, input)

# Slot → the inputs that may be it; `picture` is a node, not an input.
TEXTS = ("text", "prompt", "text_g", "t5xxl", "user_prompt")
SLOTS = {
    "prompt": TEXTS,
    "negative_prompt": TEXTS,
    "seed": ("seed", "noise_seed"),
    "steps": ("steps",),
    "cfg_scale": ("cfg", "cfg_scale", "guidance"),
    "sampler": ("sampler_name",),
    "scheduler": ("scheduler",),
    "width": ("width",),
    "height": ("height",),
    "checkpoint": ("ckpt_name", "unet_name"),
    "lora": ("lora_name", "lora"),
    "lora_strength": ("strength_model", "strength", "lora_strength"),
}
PICTURE, FIXED_LORA = "picture", "fixed_lora"
# A graph may lack these: its own value is drawn with, and a request that asks for another one is refused.
OPTIONAL = ("negative_prompt", "cfg_scale", "scheduler", "checkpoint", "lora", "lora_strength")
TRACED = (*TEXTS, "value", "string")  # a text may come from a node of its own
PRIMITIVE = "value"  # of a node that is nothing but one number or text
SAVERS = ("SaveImage", "PreviewImage")
SLOT = re.compile(r"\{(\w+)\}")


def places_of(graph: Graph, source: str = "") -> tuple[dict[str, Place], str]:
    """(slot → place, the node that gives the picture); InputError says which slot is missing and which nodes fit it."""
    slots = {**_traced(graph), **_titled(graph, source)}
    pictures = [node for node, _ in _titles(graph, PICTURE)] or [
        node for node, part in graph.items() if part["class_type"] in SAVERS
    ]
    missing = [slot for slot in SLOTS if slot not in slots and slot not in OPTIONAL]
    if len(pictures) != 1:
        missing.append(PICTURE)
    if missing:
        named = ", ".join(f"{{{slot}}}" for slot in missing)
        fitting = "; ".join(f"{{{slot}}}: {_fitting_nodes(graph, slot)}" for slot in missing)
        raise InputError(
            f"the workflow does not say what is {named}",
            where=source,
            to_try=f"write {named} into a node's title in ComfyUI and export it again. Nodes that fit: {fitting}",
        )
    return slots, pictures[0]


def titled(graph: Graph, slot: str) -> list[str]:
    """The nodes whose title names a slot."""
    return [node for node, _ in _titles(graph, slot)]


def named(graph: Graph, node: str) -> str:
    """`node 5 (KSampler)`."""
    return f"node {node} ({graph[node]['class_type']})"


def _titles(graph: Graph, slot: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for node, part in graph.items():
        if slot in SLOT.findall(str(part.get("_meta", {}).get("title", ""))):
            yield node, part


def _fitting_nodes(graph: Graph, slot: str) -> str:
    names = SLOTS.get(slot, ())
    nodes = [
        node
        for node, part in graph.items()
        if any(name in part["inputs"] for name in names) or (slot == PICTURE and part["class_type"] in SAVERS)
    ]
    return ", ".join(named(graph, node) for node in nodes[:4]) or f"none, it needs an input {' or '.join(names)}"


def _titled(graph: Graph, source: str) -> dict[str, Place]:
    places: dict[str, Place] = {}
    for slot, names in SLOTS.items():
        for node, part in _titles(graph, slot):
            fitting = [name for name in (*names, PRIMITIVE) if name in part["inputs"]]
            if not fitting or slot in places:
                why = f"node {places[slot][0]} too" if slot in places else f"it has none of {', '.join(names)}"
                to_try = f"nodes that fit: {_fitting_nodes(graph, slot)}"
                raise InputError(f"{named(graph, node)} is titled {{{slot}}}, but {why}", where=source, to_try=to_try)
            places[slot] = (node, fitting[0])
    return places


def _traced(graph: Graph) -> dict[str, Place]:
    """Slots as far as one sampler's links lead; empty where there is no sampler, or several."""
    samplers = [
        node
        for node, part in graph.items()
        if "latent_image" in part["inputs"]
        and ({"positive", "negative"} <= part["inputs"].keys() or "guider" in part["inputs"])
    ]
    if len(samplers) != 1:
        return {}
    sampler = samplers[0]
    inputs = graph[sampler]["inputs"]
    guider = graph.get(inputs["guider"][0], {"inputs": {}})["inputs"] if "guider" in inputs else inputs
    texts = {"prompt": guider.get("positive", guider.get("conditioning")), "negative_prompt": guider.get("negative")}
    places = {slot: _first_behind(graph, link, TRACED, str) for slot, link in texts.items()}
    if places["negative_prompt"] == places["prompt"]:  # the prompt zeroed out stands in for a negative one
        del places["negative_prompt"]
    starts = {
        "width": inputs["latent_image"],
        "height": inputs["latent_image"],
        "checkpoint": guider.get("model"),
        **dict.fromkeys(("seed", "steps", "cfg_scale", "sampler", "scheduler"), [sampler, 0]),
    }
    places |= {slot: _first_behind(graph, link, SLOTS[slot]) for slot, link in starts.items()}
    return {slot: place for slot, place in places.items() if place is not None}


def _first_behind(graph: Graph, link: Any, names: tuple[str, ...], kind: type = object) -> Place | None:
    """The nearest node behind a link with one of the inputs as a plain value of that kind."""
    queue, visited = [link], set()
    while queue:
        link = queue.pop(0)
        if not isinstance(link, list) or link[0] in visited or link[0] not in graph:
            continue
        visited.add(link[0])
        inputs = graph[link[0]]["inputs"]
        for name in names:
            if name in inputs and not isinstance(inputs[name], list) and isinstance(inputs[name], kind):
                return link[0], name
        queue += inputs.values()
    return None
