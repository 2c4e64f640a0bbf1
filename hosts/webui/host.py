"""A1111, Forge or reForge as a host: check → send → read → compare, one picture at a time.

refused before sending    whatever the server would replace in silence
sent                      one at a time, within a time limit, under an id of our own
answered                  read, compared with what was asked, or turned into one error
lost                      the server is waited for until it is idle, then the picture is drawn again
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ...core.progress import ProgressCallback, silent
from ..address import base_url
from ..connection import Connection
from ..errors import HostError, LoraWithoutEffect, RequestRefused, UnreadableAnswer
from ..limits import Limits
from ..lora_proof import LoraProof, effective, prove
from ..request import GenerationRequest, GenerationResult, HostDescription
from .capability import OPTIONS, Capability
from .catalogue import WebuiCatalogue, loras_of
from .client import TRIAL, RetryingClient
from .credentials import credentials
from .jobs import Jobs
from .payload import payload_of
from .responses import read_json
from .retry import Breaker

if TYPE_CHECKING:
    from pathlib import Path

    from ..request import Dialect
    from .catalogue import Checkpoint


class WebuiHost:
    """Draws on a server with A1111's API. Nothing is asked before the first use.

    `checkpoint` names the model to draw with; without it the one that the server has loaded. Either is asked for with
    every picture, so that nobody who chooses another one there changes ours. `ca_file`: certificates to
    believe on https.
    """

    dialect: Dialect = "a1111"

    def __init__(
        self,
        url: str,
        *,
        checkpoint: str | None = None,
        allow_remote: bool = False,
        auth: tuple[str, str] | None = None,
        ca_file: Path | None = None,
        limits: Limits | None = None,
        progress: ProgressCallback = silent,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.url, self.limits = base_url(url, allow_remote=allow_remote), limits or Limits()
        self.connection = Connection(self.url, auth or credentials(), self.limits, ca_file)
        self.breaker = Breaker(self.limits)
        self.progress, self.sleep = progress, sleep
        self._checkpoint_name = checkpoint
        self._proven: set[tuple[str, str]] = set()

    # ── what it is ──────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def capability(self) -> Capability:
        """Routes, fields and options of this server."""
        return Capability.of(self.connection)

    @cached_property
    def catalogue(self) -> WebuiCatalogue:
        """Its samplers, schedules, checkpoints and LoRAs."""
        return WebuiCatalogue(self.connection, self.capability)

    @cached_property
    def client(self) -> RetryingClient:
        """The client that fetches pictures, one at a time."""
        jobs = Jobs(self.connection, self.capability, self.sleep)
        return RetryingClient(self.connection, self.capability, jobs, self.breaker, self.progress, self.sleep)

    @cached_property
    def pinned(self) -> Checkpoint:
        """The model that draws where a request names none."""
        if self._checkpoint_name is not None:
            self.catalogue.refuse_missing_checkpoint(self._checkpoint_name)
        chosen = self.catalogue.checkpoint(self._checkpoint_name or self._loaded())
        if chosen is None or chosen.hash is None:
            # Hashes are computed when a model is first loaded: load it now, so that a run sees one and the same
            # model at its beginning and when it goes on.
            trial = self.client.fetch(self._trial, chosen)
            self.catalogue.checkpoints = self.catalogue.read_checkpoints()
            name = str(trial.info.get("sd_model_name"))
            chosen = self.catalogue.checkpoint(chosen.name if chosen else name)
            if chosen is None:
                raise HostError(
                    f"the WebUI draws with {name!r}, which its own list of models lacks",
                    where=self.url,
                    to_try="choose a model in the WebUI, or --checkpoint",
                )
        return chosen

    def _loaded(self) -> str:
        options = read_json(self.connection.get(OPTIONS))
        if not isinstance(options, dict):
            raise UnreadableAnswer("no options of a WebUI", where=f"GET {self.url}{OPTIONS}")
        return str(options.get("sd_model_checkpoint"))

    @property
    def _trial(self) -> GenerationRequest:
        return TRIAL.model_copy(update={"sampler": self.catalogue.samplers[0]})

    def describe(self) -> HostDescription:
        """The model that draws, and the samplers."""
        return HostDescription(
            kind="webui",
            url=self.url,
            checkpoint=self.pinned.name,
            checkpoint_hash=self.pinned.hash,
            samplers=tuple(self.catalogue.samplers),
        )

    def check(self, request: GenerationRequest) -> None:
        """Refuses, with the nearest name, whatever the server would replace; nothing is drawn."""
        self.catalogue.refuse_missing(request)
        self.capability.refuse_unfit(payload_of(request, None, ""), self.url)

    def count_tokens(self, text: str) -> None:
        """None: the API has no such route."""

    def forget(self) -> None:
        """Drops what is known of the server: after an absence another one may answer at its address."""
        for name in ("capability", "catalogue", "client", "pinned"):
            self.__dict__.pop(name, None)

    # ── drawing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationResult]:
        """Pictures in the order of the requests, one at a time; a LoRA is proven on its first picture."""
        for request in requests:
            self.check(request)
        for request in requests:
            result = self._draw(request)
            for name in effective(request):
                self._refuse_without_effect(name, result)
            yield result

    def _draw(self, request: GenerationRequest) -> GenerationResult:
        checkpoint = self.catalogue.checkpoint(request.checkpoint) if request.checkpoint else self.pinned
        answer = self.client.fetch(request, checkpoint)
        used = answer.used(request.loras)
        return GenerationResult(answer.image, request, used, answer.elapsed_s)

    def interrupt(self) -> bool:
        """Ends our own picture, never another's, and whoever waits for it; from any thread. Whether it was told to."""
        return self.client.interrupt()

    # ── LoRA ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def lora_readers(self) -> tuple[str, ...]:
        """Whose rules the server reads LoRA files by: A1111 or Forge; none for our own server."""
        return self.capability.lora_readers

    def prove(self, request: GenerationRequest, lora: str) -> LoraProof:
        """Draws `request` with and without the LoRA: what it changes."""
        self.check(request)
        if lora not in loras_of(request):
            raise RequestRefused(f"the request does not use the LoRA {lora!r}", to_try="add it to its loras")
        return self._prove(self._draw(request), lora)

    def _prove(self, result: GenerationResult, lora: str) -> LoraProof:
        proof = prove(result.request, lora, lambda request: self._draw(request).image, result.image)
        if proof.proven:
            self._proven.add((lora, str(result.used.checkpoint)))
        return proof

    def _refuse_without_effect(self, name: str, result: GenerationResult) -> None:
        """Once a LoRA, model and server: with 200 and a picture, the server says nothing of a LoRA it could not use."""
        if (name, str(result.used.checkpoint)) in self._proven:
            return
        if not self._prove(result, name).proven:
            raise LoraWithoutEffect(
                f"the WebUI draws the same picture with the LoRA {name!r} as without it",
                where=self.url,
                to_try="`lora verify FILE` says which keys the WebUI knows; an overwritten file needs a new name",
            )
