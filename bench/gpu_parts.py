"""The parts of `python -m modiste.bench.gpu`, each a process of its own: so each peak is one part's, and so is a crash.

`python -m modiste.bench.gpu_parts PART FOLDER --device NAME [--tiny] --ends SECONDS`: a row is a line of JSON in
FOLDER/PART.jsonl as soon as it is measured; what was written before a part's time ended counts.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints.families.configs import Family
from ..core.device import GIB
from ..core.library_output import without_bars
from ..hosts.drawing_plan import DrawingPlan, needed_gib
from ..hosts.local import LocalHost
from ..hosts.request import GenerationRequest
from ..models.presets import PRESETS
from .train import WARM_UP, make_photos

if TYPE_CHECKING:
    import torch

Figures = dict[str, float | str | bool | None]
MODELS: dict[Family, str] = {"sd1": "sd15", "sdxl": "sdxl"}
CLIP, DINO = "clip", "dino"
PROMPT = "product photo of a red sleeveless midi dress with stripes, plain background"
PEAK_SIDE, PEAK_S = 8192, 1.0  # of the matrix product that a step is held against
BATCHES = {1: 60, 8: 20}  # pictures an update → updates
SEARCH_BUDGET, LEAST_BUDGET = 40, 8  # pictures; the fewest are taken where the card is slow
SEARCH_S = 50.0
RESUME_STEPS = 6
CATALOGUE, DISTINCT = 96, 12  # photos to tag, and drawings that they are made of


@dataclass
class Bench:
    """Where a part's models lie, on which device, at which size, and where its rows go."""

    part: str
    folder: Path
    device: str
    tiny: bool = False
    ends: float = float("inf")  # time.monotonic() at which the part is ended
    rows: list[Figures] = field(default_factory=list)

    @property
    def on_card(self) -> bool:
        """Whether the device has memory of its own."""
        return self.device.startswith("cuda")

    def row(self, what: str, **figures: float | str | bool | None) -> None:
        """Keeps a row, here and in the part's file."""
        values: Figures = {name: round(v, 4) if isinstance(v, float) else v for name, v in figures.items()}
        self.rows.append({"what": what, **values})
        with (self.folder / f"{self.part}.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(self.rows[-1]) + "\n")

    @property
    def left_s(self) -> float:
        """Seconds until the part is ended."""
        return self.ends - time.monotonic()

    def wait(self) -> None:
        """Until the device has done what it was given."""
        import torch

        if self.on_card:
            torch.cuda.synchronize(self.device)

    @contextmanager
    def timed(self) -> Iterator[Figures]:
        """Inside `with`: {"s", "peak_gib"} of what runs there, and of a card the memory that torch held for it."""
        import torch

        measured: Figures = {}
        if self.on_card:
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        self.wait()
        began = time.perf_counter()
        yield measured
        self.wait()
        measured["s"] = time.perf_counter() - began
        measured["peak_gib"] = torch.cuda.max_memory_allocated(self.device) / GIB if self.on_card else None
        measured["held_gib"] = torch.cuda.max_memory_reserved(self.device) / GIB if self.on_card else None


# ── the models ──


def weights_sd15(bench: Bench) -> None:
    """Random Stable Diffusion 1.5, ViT-B/32 and DINOv2-base."""
    from .random_models import random_clip, random_diffusion, random_dino

    with bench.timed() as measured:
        random_diffusion(bench.folder / MODELS["sd1"], "sd1", device=bench.device, tiny=bench.tiny)
        random_clip(bench.folder / CLIP, device=bench.device, tiny=bench.tiny)
        random_dino(bench.folder / DINO, device=bench.device, tiny=bench.tiny)
    bench.row("random weights into files", s=measured["s"])


def weights_sdxl(bench: Bench) -> None:
    """Random Stable Diffusion XL."""
    from .random_models import random_diffusion

    with bench.timed() as measured:
        random_diffusion(bench.folder / MODELS["sdxl"], "sdxl", device=bench.device, tiny=bench.tiny)
    bench.row("random weights into files", s=measured["s"])


# ── drawing ──


class PlannedHost(LocalHost):
    """The local host, drawing by the plan that it is told as long as the device has memory for that."""

    told: DrawingPlan | None = None

    def plan(self, width: int, height: int) -> DrawingPlan:
        """The plan that it was told, or what it would have planned; less, once the device has run out of memory."""
        if self.told is None:
            return super().plan(width, height)
        return self.told if self._most is None else self.told.within(self._most)


def draw_sd15(bench: Bench) -> None:
    """512 px, 20 steps, by each plan."""
    _draw(bench, "sd1")


def draw_sdxl(bench: Bench) -> None:
    """1024 px, 25 steps, by each plan."""
    _draw(bench, "sdxl")


def _draw(bench: Bench, family: Family) -> None:
    """A row a plan: the host's own for this card, then one picture at once by less and less memory."""
    preset = PRESETS[MODELS[family]]
    side, steps = (64, 2) if bench.tiny else (preset.width, preset.steps)
    host = PlannedHost(str(bench.folder / MODELS[family]), device=bench.device)
    request = GenerationRequest(
        prompt=PROMPT,
        negative_prompt="blurry",
        seed=0,
        steps=steps,
        cfg_scale=preset.cfg_scale,
        width=side,
        height=side,
    )
    for plan in plans_of(host.plan(side, side), bench.on_card):
        slowest = max((float(row["s_a_picture"] or 0) for row in bench.rows), default=0.0)
        if bench.left_s < 3 * slowest:
            bench.row(plan.text, left_out=f"{bench.left_s:.0f} s are left")
            continue
        if host.told is None or plan.offload != host.told.offload:
            host.unload()  # offloading leaves hooks: the parts are opened anew
        host.told = plan
        with bench.timed() as opening:
            list(host.generate([request.model_copy(update={"steps": 2})] * plan.batch))
        with bench.timed() as measured:
            count = len(list(host.generate([request.model_copy(update={"seed": seed}) for seed in range(plan.batch)])))
        bench.row(
            plan.text,
            pictures_per_s=count / float(measured["s"] or 0),
            s_a_picture=float(measured["s"] or 0) / count,
            peak_gib=measured["peak_gib"],
            held_gib=measured["held_gib"],
            arithmetic_gib=needed_gib(plan, family, side * side),
            opening_s=opening["s"],
            **({} if host.plan(side, side) == plan else {"ran_out_and_drew": host.plan(side, side).text}),
        )


def plans_of(planned: DrawingPlan, on_card: bool) -> list[DrawingPlan]:
    """The host's plan, and one picture at once by every step down; without a card nothing is moved to one."""
    plans = [planned]
    plan: DrawingPlan | None = replace(planned, batch=1)
    while plan is not None and (on_card or plan.offload == "none"):
        plans += [plan] if plan not in plans else []
        plan = plan.less()
    return plans


# ── the prompt route ──


def search(bench: Bench) -> None:
    """One photo's whole search at 512 px: tags, pictures, scores, judge, report."""
    from ..fashion.photos import gather_photos
    from ..models.session import open_session
    from ..routes.prompt.optimise import optimise_prompts
    from ..routes.prompt.settings import PromptSettings
    from .train_commands import ROOT

    photo = ROOT / "examples" / "photos" / "look-01.jpg"
    models = {"checkpoint": MODELS["sd1"], "encoder": CLIP, "judge": DINO}
    replaced: dict[str, Any] = {role: str(bench.folder / name) for role, name in models.items()}
    side, steps = (64, 2) if bench.tiny else (PRESETS["sd15"].width, PRESETS["sd15"].steps)
    with bench.timed() as opening:
        session = open_session(PRESETS["sd15"].replaced(**replaced), device=bench.device)
        requests = [
            GenerationRequest(prompt=PROMPT, seed=seed, steps=steps, width=side, height=side) for seed in (0, 1)
        ]
        list(session.host.generate(requests[:1]))
    with bench.timed() as one_picture:
        list(session.host.generate(requests[1:]))
    quick = float(one_picture["s"] or 0) * SEARCH_BUDGET < SEARCH_S and not bench.tiny
    budget = SEARCH_BUDGET if quick else LEAST_BUDGET
    sampling = {"width": side, "height": side, "steps": steps, "learn": False}
    with bench.timed() as measured:
        settings = PromptSettings.for_session(session, budget=budget, seed=0, **sampling)
        report = optimise_prompts(gather_photos([photo]), session, settings, bench.folder / "search")
    bench.row(
        f"one photo, {budget} pictures of {side} px",
        s=measured["s"],
        pictures=sum(image.generations for image in report.images),
        peak_gib=measured["peak_gib"],
        opening_s=opening["s"],
    )


# ── training ──


def lora_step(bench: Bench) -> None:
    """Rank 16 on SD 1.5 at 512 px by the plan's own format, batch 1 and 8."""
    peak = peak_flops(bench)
    bench.row("a matrix product", tflops=peak / 1e12, side=_peak_side(bench))
    for batch, steps in BATCHES.items():
        _train(bench, f"batch {batch}", peak, batch_size=batch, steps=steps)


def compiled(bench: Bench) -> None:
    """The same step behind torch.compile, beside the plain one of this process."""
    peak = peak_flops(bench)
    _train(bench, "batch 1, plain", peak, batch_size=1, steps=BATCHES[1])
    _train(bench, "batch 1, compiled", peak, batch_size=1, steps=BATCHES[1], compile=True)


def eight_bit(bench: Bench) -> None:
    """The same step with AdamW's state in 8 bits."""
    _train(bench, "batch 1, adamw8bit", peak_flops(bench), batch_size=1, steps=BATCHES[1], optimizer="adamw8bit")


def resume(bench: Bench) -> None:
    """Whether a run that was stopped and went on has the weights of one that was not, to the bit."""
    whole = _weights(_run(bench, "whole", steps=RESUME_STEPS))
    again = _weights(_run(bench, "again", steps=RESUME_STEPS))
    bench.row("twice from the start", bit_equal=_furthest(whole, again) == 0, furthest=_furthest(whole, again))
    stopped = _weights(_run(bench, "stopped", stop_at=RESUME_STEPS // 2, steps=RESUME_STEPS))
    what = f"stopped at {RESUME_STEPS // 2} of {RESUME_STEPS}"
    bench.row(what, bit_equal=_furthest(whole, stopped) == 0, furthest=_furthest(whole, stopped))


def _train(bench: Bench, what: str, peak: float, **asked: Any) -> None:
    """A row of one training: steps a second behind the first ones, by the reports that wait for the device."""
    reports: list[tuple[int, float]] = []

    def take(now: Any) -> None:
        if now.stage == "train" and now.done:
            reports.append((now.done, time.perf_counter()))

    with bench.timed() as measured:
        began = time.perf_counter()
        record = _run(bench, what.replace(", ", "-").replace(" ", "-"), take, **asked)[1]
    plan, first = record["plan"], next(report for report in reports if report[0] >= WARM_UP)
    (done, at), batch = reports[-1], asked["batch_size"]
    steps_per_s = (done - first[0]) / (at - first[1]) if done > first[0] else None
    bench.row(
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
    bench: Bench, name: str, take: Callable[[Any], None] = lambda now: None, stop_at: int = 0, **asked: Any
) -> tuple[Path, dict[str, Any]]:
    """The file and the record of a training to its end, stopped once on the way where that is asked for."""
    from ..core.errors import Stopped
    from ..fashion.photos import read_photo
    from ..trainer.config import read_config
    from ..trainer.train import train

    photos = bench.folder / f"{bench.part}-photos"
    if not photos.is_dir():
        make_photos(photos)
    side = 64 if bench.tiny else PRESETS["sd15"].width
    steps = min(asked.pop("steps"), 6) if bench.tiny else asked.pop("steps")
    data = {"folders": [str(photos)], "resolution": side, "buckets": False, "held_out": 0, "held_out_least": 0}
    fields = {"base": str(bench.folder / MODELS["sd1"]), "device": bench.device, "save_every": steps, "steps": steps}
    config, out = read_config({**fields, "data": data, **asked}), bench.folder / bench.part / name
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


def _peak_side(bench: Bench) -> int:
    return 256 if bench.tiny else PEAK_SIDE


def peak_flops(bench: Bench) -> float:
    """FLOP/s of a large square product in bfloat16 (float32 without a card): what a step's share is held against."""
    import torch

    side = _peak_side(bench)
    matrix = torch.randn(side, side, device=bench.device, dtype=torch.bfloat16 if bench.on_card else torch.float32)
    matrix @ matrix
    bench.wait()
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < (0.05 if bench.tiny else PEAK_S):
        for _ in range(4):
            matrix @ matrix
        bench.wait()
        count += 4
    return count * 2 * side**3 / (time.perf_counter() - began)


# ── tagging ──


def tag(bench: Bench) -> None:
    """3-megapixel JPEGs by a ViT-B/32 and the vocabulary `garments`, read, decoded and tagged, nothing kept."""
    from ..fashion.batch_tagging import tag_photos
    from ..fashion.encoder_cache import ObservationCache
    from ..fashion.encoders.load import load_encoder
    from ..fashion.photos import read_photo
    from ..fashion.tagger import Tagger
    from ..fashion.taxonomy import load_taxonomy

    photos = catalogue(bench.folder / "catalogue", 4 if bench.tiny else CATALOGUE, (320, 240) if bench.tiny else None)
    encoder = load_encoder(str(bench.folder / CLIP), device=bench.device)
    tagger = Tagger(encoder, load_taxonomy("mini" if bench.tiny else "garments"))
    with bench.timed() as vocabulary:
        tagger.prepare()
    with ObservationCache(encoder.identity.key, bench.folder / "seen") as cache:
        warm_up, rest = photos[: len(photos) // 4], photos[len(photos) // 4 :]
        for part in (warm_up, rest):
            with bench.timed() as measured:
                count = sum(1 for _ in tag_photos(part, tagger, cache=cache, skipped=[], without_garment=bool))
    bench.row(
        "photos read, decoded and tagged",
        images_per_s=count / float(measured["s"] or 0),
        peak_gib=measured["peak_gib"],
        vocabulary_s=vocabulary["s"],
    )
    images = [read_photo(photo).image.resize((224, 224)) for photo in photos[:8]] * 16
    encoder.embed_images(images[:8])
    with bench.timed() as measured:
        encoder.embed_images(images)
    bench.row("small pictures embedded", images_per_s=len(images) / float(measured["s"] or 0))


def catalogue(folder: Path, count: int, size: tuple[int, int] | None = None) -> list[Path]:
    """JPEGs as bench.tagging draws them, no two alike: each of a dozen several times, with a mark of its own."""
    from PIL import Image

    from . import tagging

    drawings = [Image.open(file) for file in tagging.make_photos(folder, min(DISTINCT, count))]
    if size is not None:
        drawings = [drawing.resize(size) for drawing in drawings]
    files = []
    for index in range(count):
        image = drawings[index % len(drawings)].copy()
        image.paste((index, 90, 200), (0, 0, 16, 16))
        files.append(folder / f"photo-{index:04}.jpg")
        image.save(files[-1], quality=90)
    return files


# ── one part ──

PARTS: dict[str, Callable[[Bench], None]] = {
    "weights-sd15": weights_sd15,
    "draw-sd15": draw_sd15,
    "lora-step": lora_step,
    "resume": resume,
    "search": search,
    "tag": tag,
    "weights-sdxl": weights_sdxl,
    "draw-sdxl": draw_sdxl,
    "adamw8bit": eight_bit,
    "compile": compiled,
}


def run_part(bench: Bench) -> None:
    """Measures one part; its rows are in its file as soon as they are known."""
    from ..core.torchvision_ops import patch_torchvision_ops

    patch_torchvision_ops()
    with without_bars():
        PARTS[bench.part](bench)


def main(arguments: Sequence[str] | None = None) -> None:
    """One part, in this process."""
    from ..core.errors import ModisteError

    parser = argparse.ArgumentParser(prog="python -m modiste.bench.gpu_parts")
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--ends", type=float, default=float("inf"), help="seconds from now")
    chosen = parser.parse_args(arguments)
    try:
        run_part(Bench(chosen.part, chosen.folder, chosen.device, chosen.tiny, time.monotonic() + chosen.ends))
    except ModisteError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
