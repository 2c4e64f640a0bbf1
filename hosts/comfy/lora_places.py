"""LoRAs in a graph: in the loader that is titled {lora}, else in loaders of our own behind the model's.

{lora}     model ─ loader ─ sampler        no LoRA: the loader is taken out, its readers read what it read
otherwise  model ─ lora-0 ─ lora-1 ─ …     and the text encoder alongside, where the graph has one
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from ..errors import NoPlace, RequestRefused
from .slots import FIXED_LORA, named, titled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..request import LoraRef
    from .slots import Graph, Place

MODEL, CLIP = 0, 1  # outputs of a LoRA loader; of a checkpoint's too
STRENGTHS = ("strength_model", "strength_clip", "strength", "lora_strength")
Link = list[Any]


def place_loras(
    graph: Graph, slots: Mapping[str, Place], loras: Sequence[LoraRef], clip_skip: int, source: str
) -> None:
    """Puts the LoRAs and the clip skip into `graph`; NoPlace where the workflow does not say where they go."""
    if "lora" in slots:
        _fill_loader(graph, slots, loras, source)
        loras = ()
    elif loras:
        _refuse_unmarked_loaders(graph, source)
    if loras or clip_skip != 1:
        _insert_loaders(graph, slots, loras, clip_skip, source)


def _fill_loader(graph: Graph, slots: Mapping[str, Place], loras: Sequence[LoraRef], source: str) -> None:
    node, name = slots["lora"]
    if not loras:
        _take_out(graph, node, slots, source)
        return
    template, last = deepcopy(graph[node]), node
    for place, lora in enumerate(loras):
        current = node if place == 0 else f"lora-{place}"
        if place:
            for reader, read in _readers(graph, last):
                graph[reader]["inputs"][read] = [current, graph[reader]["inputs"][read][1]]
            graph[current] = deepcopy(template)
            for output, read in enumerate(("model", "clip")):
                if read in graph[current]["inputs"]:
                    graph[current]["inputs"][read] = [last, output]
        _set(graph, current, name, lora, slots)
        last = current


def _set(graph: Graph, node: str, name: str, lora: LoraRef, slots: Mapping[str, Place]) -> None:
    inputs = graph[node]["inputs"]
    inputs[name] = lora.name
    for strength in STRENGTHS:
        if strength in inputs and not isinstance(inputs[strength], list):
            inputs[strength] = lora.strength
    if "lora_strength" in slots:
        other, strength = slots["lora_strength"]
        graph[other]["inputs"][strength] = lora.strength


def _take_out(graph: Graph, node: str, slots: Mapping[str, Place], source: str) -> None:
    """The graph without the loader; one without a `model` to hand on is set to strength 0."""
    inputs = graph[node]["inputs"]
    handed_on = [inputs.get("model"), inputs.get("clip")]
    readers = _readers(graph, node)
    if all(isinstance(handed_on[graph[reader]["inputs"][read][1]], list) for reader, read in readers):
        for reader, read in readers:
            graph[reader]["inputs"][read] = handed_on[graph[reader]["inputs"][read][1]]
        del graph[node]
        return
    strengths = [name for name in STRENGTHS if name in inputs and not isinstance(inputs[name], list)]
    if not strengths and "lora_strength" not in slots:
        raise NoPlace(
            f"{named(graph, node)} can't be drawn without a LoRA: it has no input model and no strength",
            where=source,
            to_try="title the node that has the strength {lora_strength}, or use a LoraLoader",
        )
    for name in strengths:
        inputs[name] = 0.0
    if "lora_strength" in slots:
        other, name = slots["lora_strength"]
        graph[other]["inputs"][name] = 0.0


def _refuse_unmarked_loaders(graph: Graph, source: str) -> None:
    """A LoRA that a graph loads may be the user's own file to be judged, or part of the model: only the user knows."""
    fixed = titled(graph, FIXED_LORA)
    unmarked = [node for node, part in graph.items() if "lora_name" in part["inputs"] and node not in fixed]
    if unmarked:
        node = unmarked[0]
        raise NoPlace(
            f"{named(graph, node)} loads a LoRA already, {graph[node]['inputs']['lora_name']}, and the workflow does "
            "not say whether others take its place",
            where=source,
            to_try=f"title the node {{lora}} if they do, or {{{FIXED_LORA}}} if it is part of every picture",
        )


def _insert_loaders(
    graph: Graph, slots: Mapping[str, Place], loras: Sequence[LoraRef], clip_skip: int, source: str
) -> None:
    if "checkpoint" not in slots:
        raise NoPlace(
            "LoRAs and clip skip go behind the checkpoint, and the workflow does not say which node that is",
            where=source,
            to_try="title the loader of the model {checkpoint}, or a LoRA loader {lora}",
        )
    source_of = {MODEL: [slots["checkpoint"][0], 0], CLIP: _clip_of(graph, slots["prompt"][0])}
    readers = {output: _readers_of(graph, link) for output, link in source_of.items()}
    model, clip = source_of[MODEL], source_of[CLIP]
    for place, lora in enumerate(loras):
        inputs: dict[str, Any] = {"model": model, "lora_name": lora.name, "strength_model": lora.strength}
        if clip is not None:
            inputs |= {"clip": clip, "strength_clip": lora.strength}
        kind = "LoraLoaderModelOnly" if clip is None else "LoraLoader"
        graph[f"lora-{place}"] = {"class_type": kind, "inputs": inputs}
        model, clip = [f"lora-{place}", MODEL], None if clip is None else [f"lora-{place}", CLIP]
    if clip_skip != 1:
        if clip is None:
            raise RequestRefused("the workflow has no CLIP whose layers could be skipped", where=source)
        inputs = {"clip": clip, "stop_at_clip_layer": -clip_skip}
        graph["clip-skip"] = {"class_type": "CLIPSetLastLayer", "inputs": inputs}
        clip = ["clip-skip", 0]
    for output, link in ((MODEL, model), (CLIP, clip)):
        for node, name in readers[output]:
            graph[node]["inputs"][name] = link


def _clip_of(graph: Graph, prompt: str) -> Link | None:
    """The text encoder that the prompt's node reads, from its loader on; None where it is not one `clip`."""
    starts = [graph[prompt]["inputs"].get("clip")]
    if not isinstance(starts[0], list):
        starts = [part["inputs"].get("clip") for part in graph.values()]
    sources = []
    for link in starts:
        while isinstance(link, list) and isinstance(graph.get(link[0], {"inputs": {}})["inputs"].get("clip"), list):
            link = graph[link[0]]["inputs"]["clip"]
        if isinstance(link, list) and link not in sources:
            sources.append(link)
    return sources[0] if len(sources) == 1 else None


def _readers(graph: Graph, node: str) -> list[Place]:
    return [
        (reader, name)
        for reader, part in graph.items()
        for name, value in part["inputs"].items()
        if isinstance(value, list) and value[:1] == [node]
    ]


def _readers_of(graph: Graph, link: Link | None) -> list[Place]:
    return (
        []
        if link is None
        else [(node, name) for node, part in graph.items() for name, value in part["inputs"].items() if value == link]
    )
