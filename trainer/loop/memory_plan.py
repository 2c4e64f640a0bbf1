"""What the machine allows: number format, how many pictures at once, whether activations are kept.

Decided before the model is opened from what is known, and after one real step from what was measured.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from ...core.device import GIB, choose_device, free_bytes, has_native_bf16
from ...core.errors import InputError, Stopped

if TYPE_CHECKING:
    import torch

    from ..config import TrainConfig

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
BATCH = 4  # pictures an update; a collection of 20–200 photos gains nothing from more
SMALL = 50_000_000  # weights of a UNet; a smaller one is faster in float32 than its casts are
SPARE = 0.85  # of the memory that is free before a step
# Bytes a trained weight of the optimizer's state; Adafactor's is factored, Prodigy keeps two more copies.
STATE_BYTES = {"adamw": 8, "adamw8bit": 2, "adafactor": 1, "prodigy": 16}
STATE_BYTES |= {"lion": 4, "schedulefree": 8, "came": 5}
PEAK_SIDE, PEAK_SECONDS = 1024, 0.3
# GiB of a LoRA's step of one picture at the model's own size, rank 16: as it is, and with activations recomputed.
# Counted in the published models' shapes by `python -m modiste.bench.train_memory`.
LORA_STEP_GIB: Mapping[str, tuple[float, float]] = {"sd1": (2.71, 1.97), "sdxl": (12.60, 6.09)}
DRIVER_GIB = 0.5  # what a card holds before anything of ours is on it
CARDS_GB = (2, 4, 6, 8, 10, 12, 16, 24, 32, 48, 80)  # as they are sold


class Plan(BaseModel):
    """Every choice, and what it rests on; written into train.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str
    precision: Literal["fp32", "bf16", "fp16"]
    batch_size: int
    micro_batch: int
    checkpointing: bool
    compile: bool
    step_s: float | None = None  # seconds of one picture, forward and backward
    step_flop: float | None = None
    peak_share: float | None = None  # of what a plain matrix product reaches in that format on this machine
    memory_gib: float | None = None  # of the device, while that step ran
    reasons: tuple[str, ...] = ()

    @property
    def dtype(self) -> torch.dtype:
        """Of the frozen weights and of matrix products."""
        import torch

        dtype: torch.dtype = getattr(torch, DTYPES[self.precision])
        return dtype


def smallest_card(gib: float) -> int:
    """GB of the smallest card, as they are sold, that holds so much beside its driver."""
    needed = (gib + DRIVER_GIB) * GIB / 1e9
    return next((card for card in CARDS_GB if card >= needed), math.ceil(needed))


def first_plan(config: TrainConfig, unet_weights: int, photos: int) -> Plan:
    """Before anything is opened. InputError for a format that the device lacks."""
    device = choose_device(config.device)
    precision, reason = _precision(config, device, unet_weights)
    batch_size = config.batch_size or min(BATCH, max(1, photos))
    return Plan(
        device=device,
        precision=precision,
        batch_size=batch_size,
        micro_batch=min(config.micro_batch or batch_size, batch_size),
        checkpointing=bool(config.checkpointing),
        compile=config.compile,
        reasons=(reason,),
    )


def _precision(config: TrainConfig, device: str, unet_weights: int) -> tuple[Literal["fp32", "bf16", "fp16"], str]:
    import torch

    if config.precision != "auto":
        if config.precision == "fp16" and device == "cpu":
            raise InputError("a CPU does not train in fp16", to_try='precision "bf16" or "fp32"')
        return config.precision, f"{config.precision} was asked for"
    if device.startswith("cuda"):
        # torch says yes to bf16 also where the card only emulates it, many times slower.
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16", "the GPU has bf16") if native else ("fp16", "the GPU has no bf16")
    if device == "cpu" and unet_weights >= SMALL and has_native_bf16():
        return "bf16", "the CPU multiplies bf16 natively: half the memory, and twice as fast"
    return "fp32", "a small model, or a device whose bf16 is slow"


def kept_plan(first: Plan, measured: Plan, config: TrainConfig) -> Plan:
    """`first` with what an earlier start of the same run has measured; what is asked for now goes before it."""
    return first.model_copy(
        update={
            **measured.model_dump(include={"step_s", "step_flop", "peak_share", "memory_gib", "reasons"}),
            "micro_batch": min(config.micro_batch or measured.micro_batch, first.batch_size),
            "checkpointing": measured.checkpointing if config.checkpointing is None else config.checkpointing,
        }
    )


@dataclass(frozen=True)
class MemoryFigures:
    """A device's memory around one picture's forward and backward, in bytes."""

    model: int  # held before: weights, adapters
    peak: int  # held at most while it ran, gradients among it
    free: int  # what this process could still have before it, whoever uses the rest of the device
    states: int = 0  # what comes later: the optimizer's and the moving average's

    @property
    def picture(self) -> int:
        """What one picture takes."""
        return max(1, self.peak - self.model)

    @property
    def room(self) -> int:
        """What is left for pictures."""
        return int(SPARE * self.free) - self.states


def state_bytes(config: TrainConfig, weights: int) -> int:
    """What optimizer and moving average will hold for so many trained weights."""
    return weights * (STATE_BYTES[config.optimizer] + (4 if config.ema else 0))


def measured_plan(
    plan: Plan, config: TrainConfig, step: Callable[[], Any], recompute: Callable[[], Any], weights: int = 0
) -> Plan:
    """The plan after `step`, one picture forward and backward, has run: pictures at once and checkpointing by memory.

    `recompute` switches the recomputation of activations on: before the step where that is asked for, and after one
    that did not fit. `weights` are trained. torch's OutOfMemoryError where one picture does not fit either way.
    """
    import torch

    if plan.checkpointing:
        recompute()
    try:
        measured, figures = _measured_step(plan, step, state_bytes(config, weights))
    except torch.OutOfMemoryError:
        if plan.checkpointing or config.checkpointing is False:
            raise
        figures = None
    if config.checkpointing is None and not plan.checkpointing and (figures is None or not _fits(figures)):
        torch.cuda.empty_cache()
        recompute()
        reason = "one picture does not fit without recomputing activations"
        plan = plan.model_copy(update={"checkpointing": True, "reasons": (*plan.reasons, reason)})
        measured, figures = _measured_step(plan, step, state_bytes(config, weights))
    plan = plan.model_copy(update=measured)
    return fitted(plan, config, figures) if figures else plan


def _fits(figures: MemoryFigures) -> bool:
    return figures.picture <= figures.room


def fitted(plan: Plan, config: TrainConfig, figures: MemoryFigures) -> Plan:
    """The plan with as many pictures at once as there is room for; one where there is none."""
    reason = f"{figures.picture / GIB:.2f} GiB a picture, {figures.room / GIB:.1f} GiB free for pictures"
    if not _fits(figures):
        reason += ": it may not fit"
    changes: dict[str, Any] = {"memory_gib": round(figures.peak / GIB, 2), "reasons": (*plan.reasons, reason)}
    if config.micro_batch is None:
        changes["micro_batch"] = max(1, min(plan.batch_size, figures.room // figures.picture))
    return plan.model_copy(update=changes)


def _measured_step(plan: Plan, step: Callable[[], Any], states: int) -> tuple[dict[str, Any], MemoryFigures | None]:
    """What of a plan one step shows, and the memory that it took of a card."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    on_card = plan.device.startswith("cuda")
    model = free = 0
    if on_card:
        torch.cuda.reset_peak_memory_stats(plan.device)
        model, free = torch.cuda.memory_allocated(plan.device), free_bytes(plan.device)
    began = time.perf_counter()
    step()
    if on_card:
        torch.cuda.synchronize(plan.device)
    step_s, flop = time.perf_counter() - began, float(counter.get_total_flops())
    peak_share = round(flop / step_s / _peak(plan), 4)
    measured = {"step_s": round(step_s, 4), "step_flop": flop, "peak_share": peak_share}
    if not on_card:
        return measured, None
    return measured, MemoryFigures(model, torch.cuda.max_memory_allocated(plan.device), free, states)


def too_little_memory(config: TrainConfig, plan: Plan | None) -> Stopped:
    """What to say where the device ran out of memory; only what is not done already is recommended."""
    recomputes = plan.checkpointing if plan else bool(config.checkpointing)
    at_once = plan.micro_batch if plan else config.micro_batch or 1
    advice = [f"micro_batch {at_once // 2}, the batch_size may stay"] if at_once > 1 else []
    advice += [] if recomputes else ["checkpointing true"]
    advice += ["a smaller resolution", "closing what else uses the device"]
    advice += ["method lora"] if config.method == "full" else []
    done = ", with activations recomputed" if recomputes else ""
    pictures = "one picture at once" if at_once == 1 else f"{at_once} pictures at once"
    return Stopped(
        f"the device has too little memory for {pictures} of {config.data.resolution} px{done}",
        where=plan.device if plan else config.device,
        to_try="; or ".join(advice),
    )


def _peak(plan: Plan) -> float:
    """FLOP/s of a square matrix product in the plan's format: what this machine can do, measured here."""
    import torch

    side = torch.randn(PEAK_SIDE, PEAK_SIDE, device=plan.device, dtype=plan.dtype)
    side @ side
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < PEAK_SECONDS:
        side @ side
        if plan.device.startswith("cuda"):
            torch.cuda.synchronize(plan.device)
        count += 1
    return count * 2 * PEAK_SIDE**3 / (time.perf_counter() - began)
