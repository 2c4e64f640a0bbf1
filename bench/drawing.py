"""`python -m modiste.bench.drawing [--json] [--prompts N] [--seeds N] [--steps N] [--profile]`: a rung, how fast?

A rung of a search is every prompt on the same seeds. Beside Modiste's local host stand two loops of plain diffusers
over the same requests, models and schedulers, in the same process one after the other: `pipeline(prompt, …)` picture by
picture, as a script does it, and prompts in lists as long as Modiste's batches. Pictures are compared byte by byte.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.device import choose_device, choose_dtype
from ..core.library_output import without_bars
from ..core.torchvision_ops import patch_torchvision_ops
from ..hosts.local import LocalHost
from ..hosts.request import GenerationRequest
from ..hosts.samplers import make_scheduler
from ..models.presets import preset

if TYPE_CHECKING:
    from PIL import Image

PROMPTS = (
    "a photo of a red midi dress",
    "a photo of a red plain midi sleeveless dress, round neckline",
    "red, midi, dress, sleeveless, plain, round neckline",
    "product photo of a red dress on a white background",
    "(red:1.3) midi dress, plain",
    "a dress in red without sleeves",
)
NEGATIVE = "stripes"
SIDE, SAMPLER, CFG_SCALE = 64, "DPM++ 2M", 5.0


@dataclass(frozen=True)
class DrawingRow:
    """One way to draw: what it takes, and how far its pictures are from Modiste's, in levels of 255."""

    way: str
    pictures: int
    seconds: float
    cpu_seconds: float
    pictures_per_s: float
    equal: int = 0  # pictures with the bytes of Modiste's
    largest_difference: int = 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws in each way, prints the table."""
    parser = argparse.ArgumentParser(prog="python -m modiste.bench.drawing", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--prompts", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--side", type=int, default=SIDE, help="pixels")
    parser.add_argument("--checkpoint", default=preset("mini").checkpoint)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, help="pictures at once, in place of the host's own choice")
    parser.add_argument("--profile", action="store_true", help="where Modiste's time goes, instead")
    chosen = parser.parse_args(arguments)
    requests = rung(chosen.prompts, chosen.seeds, chosen.steps, chosen.side)
    host = LocalHost(str(chosen.checkpoint), device=chosen.device, batch_size=chosen.batch)
    if chosen.profile:
        print(profile(host, requests))
        return
    rows = speed(host, requests)
    print(json.dumps({"rows": [asdict(row) for row in rows], "ratios": ratios(rows)}) if chosen.json else as_text(rows))


def rung(prompts: int, seeds: int, steps: int, side: int = SIDE) -> list[GenerationRequest]:
    """Every prompt on every seed; without weights in its text a prompt means the same to diffusers."""
    return [
        GenerationRequest(
            prompt=PROMPTS[index % len(PROMPTS)].replace("(red:1.3)", "red") + " " * (index // len(PROMPTS)),
            negative_prompt=NEGATIVE,
            seed=seed,
            steps=steps,
            width=side,
            height=side,
            sampler=SAMPLER,
            cfg_scale=CFG_SCALE,
        )
        for index in range(prompts)
        for seed in range(seeds)
    ]


def speed(host: LocalHost, requests: Sequence[GenerationRequest]) -> list[DrawingRow]:
    """Modiste's row and those of plain diffusers."""
    batch = host.plan(requests[0].width, requests[0].height).batch
    plain = PlainDiffusers(host, requests[0])
    ways: dict[str, Callable[[Sequence[GenerationRequest]], list[Image.Image]]] = {
        "Modiste": lambda part: [result.image for result in host.generate(part)],
        "plain diffusers, one by one": lambda part: [plain.draw([request])[0] for request in part],
        f"plain diffusers, lists of {batch}": lambda part: [
            image for start in range(0, len(part), batch) for image in plain.draw(part[start : start + batch])
        ],
    }
    rows, drawn = [], list[Any]()
    for way, draw in ways.items():
        draw(requests[:batch])  # what is done once
        began, cpu = time.perf_counter(), time.process_time()
        images = draw(requests)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        drawn = drawn or images
        apart = [difference(image, other) for image, other in zip(images, drawn, strict=True)]
        rows.append(
            DrawingRow(
                way,
                len(images),
                round(seconds, 3),
                round(cpu, 3),
                round(len(images) / seconds, 3),
                apart.count(0),
                max(apart),
            )
        )
    return rows


class PlainDiffusers:
    """`StableDiffusionPipeline` as its documentation calls it."""

    def __init__(self, host: LocalHost, first: GenerationRequest):
        patch_torchvision_ops()
        from diffusers import StableDiffusionPipeline

        device = choose_device(host.device)
        dtype = choose_dtype(device, host.dtype)
        folder = Path(host.folder)
        with without_bars():
            self.pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=dtype, safety_checker=None)
        self.pipeline.to(device).set_progress_bar_config(disable=True)
        self.config = self.pipeline.scheduler.config

    def draw(self, requests: Sequence[GenerationRequest]) -> list[Image.Image]:
        """The pictures of requests that differ in prompt and seed alone."""
        import torch

        first = requests[0]
        self.pipeline.scheduler = make_scheduler(self.config, first.sampler, first.scheduler)
        images: list[Image.Image] = self.pipeline(
            [request.prompt for request in requests],
            negative_prompt=[request.negative_prompt for request in requests],
            num_inference_steps=first.steps,
            guidance_scale=first.cfg_scale,
            width=first.width,
            height=first.height,
            generator=[torch.Generator("cpu").manual_seed(request.seed) for request in requests],
        ).images
        return images


def difference(first: Image.Image, second: Image.Image) -> int:
    """The largest difference of two pictures of one size, in levels of 255."""
    from PIL import ImageChops

    return int(max(high for _, high in ImageChops.difference(first, second).getextrema()))


def ratios(rows: Sequence[DrawingRow]) -> dict[str, float]:
    """How many times as many pictures a second Modiste draws as each other way, and the same of CPU seconds."""
    mine, *others = rows
    return {
        f"{name} / {row.way}": round(getattr(row, field) / getattr(mine, field), 2)
        for row in others
        for name, field in (("pictures/s", "seconds"), ("CPU", "cpu_seconds"))
    }


def profile(host: LocalHost, requests: Sequence[GenerationRequest]) -> str:
    """The 25 functions that most of Modiste's time is spent below."""
    list(host.generate(requests[:1]))
    profiler, text = cProfile.Profile(), StringIO()
    profiler.runcall(lambda: list(host.generate(requests)))
    pstats.Stats(profiler, stream=text).sort_stats("cumulative").print_stats(25)
    return text.getvalue()


def as_text(rows: Sequence[DrawingRow]) -> str:
    """The table for people."""
    lines = [f"{'':32}{'pictures/s':>12}{'s':>10}{'CPU s':>10}{'equal':>8}{'largest difference':>20}"]
    lines += [
        f"{row.way:32}{row.pictures_per_s:>12.3f}{row.seconds:>10.2f}{row.cpu_seconds:>10.2f}"
        f"{row.equal:>5}/{row.pictures}{row.largest_difference:>17}"
        for row in rows
    ]
    return "\n".join([*lines, "", *(f"{name}: {ratio:.2f}×" for name, ratio in ratios(rows).items())])


if __name__ == "__main__":
    main(sys.argv[1:])
