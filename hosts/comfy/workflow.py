"""A workflow in ComfyUI's API format as a template: request → its slots → the graph to draw.

    title of a node        {prompt}   {seed} {steps}   {checkpoint}   {lora} {lora_strength}   {picture}   …
    or no titles           the slots are traced from the only sampler: its texts, its latent, its model, its picture

The built-in workflow (txt2img.json) is one such template, those of workflows/ are others. Where a node lists `models`
in its `_meta` (name, url, directory, as ComfyUI's own templates do), a missing file is named with its address.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ..errors import NoPlace
from ..request import LoraRef
from .lora_places import place_loras
from .slots import Graph, Place, places_of

BUILT_IN = Path(__file__).parent / "txt2img.json"
TEMPLATES = Path(__file__).parent / "workflows"
EXPORT = (
    "in ComfyUI open it and choose Workflow → Export (API); where that entry is missing, turn on Settings → Dev mode "
    "first"
)
NO_CFG = 1.0  # without guidance there is the prompt alone
DIGITS = 16
# Text encoders that ComfyUI reads without `(words:1.2)`: every bracket would be part of the sentence.
PLAIN_ENCODERS = ("qwen_image", "lumina2", "flux2", "ovis", "longcat_image")
OF_THE_PROMPT = ("text", "prompt", "text_g", "text_l", "clip_l", "clip_g", "t5xxl", "llama", "user_prompt")


@dataclass(frozen=True)
class Workflow:
    """A graph with the places that a request fills: slot → (node, input).

    `keeps_values`: what the graph says of steps, size, sampler … is drawn with, unless a request asks for others.
    """

    graph: Graph
    slots: Mapping[str, Place]
    picture: str  # the node that gives the picture
    source: str = ""
    keeps_values: bool = False

    @classmethod
    def read(cls, path: Path | str = BUILT_IN) -> Workflow:
        """A file, or the name of a template; InputError where it is no workflow, or a slot is missing."""
        path = _template(Path(path))
        try:
            graph = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"the workflow can't be read: {error}", where=str(path)) from error
        return cls.of(graph, str(path), keeps_values=path != BUILT_IN)

    @classmethod
    def of(cls, graph: Any, source: str = "", keeps_values: bool = True) -> Workflow:
        """The template of a graph; titles come first, what they leave open is traced from the only sampler."""
        _refuse_other_formats(graph, source)
        slots, picture = places_of(graph, source)
        return cls(graph, slots, picture, source, keeps_values)

    @property
    def digest(self) -> str:
        """16 hex digits that change with the graph, titles included."""
        text = json.dumps(self.graph, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]

    @property
    def drawing(self) -> dict[str, Any]:
        """Steps, guidance, sampler, width and height as the graph itself has them; empty for the built-in one."""
        if not self.keeps_values:
            return {}
        names = ("steps", "cfg_scale", "sampler", "width", "height")
        values = {name: self.value(self.graph, name) for name in names if name in self.slots}
        return {"cfg_scale": NO_CFG, **values}

    @property
    def takes_negative(self) -> bool:
        """Whether there is a place for a negative prompt."""
        return "negative_prompt" in self.slots

    @property
    def reads_weights(self) -> bool:
        """Whether its text encoder reads `(words:1.2)`."""
        return not any(
            part["inputs"].get("type") in PLAIN_ENCODERS
            and any(name.startswith("clip_name") for name in part["inputs"])
            for part in self.graph.values()
        )

    def filled(self, values: Mapping[str, Any], loras: tuple[LoraRef, ...] = (), clip_skip: int = 1) -> Graph:
        """The graph with `values` in its slots, LoRAs and clip skip behind the checkpoint."""
        graph = deepcopy(self.graph)
        for slot, value in values.items():
            if slot in self.slots:
                if value is not None:
                    self._fill(graph, slot, value)
            elif value not in (None, ""):
                raise NoPlace(
                    f"the workflow has no place for the {slot}",
                    where=self.source,
                    to_try=f"title a node {{{slot}}}, or do not ask for one",
                )
        place_loras(graph, self.slots, loras, clip_skip, self.source)
        return graph

    def _fill(self, graph: Graph, slot: str, value: Any) -> None:
        """One slot; a prompt goes into every text of its node, such as `clip_l` and `t5xxl`."""
        node, name = self.slots[slot]
        graph[node]["inputs"][name] = value
        if slot in ("prompt", "negative_prompt"):
            for other in OF_THE_PROMPT:
                if isinstance(graph[node]["inputs"].get(other), str):
                    graph[node]["inputs"][other] = value

    def value(self, graph: Graph, slot: str) -> Any:
        """What a graph of this workflow has in a slot; None where it has no such slot."""
        if slot not in self.slots:
            return None
        node, name = self.slots[slot]
        return graph.get(node, {}).get("inputs", {}).get(name)

    def download_of(self, node: str, name: str) -> str | None:
        """Where a file that the workflow names can be had, as a sentence; None where it does not say."""
        for model in self.graph.get(node, {}).get("_meta", {}).get("models") or ():
            if isinstance(model, dict) and model.get("name") == name:
                return f"download {model.get('url')} into models/{model.get('directory')}"
        return None


def template_names() -> list[str]:
    """The templates that `--workflow NAME` finds."""
    return sorted(file.stem for file in TEMPLATES.glob("*.json"))


def _template(path: Path) -> Path:
    """The file itself, or the template of that name."""
    if path.exists() or path.suffix == ".json" or len(path.parts) > 1:
        return path
    if path.name not in template_names():
        raise InputError(
            f"there is no workflow {path.name!r}",
            where=str(path),
            to_try=f"a .json file, or one of {', '.join(template_names())}",
        )
    return TEMPLATES / f"{path.name}.json"


def _refuse_other_formats(graph: Any, source: str) -> None:
    if isinstance(graph, dict) and "nodes" in graph and "links" in graph:
        raise InputError("this is a workflow as the page saves it", where=source, to_try=EXPORT)
    if isinstance(graph, dict) and isinstance(graph.get("prompt"), dict):
        raise InputError(
            "this is a request to ComfyUI, not a workflow", where=source, to_try="save what stands in prompt"
        )
    nodes = graph.values() if isinstance(graph, dict) else [None]
    if not graph or not all(isinstance(node, dict) and {"class_type", "inputs"} <= node.keys() for node in nodes):
        raise InputError("this is no workflow in ComfyUI's API format", where=source, to_try=EXPORT)
