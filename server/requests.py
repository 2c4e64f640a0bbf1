"""A1111's body → the pictures to draw: one GenerationRequest each, seeds counting up."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..hosts.request import GenerationRequest, LoraRef
from ..hosts.samplers import SAMPLERS, SCHEDULES, refuse_unknown
from .errors import NOT_HONOURED, Refusal
from .supported_fields import check_fields

if TYPE_CHECKING:
    from .fields import _Processing
    from .lora_folder import LoraFolder

MOST_PICTURES = 128  # of one job
SEEDS = 2**32
GRID = 8  # pixels of a latent: A1111 draws sides that are no multiple of it a little smaller
KARRAS_ALIAS = "_ka"  # behind an alias: the same sampler with the schedule Karras


@dataclass(frozen=True)
class DrawingOrder:
    """What a client asked for, understood: `requests` in the order of the pictures, the prompt as it was written.

    `warnings` name what was ignored or changed, a sentence each.
    """

    requests: tuple[GenerationRequest, ...]
    prompt: str
    negative_prompt: str
    clip_skip: int
    warnings: tuple[str, ...] = ()


def read_order(body: _Processing, loras: LoraFolder, checkpoints: set[str], strict: bool = False) -> DrawingOrder:
    """The job; a Refusal, RequestRefused or ValidationError says what can't be done."""
    _refuse_impossible_numbers(body)
    sampler, scheduler = sampler_and_scheduler(body.sampler_name or body.sampler_index or "Euler", body.scheduler)
    warnings = check_fields(body, sampler, strict)
    width, height = body.width // GRID * GRID, body.height // GRID * GRID
    if (width, height) != (body.width, body.height):
        warnings.append(f"size: {body.width}×{body.height} is drawn as {width}×{height}, as A1111 does")
        if strict:
            raise Refusal(NOT_HONOURED, f"width and height are multiples of {GRID} (the server was started --strict)")
    settings = body.override_settings or {}
    checkpoint = settings.get("sd_model_checkpoint")
    if checkpoint not in (None, ""):
        refuse_unknown("checkpoint", str(checkpoint), sorted(checkpoints))
    clip_skip = settings.get("CLIP_stop_at_last_layers", 1)
    prompt, used_loras = _split_loras(body.prompt, loras, body.disable_extra_networks)
    first = body.seed if body.seed >= 0 else random.SystemRandom().randrange(SEEDS)
    drawing: dict[str, Any] = dict(
        prompt=prompt,
        negative_prompt=body.negative_prompt,
        steps=body.steps,
        cfg_scale=body.cfg_scale,
        width=width,
        height=height,
        sampler=sampler,
        scheduler=scheduler,
        clip_skip=clip_skip,
        loras=used_loras,
    )
    count = body.n_iter * body.batch_size
    requests = tuple(GenerationRequest(seed=(first + index) % SEEDS, **drawing) for index in range(count))
    return DrawingOrder(requests, body.prompt, body.negative_prompt, clip_skip, tuple(warnings))


def _refuse_impossible_numbers(body: _Processing) -> None:
    for name in ("n_iter", "batch_size"):
        if (value := getattr(body, name)) < 1:
            raise Refusal(NOT_HONOURED, f"{name} is {value}; it must be at least 1")
    if (count := body.n_iter * body.batch_size) > MOST_PICTURES:
        raise Refusal(NOT_HONOURED, f"n_iter × batch_size is {count}; it can be 1 … {MOST_PICTURES}")
    if not -1 <= body.seed < SEEDS:
        raise Refusal(NOT_HONOURED, f"seed is {body.seed}; it can be 0 … {SEEDS - 1}, or -1 for any")


def _split_loras(prompt: str, loras: LoraFolder, disabled: bool) -> tuple[str, tuple[LoraRef, ...]]:
    return (prompt, ()) if disabled else loras.take_from(prompt)


def sampler_and_scheduler(sampler: str, scheduler: str | None) -> tuple[str, str]:
    """A1111's names as it reads them.

    `DPM++ 2M Karras` is a sampler and a schedule, `k_dpmpp_2m` is `DPM++ 2M`, `k_dpmpp_2m_ka` is that with Karras, and
    the schedule `karras` is `Karras`.
    """
    labels = {name_of(label): label for label in SCHEDULES} | {label: label for label in SCHEDULES}
    aliases = {alias: name for name, known in SAMPLERS.items() for alias in known.aliases}
    if sampler.endswith(KARRAS_ALIAS) and sampler.removesuffix(KARRAS_ALIAS) in aliases:
        return aliases[sampler.removesuffix(KARRAS_ALIAS)], "Karras"
    sampler = aliases.get(sampler, sampler)
    for name, label in labels.items():
        if sampler not in SAMPLERS and sampler.endswith(f" {name}"):
            return sampler_and_scheduler(sampler.removesuffix(f" {name}"), label)
    refuse_unknown("sampler", sampler, SAMPLERS)
    refuse_unknown("scheduler", scheduler or "Automatic", labels)
    return sampler, labels[scheduler or "Automatic"]


def name_of(label: str) -> str:
    """`SGM Uniform` → `sgm_uniform`: the schedule's name beside its label."""
    return label.lower().replace(" ", "_")
