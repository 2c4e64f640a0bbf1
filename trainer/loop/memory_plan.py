"""What the machine allows: number format, how many pictures at once, whether activations are kept.

Decided before the model is opened from what is known, and after one real step from what was measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from ...core.device import GIB, choose_device, memory_bytes
from ...core.errors import InputError

if TYPE_CHECKING:
    import torch

    from ..config import TrainConfig

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
BATCH = 4  # pictures an update; a collection of 20–200 photos gains nothing from more
SMALL = 50_000_000  # weights of a UNet; a smaller one is faster in float32 than its casts are
SPARE = 0.85  # of a card's memory
PEAK_SIDE, PEAK_SECONDS = 1024, 0.3


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
    if device == "cpu" and unet_weights >= SMALL and _native_bf16():
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


def _native_bf16() -> bool:
    import torch

    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def measured_plan(plan: Plan, config: TrainConfig, step: Callable[[], Any]) -> Plan:
    """After `step`, one picture forward and backward, has run: pictures at once and checkpointing by memory."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    try:
        with FlopCounterMode(display=False) as counter:
            step()
    except torch.OutOfMemoryError:
        if config.checkpointing is not None:
            raise
        torch.cuda.empty_cache()
        reason = "one picture does not fit without recomputing activations"
        smaller = {"checkpointing": True, "micro_batch": config.micro_batch or 1}
        return plan.model_copy(update={**smaller, "reasons": (*plan.reasons, reason)})
    on_card = plan.device.startswith("cuda")
    if on_card:
        torch.cuda.reset_peak_memory_stats(plan.device)
        before = torch.cuda.memory_allocated(plan.device)
    began = time.perf_counter()
    step()
    if on_card:
        torch.cuda.synchronize(plan.device)
    step_s, flop = time.perf_counter() - began, float(counter.get_total_flops())
    measured: dict[str, Any] = {
        "step_s": round(step_s, 4),
        "step_flop": flop,
        "peak_share": round(flop / step_s / _peak(plan), 4),
    }
    reasons = list(plan.reasons)
    if on_card:
        peak, total = torch.cuda.max_memory_allocated(plan.device), memory_bytes(plan.device) or 0
        measured["memory_gib"] = round(peak / GIB, 2)
        each, room = max(1, peak - before), SPARE * total - before
        if config.micro_batch is None:
            measured["micro_batch"] = max(1, min(plan.batch_size, int(room / each)))
            reasons.append(f"{each / GIB:.2f} GiB a picture, {room / GIB:.1f} GiB free")
        if config.checkpointing is None and each > room:
            measured["checkpointing"] = True
            reasons.append("one picture does not fit without recomputing activations")
    return plan.model_copy(update={**measured, "reasons": tuple(reasons)})


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
