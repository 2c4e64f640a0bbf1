"""A1111's body → the pictures to draw: one GenerationRequest each, seeds counting up."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..hosts.request import GenerationRequest, LoraRef
from ..hosts.samplers import SAMPLERS, SCHEDULES, refuse_unknown
from .errors import NOT_HONOURED, Refusal
from .supported_fields import refuse_other_eta, refuse_what_is_not_honoured

if TYPE_CHECKING:
    from .fields import _Processing
    from .lora_folder import LoraFolder

MOST_PICTURES = 128  # of one job
SEEDS = 2**32


@dataclass(frozen=True)
class DrawingOrder:
    """What a client asked for, understood: `requests` in the order of the pictures, the prompt as it was written."""

    requests: tuple[GenerationRequest, ...]
    prompt: str
    negative_prompt: str
    clip_skip: int


def read_order(body: _Processing, loras: LoraFolder, checkpoints: set[str]) -> DrawingOrder:
    """The job; a Refusal, RequestRefused or ValidationError says what can't be done."""
    refuse_what_is_not_honoured(body)
    sampler, scheduler = sampler_and_scheduler(body.sampler_name or body.sampler_index or "Euler", body.scheduler)
    refuse_other_eta(sampler, body.eta)
    settings = body.override_settings or {}
    checkpoint = settings.get("sd_model_checkpoint")
    if checkpoint not in (None, ""):
        refuse_unknown("checkpoint", str(checkpoint), sorted(checkpoints))
    count = body.n_iter * body.batch_size
    if not 1 <= count <= MOST_PICTURES:
        raise Refusal(NOT_HONOURED, f"n_iter × batch_size is {count}; it can be 1 … {MOST_PICTURES}")
    clip_skip = settings.get("CLIP_stop_at_last_layers", 1)
    prompt, used_loras = _split_loras(body.prompt, loras, body.disable_extra_networks)
    first = body.seed if body.seed >= 0 else random.SystemRandom().randrange(SEEDS)
    drawing: dict[str, Any] = dict(
        prompt=prompt,
        negative_prompt=body.negative_prompt,
        steps=body.steps,
        cfg_scale=body.cfg_scale,
        width=body.width,
        height=body.height,
        sampler=sampler,
        scheduler=scheduler,
        clip_skip=clip_skip,
        loras=used_loras,
    )
    requests = tuple(GenerationRequest(seed=(first + index) % SEEDS, **drawing) for index in range(count))
    return DrawingOrder(requests, body.prompt, body.negative_prompt, clip_skip)


def _split_loras(prompt: str, loras: LoraFolder, disabled: bool) -> tuple[str, tuple[LoraRef, ...]]:
    return (prompt, ()) if disabled else loras.take_from(prompt)


def sampler_and_scheduler(sampler: str, scheduler: str | None) -> tuple[str, str]:
    """A1111's names as it reads them: `DPM++ 2M Karras` is a sampler and a schedule, `karras` is `Karras`."""
    labels = {name_of(label): label for label in SCHEDULES} | {label: label for label in SCHEDULES}
    for name, label in labels.items():
        if sampler not in SAMPLERS and sampler.endswith(f" {name}"):
            return sampler_and_scheduler(sampler.removesuffix(f" {name}"), label)
    refuse_unknown("sampler", sampler, SAMPLERS)
    refuse_unknown("scheduler", scheduler or "Automatic", labels)
    return sampler, labels[scheduler or "Automatic"]


def name_of(label: str) -> str:
    """`SGM Uniform` → `sgm_uniform`: the schedule's name beside its label."""
    return label.lower().replace(" ", "_")
