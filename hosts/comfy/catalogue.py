"""What the server has, and a request as a graph of it: every name and number is known there before it is sent."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from ..errors import RequestRefused
from ..samplers import refuse_unknown
from .sampler_names import file_for, known_samplers, sampler_for, scheduler_for

if TYPE_CHECKING:
    from ..request import GenerationRequest, LoraRef
    from .api import ComfyApi
    from .workflow import Graph, Workflow

LORA_LOADER = "LoraLoader"


class ComfyCatalogue:
    """`/object_info` of the node classes that the workflow uses, each asked for once."""

    def __init__(self, wire: ComfyApi, workflow: Workflow, checkpoint: str | None):
        self.workflow, self._wire, self._asked_for = workflow, wire, checkpoint
        self._nodes: dict[str, dict[str, Any]] = {}

    @property
    def samplers(self) -> list[str]:
        """A1111's names of those that the server has."""
        return known_samplers(self._choices(*self._slot_of("sampler")))

    @property
    def checkpoint(self) -> str | None:
        """The server's name of it; RequestRefused where it has several and none was named. A workflow keeps its own."""
        if "checkpoint" not in self.workflow.slots:
            return None
        own = self.workflow.value(self.workflow.graph, "checkpoint")
        has = self._choices(*self._slot_of("checkpoint"))
        if self._asked_for or own:
            return file_for("checkpoint", self._asked_for or own, has)
        if len(has) != 1:
            names = ", ".join(sorted(has)) or "none: put one into models/checkpoints"
            raise RequestRefused(
                f"this ComfyUI has {len(has)} checkpoints",
                where=self._wire.url,
                to_try=f"name one with --checkpoint: {names}",
            )
        return next(iter(has))

    def graph_of(self, request: GenerationRequest) -> Graph:
        """The request's graph, every name and number of it known to the server."""
        has = self._choices(*self._slot_of("sampler"))
        values = {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "seed": request.seed,
            "steps": request.steps,
            "cfg_scale": request.cfg_scale,
            "width": request.width,
            "height": request.height,
            "sampler": sampler_for(request.sampler, has),
            "scheduler": scheduler_for(request.scheduler, request.sampler, self._choices(*self._slot_of("scheduler"))),
            "checkpoint": self._file("checkpoint", request.checkpoint) if request.checkpoint else self.checkpoint,
        }
        loras = tuple(self._lora(lora) for lora in request.loras)
        graph = self.workflow.filled(values, loras, request.clip_skip)
        for node, part in graph.items():
            self._check_node(node, part)
        return graph

    def _file(self, kind: str, name: str) -> str:
        if "checkpoint" not in self.workflow.slots:
            raise RequestRefused("the workflow has no place for a checkpoint", where=self.workflow.source)
        return file_for(kind, name, self._choices(*self._slot_of("checkpoint")))

    def _lora(self, lora: LoraRef) -> LoraRef:
        """By the server's name of it; a file that came in since the last look is found."""
        try:
            found = file_for("LoRA", lora.name, self._choices(LORA_LOADER, "lora_name"))
        except RequestRefused:
            self._nodes.pop(LORA_LOADER, None)
            found = file_for("LoRA", lora.name, self._choices(LORA_LOADER, "lora_name"))
        return lora.model_copy(update={"name": found})

    def _check_node(self, node: str, part: dict[str, Any]) -> None:
        kind, place = part["class_type"], f"node {node} ({part['class_type']})"
        takes = self._node(kind)
        known = {**takes["input"].get("required", {}), **takes["input"].get("optional", {})}
        for name, (wanted, *rest) in ((name, spec) for name, spec in known.items() if isinstance(spec, list) and spec):
            value = part["inputs"].get(name)
            if value is None or isinstance(value, list):
                continue
            choices = _choices_in(wanted, rest)
            if choices is not None:
                refuse_unknown(f"{name} of {place}", str(value), [str(one) for one in choices])
            limits = rest[0] if rest and isinstance(rest[0], dict) else {}
            if wanted in ("INT", "FLOAT") and not limits.get("min", value) <= value <= limits.get("max", value):
                span = f"{limits.get('min')} … {limits.get('max')}"
                raise RequestRefused(
                    f"{name} of {place} can't be {value}", where=self._wire.url, to_try=f"it takes {span}"
                )

    def _slot_of(self, slot: str) -> tuple[str, str]:
        """The class and the input behind a slot."""
        node, name = self.workflow.slots[slot]
        return self.workflow.graph[node]["class_type"], name

    def _choices(self, kind: str, name: str) -> Collection[str]:
        takes = self._node(kind)["input"]
        wanted, *rest = {**takes.get("required", {}), **takes.get("optional", {})}.get(name, ["", {}])
        return [str(one) for one in _choices_in(wanted, rest) or ()]

    def _node(self, kind: str) -> dict[str, Any]:
        if kind not in self._nodes:
            found = self._wire.node(kind)
            if found is None:
                raise RequestRefused(
                    f"this ComfyUI has no node {kind}", where=self._wire.url, to_try="install the pack that brings it"
                )
            self._nodes[kind] = found
        return self._nodes[kind]


def _choices_in(wanted: Any, rest: list[Any]) -> list[Any] | None:
    """The values of a list input, in the old form and in the new one; None for other inputs."""
    if isinstance(wanted, list):
        return wanted
    if wanted == "COMBO" and rest and isinstance(rest[0], dict):
        return rest[0].get("options")
    return None
