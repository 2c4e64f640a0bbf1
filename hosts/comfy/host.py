"""A ComfyUI server as a host, driven by the same routes that its web page uses.

request → graph (workflow.py) → every name known to the server (catalogue.py) → /prompt → events → /history → picture
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..address import base_url
from ..errors import ApiMissing, HostUnreachable, RequestRefused, UnknownOutcome, UnreadableAnswer, WrongResult
from ..limits import Limits
from ..lora_proof import prove
from ..request import GenerationRequest, GenerationResult, HostDescription, UsedSettings
from .api import ComfyApi
from .catalogue import ComfyCatalogue
from .events import EventStream
from .history import pictures_of
from .result import executed_graph, open_picture
from .workflow import NO_CFG, Workflow

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..lora_proof import LoraProof
    from ..request import Dialect
    from .slots import Graph

SUBMISSIONS = 3  # of one picture, where answers or the server's memory are lost
QUIET_POLLS = 10  # times `poll_s` without an event, and the history is looked at


class ComfyHost:
    """Draws on a ComfyUI server, one picture at a time; `on_step` is told how far the sampler is.

    `url`: http(s), of this machine unless `allow_remote`. `checkpoint`: a name as the server lists it, None where it
    has just one. `workflow`: a file in API format, or a template's name, in place of ours (workflow.py says how its
    slots are marked); its own sampling is drawn with where nothing else is asked for.
    """

    def __init__(
        self,
        url: str,
        checkpoint: str | None = None,
        *,
        allow_remote: bool = False,
        limits: Limits | None = None,
        ca_file: Path | None = None,
        workflow: Path | str | None = None,
    ):
        self.url = base_url(url, allow_remote=allow_remote)
        self.limits = limits or Limits()
        self.workflow = Workflow.read(workflow) if workflow else Workflow.read()
        self.dialect: Dialect = "comfy" if self.workflow.reads_weights else "plain"
        self.takes_negative = self.workflow.takes_negative
        self.on_step: Callable[[int, int, int], None] | None = None  # steps done, of how many, pictures
        self._client_id = uuid.uuid4().hex
        self._api = ComfyApi(self.url, self.limits, ca_file)
        self._catalogue = ComfyCatalogue(self._api, self.workflow, checkpoint)
        self._events = EventStream(self.url, self._client_id, self.limits.connect_s, ca_file)

    # ── what it is ──────────────────────────────────────────────────────────────────────────────────────────────────

    def describe(self) -> HostDescription:
        """The checkpoint that draws where a request names none, and A1111's names of the samplers."""
        return HostDescription(
            kind="comfy",
            url=self.url,
            checkpoint=self._catalogue.checkpoint or "",
            samplers=tuple(self._catalogue.samplers),
            workflow=self.workflow.digest if self.workflow.keeps_values else None,
            drawing=self.workflow.drawing,
        )

    def count_tokens(self, text: str) -> None:
        """ComfyUI does not tell."""

    def check(self, request: GenerationRequest) -> None:
        """Refuses what the server lacks: names, sizes, nodes; nothing is queued for it."""
        self._catalogue.graph_of(request)

    # ── drawing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationResult]:
        """Pictures in the order of the requests, one in flight; a caller that goes away takes its prompt along."""
        graphs = [self._catalogue.graph_of(request) for request in requests]
        try:
            for request, graph in zip(requests, graphs, strict=True):
                yield self._result(request, graph)
        finally:
            self._events.close()

    lora_readers = ("ComfyUI",)  # whose rules the server reads LoRA files by

    def prove(self, request: GenerationRequest, lora: str) -> LoraProof:
        """Draws `request` with and without the LoRA: what it changes."""

        def draw(variant: GenerationRequest) -> Image:
            (result,) = self.generate([variant])
            return result.image

        return prove(request, lora, draw, draw(request))

    def _result(self, request: GenerationRequest, graph: Graph) -> GenerationResult:
        began = time.monotonic()
        entry = self._draw_graph(graph)
        where = f"{self.url}, {request.width}×{request.height}, seed {request.seed}"
        files = pictures_of(entry, self.workflow.picture, where)
        if len(files) != 1:
            raise WrongResult(f"the workflow gives {len(files)} pictures, not one", where=self.workflow.source)
        executed = executed_graph(entry, graph, self.workflow, where)
        image = open_picture(self._api.picture(files[0]), request, executed, self.workflow, where)
        return GenerationResult(image, request, self._used(request, executed, image), time.monotonic() - began)

    def _draw_graph(self, graph: Graph) -> dict[str, Any]:
        """The history's entry of the finished prompt.

        The id is ours, so a prompt whose answer is lost is looked for before it is sent again: never two of it.
        """
        deadline = time.monotonic() + self.limits.picture_s
        prompt_id = str(uuid.uuid4())
        self._events.open()
        try:
            for _ in range(SUBMISSIONS):
                our_id = prompt_id
                try:
                    prompt_id = self._api.submit(graph, prompt_id, self._client_id)
                except UnknownOutcome:
                    pass  # the queue or the history know it, or it never arrived
                entry = self._wait_for_end(prompt_id, deadline)
                if entry is not None:
                    return entry
                prompt_id = our_id
        except BaseException as error:
            self._cancel(prompt_id, error)
            raise
        raise UnknownOutcome(
            f"the server lost the picture {SUBMISSIONS} times", where=self.url, to_try="look at ComfyUI's console"
        )

    def _wait_for_end(self, prompt_id: str, deadline: float) -> dict[str, Any] | None:
        """Waits for the end; None where the server does not know the prompt (any more)."""
        away_until: float | None = None
        while (left := deadline - time.monotonic()) > 0:
            self._events.wait(
                prompt_id, min(QUIET_POLLS * self.limits.poll_s, left), min(self.limits.poll_s, left), self._step
            )
            try:
                entry = self._api.history_entry(prompt_id)
                if entry is None and self._api.queue_state(prompt_id) is None:
                    return self._api.history_entry(prompt_id)  # it may have ended between the two questions
                if entry is not None:
                    return entry
                away_until = None
            except (HostUnreachable, UnknownOutcome):
                away_until = away_until or time.monotonic() + self.limits.away_s
                if time.monotonic() >= away_until:
                    raise
        raise UnknownOutcome(
            f"no picture in {self.limits.picture_s:g} s; it was taken off the queue",
            where=self.url,
            to_try="fewer steps, a smaller size, or look at ComfyUI's console",
        )

    def _step(self, done: int, steps: int) -> None:
        if self.on_step is not None:
            self.on_step(done, steps, 1)

    def _cancel(self, prompt_id: str, error: BaseException) -> None:
        """Our prompt shall not go on without us; where the server is gone it has nothing to go on with."""
        if isinstance(error, (RequestRefused, HostUnreachable, ApiMissing)):
            return
        try:
            self._api.cancel(prompt_id)
        except (HostUnreachable, UnknownOutcome, UnreadableAnswer, ApiMissing):
            pass  # the first error is the one to tell

    # ── what was drawn ──────────────────────────────────────────────────────────────────────────────────────────────

    def _used(self, request: GenerationRequest, executed: Graph, image: Image) -> UsedSettings:
        """From the executed graph and the decoded picture; the sampler by the name that asked for it."""
        value = self.workflow.value
        return UsedSettings(
            seed=value(executed, "seed"),
            steps=value(executed, "steps"),
            cfg_scale=value(executed, "cfg_scale") if "cfg_scale" in self.workflow.slots else NO_CFG,
            width=image.width,
            height=image.height,
            sampler=request.sampler,
            checkpoint=value(executed, "checkpoint"),
            loras=request.loras,
            backend=self._backend,
        )

    @cached_property
    def _backend(self) -> str:
        stats = self._api.stats()
        system, devices = stats.get("system", {}), stats.get("devices") or [{}]
        return (
            f"ComfyUI {system.get('comfyui_version', '?')}, torch {system.get('pytorch_version', '?')}, "
            f"{devices[0].get('name', '?')}"
        )
