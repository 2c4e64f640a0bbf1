"""The graph's own model with LoRA files on it, as a host: each file is patched on as a LoRA loader would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.errors import InputError
from ...hosts.errors import LoraWithoutEffect, RequestRefused
from ..training.publish import tensors_of
from .graph_host import ComfyGraphHost
from .patches import refuse_unfit_lora

if TYPE_CHECKING:
    from ...hosts.request import GenerationRequest, GenerationResult, HostDescription, LoraRef


class LoraGraphHost(ComfyGraphHost):
    """Draws requests whose LoRAs name a file; the last set of LoRAs stays on a model of its own, the base untouched."""

    def __init__(self, base: ComfyGraphHost):
        # The noise schedule is no field of a judgement's settings: as part of the digest it parts their run folders.
        digest = f"{base.digest}, {base.scheduler}"
        super().__init__(base.model, base.clip, base.vae, base.scheduler, base.name, digest, base.check_cancelled)
        self._tuned: tuple[tuple[LoraRef, ...], ComfyGraphHost] | None = None

    def describe(self) -> HostDescription:
        """As the graph's host, and local: it opens a LoRA's file itself, and nothing is sent anywhere."""
        return super().describe().model_copy(update={"kind": "local"})

    def check(self, request: GenerationRequest) -> None:
        """Refuses what the graph's host refuses, and a LoRA without a file."""
        super().check(request.model_copy(update={"loras": ()}))
        for lora in request.loras:
            if lora.path is None:
                raise RequestRefused(f"the LoRA {lora.name!r} names no file", to_try="a LoRA of ComfyUI's list")

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationResult]:
        """Pictures in the order of the requests; LoraWithoutEffect where a file fits no layer of the model."""
        for request in requests:
            if not request.loras:
                yield from super().generate([request])
                continue
            self.check(request)
            [result] = self._with(request.loras).generate([request.model_copy(update={"loras": ()})])
            yield replace(result, request=request)

    def _with(self, loras: tuple[LoraRef, ...]) -> ComfyGraphHost:
        if self._tuned is None or self._tuned[0] != loras:
            self._tuned = None  # lets the patches of the one before go
            self._tuned = loras, self._patched(loras)
        return self._tuned[1]

    def _patched(self, loras: tuple[LoraRef, ...]) -> ComfyGraphHost:
        import comfy.sd

        model, clip = self.model, self.clip
        for lora in loras:
            assert lora.path is not None  # `check` has seen to it
            tensors = tensors_of(lora.path)
            try:
                refuse_unfit_lora(self.model, self.clip, tensors)
            except InputError as error:
                raise LoraWithoutEffect(error.what, where=str(lora.path), to_try=error.to_try) from error
            model, clip = comfy.sd.load_lora_for_models(model, clip, tensors, lora.strength, lora.strength)
        return ComfyGraphHost(model, clip, self.vae, self.scheduler, self.name, self.digest, self.check_cancelled)
