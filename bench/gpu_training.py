"""The training parts of `python -m modiste.bench.gpu`: a step's pace and memory, and a resume compared to the bit."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.presets import PRESETS
from .gpu_meter import MODELS, PartMeter
from .train import WARM_UP, make_photos

if TYPE_CHECKING:
    import torch

PEAK_SIDE, PEAK_S = 8192, 1.0  # of the matrix product that a step is held against
BATCHES = {1: 60, 8: 20}  # pictures an update → updates
RESUME_STEPS = 6


def lora_step(meter: PartMeter) -> None:
    """Rank 16 on SD 1.5 at 512 px by the plan's own format, batch 1 and 8."""
    peak = peak_flops(meter)
    meter.row("a matrix product", tflops=peak / 1e12, side=_peak_side(meter))
    for batch, steps in BATCHES.items():
        _train(meter, f"batch {batch}", peak, batch_size=batch, steps=steps)


def compiled(meter: PartMeter) -> None:
    """The same step behind torch.compile, beside the plain one of this process."""
    peak = peak_flops(meter)
    _train(meter, "batch 1, plain", peak, batch_size=1, steps=BATCHES[1])
    _train(meter, "batch 1, compiled", peak, batch_size=1, steps=BATCHES[1], compile=True)


def eight_bit(meter: PartMeter) -> None:
    """The same step with AdamW's state in 8 bits."""
    _train(meter, "batch 1, adamw8bit", peak_flops(meter), batch_size=1, steps=BATCHES[1], optimizer="adamw8bit")


def resume(meter: PartMeter) -> None:
    """Whether a run that was stopped and went on has the weights of one that was not, to the bit."""
    whole = _weights(_run(meter, "whole", steps=RESUME_STEPS))
    again = _weights(_run(meter, "again", steps=RESUME_STEPS))
    meter.row("twice from the start", bit_equal=_furthest(whole, again) == 0, furthest=_furthest(whole, again))
    stopped = _weights(_run(meter, "stopped", stop_at=RESUME_STEPS // 2, steps=RESUME_STEPS))
    what = f"stopped at {RESUME_STEPS // 2} of {RESUME_STEPS}"
    meter.row(what, bit_equal=_furthest(whole, stopped) == 0, furthest=_furthest(whole, stopped))


def _train(meter: PartMeter, what: str, peak: float, **asked: Any) -> None:
    """A row of one training: steps a second behind the first ones, by the reports that wait for the device."""
    reports: list[tuple[int, float]] = []

    def take(now: Any) -> None:
        if now.stage == "train" and now.done:
            reports.append((now.done, time.perf_counter()))

    with meter.timed() as measured:
        began = time.perf_counter()
        record = _run(meter, what.replace(", ", "-").replace(" ", "-"), take, **asked)[1]
    plan, first = record["plan"], next(report for report in reports if report[0] >= WARM_UP)
    (done, at), batch = reports[-1], asked["batch_size"]
    steps_per_s = (done - first[0]) / (at - first[1]) if done > first[0] else None
    meter.row(
        what,
        steps_per_s=steps_per_s,
        pictures_per_s=steps_per_s * batch if steps_per_s else None,
        peak_share=plan["step_flop"] * batch * steps_per_s / peak if steps_per_s else None,
        precision=plan["precision"],
        at_once=plan["micro_batch"],
        peak_gib=measured["peak_gib"],
        held_gib=measured["held_gib"],
        first_steps_s=first[1] - began,
    )


def _run(
    meter: PartMeter, name: str, take: Callable[[Any], None] = lambda now: None, stop_at: int = 0, **asked: Any
) -> tuple[Path, dict[str, Any]]:
    """The file and the record of a training to its end, stopped once on the way where that is asked for."""
    from ..core.errors import Stopped
    from ..fashion.photos import read_photo
    from ..trainer.config import read_config
    from ..trainer.train import train

    photos = meter.folder / f"{meter.part}-photos"
    if not photos.is_dir():
        make_photos(photos)
    side = 64 if meter.tiny else PRESETS["sd15"].width
    steps = min(asked.pop("steps"), 6) if meter.tiny else asked.pop("steps")
    data = {"folders": [str(photos)], "resolution": side, "buckets": False, "held_out": 0, "held_out_least": 0}
    fields = {"base": str(meter.folder / MODELS["sd1"]), "device": meter.device, "save_every": steps, "steps": steps}
    config, out = read_config({**fields, "data": data, **asked}), meter.folder / meter.part / name
    done = [0]

    def progress(now: Any) -> None:
        done.append(now.done if now.stage == "train" else done[-1])
        take(now)

    if stop_at:
        asking = iter(range(1, steps + 1))  # a run asks once a step
        try:
            train(config, out, read_photo, stop=lambda: next(asking) == stop_at)
        except Stopped:
            pass
    result = train(config, out, read_photo, progress=progress)
    return result.file, result.record


def _weights(result: tuple[Path, dict[str, Any]]) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    weights: dict[str, torch.Tensor] = load_file(result[0])
    return weights


def _furthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference of two files' tensors, 0 where every bit is the same."""
    import torch

    if one.keys() != other.keys():
        return float("inf")
    if all(torch.equal(one[name], other[name]) for name in one):
        return 0.0
    return max(float((one[name].float() - other[name].float()).abs().max()) for name in one)


def _peak_side(meter: PartMeter) -> int:
    return 256 if meter.tiny else PEAK_SIDE


def peak_flops(meter: PartMeter) -> float:
    """FLOP/s of a large square product in bfloat16 (float32 without a card): what a step's share is held against."""
    import torch

    side = _peak_side(meter)
    matrix = torch.randn(side, side, device=meter.device, dtype=torch.bfloat16 if meter.on_card else torch.float32)
    matrix @ matrix
    meter.wait()
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < (0.05 if meter.tiny else PEAK_S):
        for _ in range(4):
            matrix @ matrix
        meter.wait()
        count += 4
    return count * 2 * side**3 / (time.perf_counter() - began)
