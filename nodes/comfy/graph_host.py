"""The graph's own MODEL, CLIP and VAE as a host (hosts/request.py): a request drawn as KSampler would draw it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...hosts.comfy.sampler_names import AUTOMATIC, scheduler_for
from ...hosts.errors import RequestRefused
from ...hosts.request import GenerationRequest, GenerationResult, HostDescription, UsedSettings
from ...hosts.samplers import refuse_unknown
from .images import pictures_of

if TYPE_CHECKING:
    import torch

    from ...hosts.request import Dialect

LATENT_STEP = 8  # pixels of a latent


class ComfyGraphHost:
    """Draws one picture at a time: noise by its own seed, so that nothing depends on what else is drawn."""

    dialect: Dialect = "comfy"

    def __init__(
        self,
        model: Any,
        clip: Any,
        vae: Any,
        scheduler: str,
        name: str,
        digest: str,
        check_cancelled: Callable[[], Any],
    ):
        """`name` and `digest` identify the model; `scheduler` is the noise schedule of requests that name none.

        `check_cancelled` is called at every step of every picture; an exception that it raises ends the drawing.
        """
        self.model, self.clip, self.vae, self.scheduler = model, clip, vae, scheduler
        self.name, self.digest, self.check_cancelled = name, digest, check_cancelled
        self._conditions: dict[str, Any] = {}

    def describe(self) -> HostDescription:
        """The checkpoint's name, with a digest of all nodes that made the model."""
        import comfy.samplers

        samplers = tuple(comfy.samplers.KSampler.SAMPLERS)
        return HostDescription(kind="comfy", checkpoint=self.name, checkpoint_hash=self.digest, samplers=samplers)

    def check(self, request: GenerationRequest) -> None:
        """Refuses samplers and schedules that ComfyUI does not have, other checkpoints, and LoRAs, which are nodes."""
        import comfy.samplers

        refuse_unknown("sampler", request.sampler, comfy.samplers.KSampler.SAMPLERS)
        self._scheduler(request)
        if request.checkpoint not in (None, self.name):
            raise RequestRefused(f"the graph's model is {self.name}, not {request.checkpoint}", to_try="connect it")
        if request.loras:
            raise RequestRefused("a graph's LoRAs are nodes", to_try="put a LoRA loader before this node")

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationResult]:
        """Pictures in the order of the requests."""
        for request in requests:
            self.check(request)
            began = time.monotonic()
            image = pictures_of([self._draw(request)], "the drawn picture")[0]
            yield GenerationResult(image, request, self._used(request, image), time.monotonic() - began)

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` by the first text encoder's own tokenizer, without start, end and padding."""
        chunks = next(iter(self.clip.tokenize(text, return_word_ids=True).values()))
        return sum(word != 0 for chunk in chunks for *_, word in chunk)

    def _draw(self, request: GenerationRequest) -> torch.Tensor:
        """One picture, float [1, H, W, C] of 0 … 1."""
        import comfy.model_management
        import comfy.sample
        import torch

        sides = (request.height // LATENT_STEP, request.width // LATENT_STEP)
        empty = torch.zeros((1, 4, *sides), device=comfy.model_management.intermediate_device())
        empty = comfy.sample.fix_empty_latent_channels(self.model, empty)
        noise = torch.randn(empty.shape, generator=torch.Generator("cpu").manual_seed(request.seed))
        latents = comfy.sample.sample(
            self.model,
            noise,
            request.steps,
            request.cfg_scale,
            request.sampler,
            self._scheduler(request),
            self._condition(request.prompt),
            self._condition(request.negative_prompt),
            empty,
            callback=lambda *step: self.check_cancelled(),
            disable_pbar=True,
            seed=request.seed,
        )
        return self.vae.decode(latents)

    def _scheduler(self, request: GenerationRequest) -> str:
        """ComfyUI's name of the request's noise schedule, which may be by A1111's."""
        import comfy.samplers

        if request.scheduler == AUTOMATIC:
            return self.scheduler
        return scheduler_for(request.scheduler, request.sampler, comfy.samplers.KSampler.SCHEDULERS)

    def _condition(self, text: str) -> Any:
        if text not in self._conditions:
            self._conditions[text] = self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))
        return self._conditions[text]

    def _used(self, request: GenerationRequest, image: Any) -> UsedSettings:
        import comfyui_version
        import torch

        return UsedSettings.as_asked(
            request,
            image,
            checkpoint=self.name,
            checkpoint_hash=self.digest,
            backend=f"ComfyUI {comfyui_version.__version__}, torch {torch.__version__}, {self.model.load_device}",
        )
