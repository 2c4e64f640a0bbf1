"""A diffusers pipeline in this process as a host."""

from __future__ import annotations

import copy
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints.families.configs import family_of_unet
from ..checkpoints.single_file import open_pipeline, recognised
from ..core.device import GIB, choose_device, choose_dtype, free_bytes, is_out_of_memory
from ..core.errors import InputError, MissingWeights
from ..core.files import sha256_of
from ..core.torchvision_ops import patch_torchvision_ops
from ..core.weights import how_to_get, hub_cache, locate
from .batch_threads import BatchThreads
from .drawing_plan import MOST_AT_ONCE, DrawingPlan, dtype_name, no_less, plan_drawing
from .errors import RequestRefused
from .local_lora import load_adapter
from .prompt_cache import PromptCache
from .request import GenerationRequest, GenerationResult, HostDescription, UsedSettings
from .samplers import SAMPLERS, SCHEDULES, make_scheduler, refuse_unfit, refuse_unknown
from .text_embeds import count_tokens

if TYPE_CHECKING:
    from PIL import Image

    from .request import Dialect

log = logging.getLogger("modiste")

BATCH_PIXELS_CPU = 4 * 64 * 64  # twice as fast as one by one; more draws hardly faster on a CPU
SMALL_PIXELS = BATCH_PIXELS_CPU // 2  # of a picture: up to here batches are drawn side by side (batch_threads.py)
HASH_DIGITS = 10  # as A1111 shows
MIN_STEPS = 1  # of an img2img drawing

IMPORTING = threading.Lock()  # two threads that import diffusers for the first time at once would see half of it

StepCallback = Callable[[int, int, int], None]  # steps done, of how many, pictures in the batch


@dataclass(frozen=True)
class InitImage:
    """The picture that a drawing begins with (RGB, the request's size), and how much of it is drawn anew, 0 … 1.

    `mask` (L, the same size): only where it is white.
    """

    image: Image.Image
    strength: float
    mask: Image.Image | None = None


class LocalHost:
    """Draws with `diffusers`; opens the pipeline when the first picture is asked for.

    The same request gives the same picture to the bit whatever stands beside it: noise comes from each picture's own
    generator on the CPU, and batches always have the same size (on a GPU: as far as its kernels keep that). A CPU draws
    batches of small pictures side by side, unless `on_step` is to be told of each step.
    """

    dialect: Dialect = "diffusers"

    def __init__(
        self,
        checkpoint: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        batch_size: int | None = None,
        prediction: str | None = None,
        dtype: str = "auto",
        low_memory: bool = False,
    ):
        """`prediction` (epsilon | v_prediction) stands in place of what the model's files say.

        `low_memory` draws with as little of it as there is a way to (drawing_plan.py), however much is free.
        """
        self.checkpoint, self.device = checkpoint, choose_device(device)
        folder = locate(checkpoint, revision)
        if folder is None:
            raise MissingWeights(
                f"the checkpoint {checkpoint} is not on this machine",
                where=f"looked in {hub_cache()}",
                to_try=f"{how_to_get(checkpoint)}, or --preset mini, which needs no download",
            )
        if folder.is_dir() and not (folder / "model_index.json").is_file():
            raise InputError(
                "a local checkpoint is a .safetensors file, or a diffusers folder with a model_index.json",
                where=str(folder),
            )
        if folder.is_file():
            recognised(folder)  # refuses what is no checkpoint before anything is prepared
        self.folder, self.batch_size, self.prediction = folder, batch_size, prediction
        self.dtype, self.low_memory = dtype_name(self.device, dtype, low_memory), low_memory
        self._free_gib: float | None = None  # of a card, before the model was opened
        self._applied: DrawingPlan | None = None  # to the opened pipeline
        self._most: DrawingPlan | None = None  # what the device can do, once it has run out of memory
        self.on_step: StepCallback | None = None  # what it raises ends the drawing
        self._pipeline: Any = None
        self._prompts, self._threads = PromptCache(lambda: self.pipeline), BatchThreads()
        self._begun: dict[str, Any] = {}  # pipelines that begin with a picture
        self._scheduler_config: Any = None
        self._adapters: dict[Path, str] = {}

    # ── what it is ──────────────────────────────────────────────────────────────────────────────────────────────────

    def describe(self) -> HostDescription:
        """The checkpoint with its digest, and the samplers."""
        return HostDescription(
            kind="local", checkpoint=self._name(), checkpoint_hash=self.checkpoint_hash, samplers=tuple(SAMPLERS)
        )

    def _name(self) -> str:
        name = self.checkpoint if self.folder.parent.name == "snapshots" else self.folder.name
        return name if self.prediction is None else f"{name} [{self.prediction}]"

    @cached_property
    def checkpoint_hash(self) -> str:
        """Digest of the UNet's weights, or the hub's commit: what tells two models of one name apart."""
        if self.folder.parent.name == "snapshots":
            return self.folder.name[:HASH_DIGITS]
        files = [self.folder] if self.folder.is_file() else sorted((self.folder / "unet").glob("*.safetensors"))
        return sha256_of(files)[:HASH_DIGITS]

    def check(self, request: GenerationRequest) -> None:
        """Refuses unknown samplers, schedules, checkpoints and LoRAs; nothing is loaded for it."""
        refuse_unknown("sampler", request.sampler, SAMPLERS)
        refuse_unknown("scheduler", request.scheduler, SCHEDULES)
        with IMPORTING:
            patch_torchvision_ops()
            refuse_unfit(request.sampler, request.scheduler)
        if request.checkpoint not in (None, self.checkpoint, self._name()):
            raise RequestRefused(
                f"this host has {self._name()} open, not {request.checkpoint}", to_try="open another host for it"
            )
        for lora in request.loras:
            if lora.path is None or not lora.path.is_file():
                raise RequestRefused(
                    f"the LoRA {lora.name!r} has no file here", where=str(lora.path or ""), to_try="give its path"
                )
            if lora.path.suffix != ".safetensors":
                raise RequestRefused("a LoRA is a .safetensors file", where=str(lora.path), to_try="convert it")

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` by the model's own tokenizer, without start and end."""
        return count_tokens(self.pipeline.tokenizer, text)

    @property
    def pipeline(self) -> Any:
        """The opened `StableDiffusionPipeline` or `StableDiffusionXLPipeline`."""
        if self._pipeline is None:
            with IMPORTING:
                self._pipeline = self._open()
        return self._pipeline

    def unload(self) -> None:
        """Frees the pipeline's memory; the next picture opens it again."""
        import gc

        import torch

        self._pipeline = self._applied = None
        self._begun.clear()
        self._adapters.clear()
        self._prompts.clear()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _open(self) -> Any:
        patch_torchvision_ops()
        self._free_gib = self._measure_free_gib()
        pipeline = open_pipeline(self.folder, choose_dtype(self.device, self.dtype), self.prediction)
        pipeline.set_progress_bar_config(disable=True)
        self._scheduler_config = pipeline.scheduler.config  # the model's own; each batch gets a scheduler of its own
        return pipeline

    # ── memory ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _measure_free_gib(self) -> float | None:
        """What is free of a card, beside whatever else uses it; None where memory is not a card's own."""
        return free_bytes(self.device) / GIB if self.device.startswith("cuda") else None

    def plan(self, width: int, height: int) -> DrawingPlan:
        """How pictures of this size are drawn; opens the model, before which the free memory is measured."""
        pipeline, pixels = self.pipeline, width * height
        batch = max(1, min(MOST_AT_ONCE, BATCH_PIXELS_CPU // pixels))
        plan = DrawingPlan(self.dtype, batch)
        if self._free_gib is not None:
            family = family_of_unet(pipeline.unet.config)
            plan = plan_drawing(family, pixels, self._free_gib, self.dtype, self.low_memory)
        elif self.low_memory:
            plan = DrawingPlan(self.dtype, 1, vae_slicing=True, vae_tiling=True, attention_slicing=True)
        if self.batch_size is not None:
            plan = replace(plan, batch=self.batch_size)
        return plan if self._most is None else plan.within(self._most)

    def _apply(self, plan: DrawingPlan) -> None:
        """Brings the opened pipeline to where a plan wants its parts."""
        applied, pipeline = self._applied, self.pipeline
        if applied is not None and replace(applied, batch=plan.batch) == plan:
            return
        pipeline.vae.enable_slicing() if plan.vae_slicing else pipeline.vae.disable_slicing()
        pipeline.vae.enable_tiling() if plan.vae_tiling else pipeline.vae.disable_tiling()
        if plan.attention_slicing:
            pipeline.enable_attention_slicing()
        if plan.offload != (applied.offload if applied else "none") or applied is None:
            self._begun.clear()  # made anew, with their parts where they are now
            if plan.offload == "model":
                pipeline.enable_model_cpu_offload(device=self.device)
            elif plan.offload == "sequential":
                pipeline.enable_sequential_cpu_offload(device=self.device)
            else:
                pipeline.to(self.device)
        self._applied = plan

    # ── drawing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationResult]:
        """Pictures in the order of the requests; neighbours that differ in prompt and seed alone share a batch."""
        yield from self._generate(requests, None)

    def redraw(
        self,
        image: Image.Image,
        strength: float,
        requests: Sequence[GenerationRequest],
        mask: Image.Image | None = None,
    ) -> Iterator[GenerationResult]:
        """`generate`, but each picture begins with `image` (RGB, stretched to the request's size) instead of noise.

        `strength` 0 … 1: the share of the steps that is drawn, as A1111's denoising strength. `mask` (L, stretched
        likewise): what is drawn anew is white; the rest goes through the VAE alone.
        """
        for request in requests:
            if int(request.steps * strength) < MIN_STEPS:
                raise RequestRefused(
                    f"at strength {strength:g} none of {request.steps} steps is left to draw",
                    to_try="more steps, or a greater strength",
                )
            size = request.width, request.height
            start = InitImage(image.resize(size), strength, mask.resize(size) if mask else None)
            yield from self._generate([request], start)

    def _generate(self, requests: Sequence[GenerationRequest], start: InitImage | None) -> Iterator[GenerationResult]:
        for request in requests:
            self.check(request)
        for _, alike in itertools.groupby(requests, self._batch_key):
            group = list(alike)
            while group:
                plan = self.plan(group[0].width, group[0].height)
                results = self._draw(group, plan, start)
                yield from results
                group = group[len(results) :]  # all of them again where memory ended: by a smaller plan

    def _batch_key(self, request: GenerationRequest) -> tuple[Any, ...]:
        fields = request.model_dump(exclude={"prompt", "negative_prompt", "seed"})
        return (*map(str, fields.items()), self._prompts.chunks(request.prompt, request.negative_prompt))

    def _draw(
        self, group: list[GenerationRequest], plan: DrawingPlan, start: InitImage | None
    ) -> list[GenerationResult]:
        """The results of the next batches; none where memory ended: the next plan takes less."""
        began, drawn = time.monotonic(), list[list[Any]]()
        small = self.device == "cpu" and group[0].width * group[0].height <= SMALL_PIXELS
        at_once = self._threads.count if small and self.on_step is None else 1
        asked = group[: at_once * plan.batch]
        batches = [asked[first : first + plan.batch] for first in range(0, len(asked), plan.batch)]
        try:
            self._apply(plan)
            calls = [self._prepare(self._filled(batch, plan), start) for batch in batches]
            drawn = self._threads.run(calls) if small else [call() for call in calls]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        if not drawn:  # outside `except`, whose traceback holds the batch's tensors
            self._most = self._after_running_out(replace(plan, batch=min(plan.batch, len(asked))), asked[0])
            return []
        images = [image for batch, pictures in zip(batches, drawn, strict=True) for image in pictures[: len(batch)]]
        elapsed_s = (time.monotonic() - began) / len(asked)
        return [
            GenerationResult(image, request, self._used(request, image), elapsed_s)
            for image, request in zip(images, asked, strict=True)
        ]

    def _filled(self, batch: list[GenerationRequest], plan: DrawingPlan) -> list[GenerationRequest]:
        """A CPU's batch filled up: one of another size may run other kernels, which round differently."""
        return [*batch, *[batch[-1]] * (plan.batch - len(batch) if self.device == "cpu" else 0)]

    def _after_running_out(self, plan: DrawingPlan, request: GenerationRequest) -> DrawingPlan:
        """The next plan, said in the log; OutOfMemory, with what is left to do, where there is none."""
        import gc

        import torch

        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        size, smaller = f"{request.width}×{request.height}", plan.less()
        if smaller is not None and smaller.offload != "none" and self.device == "cpu":
            smaller = None  # there is no other place to move anything to
        if smaller is None:
            raise no_less(plan, size, self.device, self.dtype)
        log.warning("out of memory at %s with %s; going on with %s", size, plan.text, smaller.text)
        return smaller

    def _prepare(self, requests: list[GenerationRequest], start: InitImage | None) -> Callable[[], list[Any]]:
        """What draws a batch; several may run at once, each with a scheduler of its own over the same models."""
        import torch

        first, pipeline = requests[0], self.pipeline if start is None else self._begin_with(start)
        if self.device == "cpu":
            pipeline = copy.copy(pipeline)
        pipeline.scheduler = make_scheduler(self._scheduler_config, first.sampler, first.scheduler)
        self._set_loras(first)
        prompts, negatives = [r.prompt for r in requests], [r.negative_prompt for r in requests]
        chunks = self._prompts.chunks(*prompts, *negatives)
        positive = self._prompts.embed(prompts, chunks, first.clip_skip, first.loras)
        negative = self._prompts.embed(negatives, chunks, first.clip_skip, first.loras)
        pooled = {}
        if positive.pooled is not None:
            pooled = {"pooled_prompt_embeds": positive.pooled, "negative_pooled_prompt_embeds": negative.pooled}
        start_arguments: dict[str, Any] = {"width": first.width, "height": first.height}
        if start is not None:
            masked = {} if start.mask is None else {"mask_image": [start.mask] * len(requests)} | start_arguments
            start_arguments = {"image": [start.image] * len(requests), "strength": start.strength, **masked}
        step_callback = {} if self.on_step is None else {"callback_on_step_end": self._report_step(len(requests))}

        @torch.inference_mode()
        def draw() -> Any:
            return pipeline(
                prompt_embeds=positive.tokens,
                negative_prompt_embeds=negative.tokens,
                **pooled,
                num_inference_steps=first.steps,
                guidance_scale=first.cfg_scale,
                **start_arguments,
                **step_callback,
                generator=[torch.Generator("cpu").manual_seed(request.seed) for request in requests],
                output_type="pil",
            ).images

        return draw

    def _begin_with(self, start: InitImage) -> Any:
        """The img2img or the inpainting pipeline over the same models."""
        import diffusers

        name = "AutoPipelineForImage2Image" if start.mask is None else "AutoPipelineForInpainting"
        if name not in self._begun:
            self._begun[name] = getattr(diffusers, name).from_pipe(self.pipeline)
            self._begun[name].set_progress_bar_config(disable=True)
        return self._begun[name]

    def _report_step(self, pictures: int) -> Callable[..., dict[str, Any]]:
        def tell(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if self.on_step is not None:
                self.on_step(step + 1, pipeline.num_timesteps, pictures)
            return tensors

        return tell

    def _set_loras(self, request: GenerationRequest) -> None:
        """Enables the request's LoRAs and disables all others."""
        for lora in request.loras:
            assert lora.path is not None  # `check` has refused it
            path = lora.path.resolve()
            if path not in self._adapters:
                name = f"lora{len(self._adapters)}"
                load_adapter(self.pipeline, path, name, self._name())
                self._adapters[path] = name
        if request.loras:
            names = [self._adapters[lora.path.resolve()] for lora in request.loras if lora.path]
            self.pipeline.enable_lora()
            self.pipeline.set_adapters(names, [lora.strength for lora in request.loras])
        elif self._adapters:
            self.pipeline.disable_lora()

    def _used(self, request: GenerationRequest, image: Any) -> UsedSettings:
        import diffusers
        import torch

        dtype = str(self.pipeline.unet.dtype).removeprefix("torch.")
        if self._applied is not None and self._applied.saves:
            dtype = self._applied.text.replace(self._applied.dtype, dtype)
        return UsedSettings.as_asked(
            request,
            image,
            checkpoint=self._name(),
            checkpoint_hash=self.checkpoint_hash,
            backend=f"diffusers {diffusers.__version__}, torch {torch.__version__}, {self.device}, {dtype}",
        )
