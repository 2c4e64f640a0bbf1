"""The parts of `python -m modiste.bench.gpu`, each a process of its own: so each peak is one part's, and so is a crash.

`python -m modiste.bench.gpu_parts PART FOLDER --device NAME [--tiny] --ends SECONDS`: a row is a line of JSON in
FOLDER/PART.jsonl as soon as it is measured; what was written before a part's time ended counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..checkpoints.families.configs import Family
from ..core.library_output import without_bars
from ..hosts.drawing_plan import DrawingPlan, needed_gib
from ..hosts.local import LocalHost
from ..hosts.request import GenerationRequest
from ..models.presets import PRESETS
from .gpu_meter import MODELS, PartMeter
from .gpu_training import compiled, eight_bit, lora_step, resume

CLIP, DINO = "clip", "dino"
PROMPT = "product photo of a red sleeveless midi dress with stripes, plain background"
SEARCH_BUDGET, LEAST_BUDGET = 40, 8  # pictures; the fewest are taken where the card is slow
SEARCH_S = 50.0
CATALOGUE, DISTINCT = 96, 12  # photos to tag, and drawings that they are made of


# ── the models ──


def weights_sd15(meter: PartMeter) -> None:
    """Random Stable Diffusion 1.5, ViT-B/32 and DINOv2-base."""
    from .random_models import random_clip, random_diffusion, random_dino

    with meter.timed() as measured:
        random_diffusion(meter.folder / MODELS["sd1"], "sd1", device=meter.device, tiny=meter.tiny)
        random_clip(meter.folder / CLIP, device=meter.device, tiny=meter.tiny)
        random_dino(meter.folder / DINO, device=meter.device, tiny=meter.tiny)
    meter.row("random weights into files", s=measured["s"])


def weights_sdxl(meter: PartMeter) -> None:
    """Random Stable Diffusion XL."""
    from .random_models import random_diffusion

    with meter.timed() as measured:
        random_diffusion(meter.folder / MODELS["sdxl"], "sdxl", device=meter.device, tiny=meter.tiny)
    meter.row("random weights into files", s=measured["s"])


# ── drawing ──


class PlannedHost(LocalHost):
    """The local host, drawing by the plan that it is told as long as the device has memory for that."""

    told: DrawingPlan | None = None

    def plan(self, width: int, height: int) -> DrawingPlan:
        """The plan that it was told, or what it would have planned; less, once the device has run out of memory."""
        if self.told is None:
            return super().plan(width, height)
        return self.told if self._most is None else self.told.within(self._most)


def draw_sd15(meter: PartMeter) -> None:
    """512 px, 20 steps, by each plan."""
    _draw(meter, "sd1")


def draw_sdxl(meter: PartMeter) -> None:
    """1024 px, 25 steps, by each plan."""
    _draw(meter, "sdxl")


def _draw(meter: PartMeter, family: Family) -> None:
    """A row a plan: the host's own for this card, then one picture at once by less and less memory."""
    preset = PRESETS[MODELS[family]]
    side, steps = (64, 2) if meter.tiny else (preset.width, preset.steps)
    host = PlannedHost(str(meter.folder / MODELS[family]), device=meter.device)
    request = GenerationRequest(
        prompt=PROMPT,
        negative_prompt="blurry",
        seed=0,
        steps=steps,
        cfg_scale=preset.cfg_scale,
        width=side,
        height=side,
    )
    for plan in plans_of(host.plan(side, side), meter.on_card):
        slowest = max((float(row["s_a_picture"] or 0) for row in meter.rows), default=0.0)
        if meter.left_s < 3 * slowest:
            meter.row(plan.text, left_out=f"{meter.left_s:.0f} s are left")
            continue
        if host.told is None or plan.offload != host.told.offload:
            host.unload()  # offloading leaves hooks: the parts are opened anew
        host.told = plan
        with meter.timed() as opening:
            list(host.generate([request.model_copy(update={"steps": 2})] * plan.batch))
        with meter.timed() as measured:
            count = len(list(host.generate([request.model_copy(update={"seed": seed}) for seed in range(plan.batch)])))
        meter.row(
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


def search(meter: PartMeter) -> None:
    """One photo's whole search at 512 px: tags, pictures, scores, judge, report."""
    from ..fashion.photos import gather_photos
    from ..models.session import open_session
    from ..routes.prompt.optimise import optimise_prompts
    from ..routes.prompt.settings import PromptSettings
    from .train_commands import ROOT

    photo = ROOT / "examples" / "photos" / "look-01.jpg"
    models = {"checkpoint": MODELS["sd1"], "encoder": CLIP, "judge": DINO}
    replaced: dict[str, Any] = {role: str(meter.folder / name) for role, name in models.items()}
    side, steps = (64, 2) if meter.tiny else (PRESETS["sd15"].width, PRESETS["sd15"].steps)
    with meter.timed() as opening:
        session = open_session(PRESETS["sd15"].replaced(**replaced), device=meter.device)
        requests = [
            GenerationRequest(prompt=PROMPT, seed=seed, steps=steps, width=side, height=side) for seed in (0, 1)
        ]
        list(session.host.generate(requests[:1]))
    with meter.timed() as one_picture:
        list(session.host.generate(requests[1:]))
    quick = float(one_picture["s"] or 0) * SEARCH_BUDGET < SEARCH_S and not meter.tiny
    budget = SEARCH_BUDGET if quick else LEAST_BUDGET
    sampling = {"width": side, "height": side, "steps": steps, "learn": False}
    with meter.timed() as measured:
        settings = PromptSettings.for_session(session, budget=budget, seed=0, **sampling)
        report = optimise_prompts(gather_photos([photo]), session, settings, meter.folder / "search")
    meter.row(
        f"one photo, {budget} pictures of {side} px",
        s=measured["s"],
        pictures=sum(image.generations for image in report.images),
        peak_gib=measured["peak_gib"],
        opening_s=opening["s"],
    )


# ── tagging ──


def tag(meter: PartMeter) -> None:
    """3-megapixel JPEGs by a ViT-B/32 and the vocabulary `garments`, read, decoded and tagged, nothing kept."""
    from ..fashion.batch_tagging import tag_photos
    from ..fashion.encoder_cache import ObservationCache
    from ..fashion.encoders.load import load_encoder
    from ..fashion.photos import read_photo
    from ..fashion.shards import Catalogue
    from ..fashion.tagger import Tagger
    from ..fashion.taxonomy import load_taxonomy

    photos = catalogue(meter.folder / "catalogue", 4 if meter.tiny else CATALOGUE, (320, 240) if meter.tiny else None)
    encoder = load_encoder(str(meter.folder / CLIP), device=meter.device)
    tagger = Tagger(encoder, load_taxonomy("mini" if meter.tiny else "garments"))
    with meter.timed() as vocabulary:
        tagger.prepare()
    with ObservationCache(encoder.identity.key, meter.folder / "seen") as cache:
        warm_up, rest = photos[: len(photos) // 4], photos[len(photos) // 4 :]
        for part in (warm_up, rest):
            with meter.timed() as measured:
                tagged = tag_photos(Catalogue(part), tagger, cache=cache, skipped=[], without_garment=bool)
                count = sum(1 for _ in tagged)
    meter.row(
        "photos read, decoded and tagged",
        images_per_s=count / float(measured["s"] or 0),
        peak_gib=measured["peak_gib"],
        vocabulary_s=vocabulary["s"],
    )
    images = [read_photo(photo).image.resize((224, 224)) for photo in photos[:8]] * 16
    encoder.embed_images(images[:8])
    with meter.timed() as measured:
        encoder.embed_images(images)
    meter.row("small pictures embedded", images_per_s=len(images) / float(measured["s"] or 0))


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

PARTS: dict[str, Callable[[PartMeter], None]] = {
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


def run_part(meter: PartMeter) -> None:
    """Measures one part; its rows are in its file as soon as they are known."""
    from ..core.torchvision_ops import patch_torchvision_ops

    patch_torchvision_ops()
    with without_bars():
        PARTS[meter.part](meter)


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
        run_part(PartMeter(chosen.part, chosen.folder, chosen.device, chosen.tiny, time.monotonic() + chosen.ends))
    except ModisteError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
