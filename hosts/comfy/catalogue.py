"""The node classes of a ComfyUI server, and a request as a graph: names and numbers are checked before it is sent."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from ..errors import NoPlace, RequestRefused
from ..samplers import refuse_unknown
from .sampler_names import AUTOMATIC, file_for, known_samplers, sampler_for, scheduler_for
from .slots import named
from .workflow import NO_CFG

if TYPE_CHECKING:
    from ..request import GenerationRequest, LoraRef
    from .api import ComfyApi
    from .slots import Graph
    from .workflow import Workflow

LORA_LOADER = "LoraLoader"


class ComfyCatalogue:
    """`/object_info` of the node classes that the workflow uses, each read once."""

    def __init__(self, api: ComfyApi, workflow: Workflow, checkpoint: str | None):
        self.workflow, self._api, self._checkpoint_name = workflow, api, checkpoint
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
        fixed = self.workflow.value(self.workflow.graph, "checkpoint")
        available = self._choices(*self._slot_of("checkpoint"))
        if self._checkpoint_name or fixed:
            return self._named_file("checkpoint", self._checkpoint_name or fixed, available)
        if len(available) != 1:
            names = ", ".join(sorted(available)) or "none: put one into models/checkpoints"
            raise RequestRefused(
                f"this ComfyUI has {len(available)} checkpoints",
                where=self._api.url,
                to_try=f"name one with --checkpoint: {names}",
            )
        return next(iter(available))

    def graph_of(self, request: GenerationRequest) -> Graph:
        """The request's graph, every name and number of it known to the server."""
        values = {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "seed": request.seed,
            "steps": request.steps,
            "cfg_scale": self._cfg_scale(request),
            "width": request.width,
            "height": request.height,
            "sampler": sampler_for(request.sampler, self._choices(*self._slot_of("sampler"))),
            "scheduler": self._scheduler(request),
            "checkpoint": self._file("checkpoint", request.checkpoint) if request.checkpoint else self.checkpoint,
        }
        loras = tuple(self._lora(lora) for lora in request.loras)
        graph = self.workflow.filled(values, loras, request.clip_skip)
        for node, part in graph.items():
            self._check_node(node, part)
        return graph

    def _cfg_scale(self, request: GenerationRequest) -> float | None:
        """None where the workflow has no guidance and none is asked for."""
        return None if "cfg_scale" not in self.workflow.slots and request.cfg_scale == NO_CFG else request.cfg_scale

    def _scheduler(self, request: GenerationRequest) -> str | None:
        """None keeps the workflow's own: "Automatic" asks for none in particular."""
        automatic = request.scheduler == AUTOMATIC
        if automatic and (self.workflow.keeps_values or "scheduler" not in self.workflow.slots):
            return None
        if "scheduler" not in self.workflow.slots:
            return request.scheduler
        return scheduler_for(request.scheduler, request.sampler, self._choices(*self._slot_of("scheduler")))

    def _file(self, kind: str, name: str) -> str:
        if "checkpoint" not in self.workflow.slots:
            raise NoPlace("the workflow has no place for a checkpoint", where=self.workflow.source)
        return file_for(kind, name, self._choices(*self._slot_of("checkpoint")))

    def _named_file(self, slot: str, name: str, available: Collection[str]) -> str:
        try:
            return file_for(slot, name, available)
        except RequestRefused as refused:
            self._refuse_missing_file(self.workflow.slots[slot][0], name)
            raise refused

    def _refuse_missing_file(self, node: str, name: str) -> None:
        """RequestRefused where the workflow says where the file that the server lacks can be had."""
        download = self.workflow.download_of(node, name)
        if download is not None:
            raise RequestRefused(
                f"this ComfyUI does not have {name}, which {named(self.workflow.graph, node)} loads",
                where=self._api.url,
                to_try=f"{download}; where yours has another name, write that into a copy of the workflow "
                f"({self.workflow.source})",
            )

    def _lora(self, lora: LoraRef) -> LoraRef:
        """By the server's name of it; a file that came in since the last look is found."""
        kind, name = self._slot_of("lora") if "lora" in self.workflow.slots else (LORA_LOADER, "lora_name")
        try:
            file = file_for("LoRA", lora.name, self._choices(kind, name))
        except RequestRefused:
            self._nodes.pop(kind, None)
            file = file_for("LoRA", lora.name, self._choices(kind, name))
        return lora.model_copy(update={"name": file})

    def _check_node(self, node: str, part: dict[str, Any]) -> None:
        kind, place = part["class_type"], f"node {node} ({part['class_type']})"
        takes = self._node(kind)
        known = {**takes["input"].get("required", {}), **takes["input"].get("optional", {})}
        for name, (type_or_choices, *rest) in (
            (name, spec) for name, spec in known.items() if isinstance(spec, list) and spec
        ):
            value = part["inputs"].get(name)
            if value is None or isinstance(value, list):
                continue
            choices = _listed_choices(type_or_choices, rest)
            if choices is not None:
                if value not in choices:
                    self._refuse_missing_file(node, str(value))
                refuse_unknown(f"{name} of {place}", str(value), [str(choice) for choice in choices])
            limits = rest[0] if rest and isinstance(rest[0], dict) else {}
            if type_or_choices in ("INT", "FLOAT") and not limits.get("min", value) <= value <= limits.get(
                "max", value
            ):
                span = f"{limits.get('min')} … {limits.get('max')}"
                raise RequestRefused(
                    f"{name} of {place} can't be {value}", where=self._api.url, to_try=f"it takes {span}"
                )

    def _slot_of(self, slot: str) -> tuple[str, str]:
        """The class and the input behind a slot."""
        node, name = self.workflow.slots[slot]
        return self.workflow.graph[node]["class_type"], name

    def _choices(self, kind: str, name: str) -> Collection[str]:
        takes = self._node(kind)["input"]
        type_or_choices, *rest = {**takes.get("required", {}), **takes.get("optional", {})}.get(name, ["", {}])
        return [str(choice) for choice in _listed_choices(type_or_choices, rest) or ()]

    def _node(self, kind: str) -> dict[str, Any]:
        if kind not in self._nodes:
            definition = self._api.node(kind)
            if definition is None:
                raise RequestRefused(
                    f"this ComfyUI has no node {kind}", where=self._api.url, to_try="install the pack that brings it"
                )
            self._nodes[kind] = definition
        return self._nodes[kind]


def _listed_choices(type_or_choices: Any, rest: list[Any]) -> list[Any] | None:
    """The values of a list input, in the old form and in the new one; None for other inputs."""
    if isinstance(type_or_choices, list):
        return type_or_choices
    if type_or_choices == "COMBO" and rest and isinstance(rest[0], dict):
        return rest[0].get("options")
    return None
