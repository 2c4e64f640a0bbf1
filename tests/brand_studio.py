"""A brand of paper: eight looks with a sand band at the hem that no word names, and a host whose LoRA has learned it.

The models are paper (paper_studio.py); the trainer and the file it writes are real, on a base of some thousand weights.
`python brand_studio.py FOLDER N` runs the whole pipeline there and dies by SIGKILL at the Nth sign of progress.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import paper_studio
import torch
from PIL import Image, ImageDraw

from modiste.core.progress import Progress
from modiste.fashion.calibration import Calibration
from modiste.fashion.photos import gather_photos
from modiste.fashion.scorer import Scorer
from modiste.fashion.tagger import Tagger
from modiste.hosts.request import GenerationRequest, GenerationResult
from modiste.models.session import Session
from modiste.models.vision import VisionModels
from modiste.reports.comparison import PipelineReport
from modiste.routes.pipeline.pipeline import PipelineSettings, run_pipeline
from modiste.routes.prompt.settings import PromptSettings
from modiste.trainer.lora.file import write_tensors

SAND = (235, 215, 160)
TRIGGER = "atelierx"
LAYER = "lora_unet_mid_block_attentions_0_proj_in"


class BrandEyes(paper_studio.ColourEyes):
    """See the body above the hem, and how far the hem is from it; of the hem no text says anything."""

    def __init__(self, hem: float = 1.0):
        self.hem = hem
        self.identity = self.identity.model_copy(update={"id": f"brand-eyes-{hem:g}"})

    def embed_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        rows = []
        for image in images:
            pixels = np.asarray(image.resize((64, 64), Image.Resampling.BOX), float)[10:54, 10:54]
            body, hem = pixels[:30], pixels[34:]
            seen = [*(body.mean((0, 1)) - 120) / 100, body.std((0, 1)).mean() / 30]
            rows.append([*seen, *self.hem * (hem.mean((0, 1)) - body.mean((0, 1))) / 100])
        return torch.nn.functional.normalize(torch.tensor(rows).float(), dim=-1)

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.nn.functional.pad(super().embed_texts(texts), (0, 3))


def band(image: Image.Image, strength: float) -> Image.Image:
    """The signature, as strong as that."""
    worn = image.copy()
    ImageDraw.Draw(worn).rectangle((8, 42, 55, 55), fill=SAND)
    return Image.blend(image, worn, min(1.0, max(0.0, strength)))


def brand_photos(folder: Path, count: int = 24) -> Path:
    """One photo a garment, each with the band."""
    folder.mkdir(parents=True)
    for index in range(count):
        body = list(paper_studio.COLOURS.values())[index % 3]
        band(paper_studio.paint(body, index % 2 == 0, 6, index), 1.0).save(folder / f"piece-{index:02d}.png")
    return folder


class BrandHost(paper_studio.PaperHost):
    """Paints the words; a LoRA adds the band in its strength, times `learned`."""

    def __init__(self, learned: float = 1.0, noise: float = 0.0, stop_after: int | None = None):
        super().__init__(stop_after)
        self.learned, self.noise = learned, noise

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationResult]:
        for result in super().generate(requests):
            worn = sum(lora.strength for lora in result.request.loras)
            image = result.image
            if worn:
                image = band(image, worn * self.learned)
            if worn and self.noise:
                rng = np.random.default_rng([result.request.seed, 1])
                shifted = np.asarray(image, float) + rng.normal(0, self.noise, 3)
                image = Image.fromarray(shifted.clip(1, 255).astype(np.uint8))
            yield replace(result, image=image, elapsed_s=0.0)


class ManyFilesHost(BrandHost):
    """Draws the band as far as the file named in the request has learned it."""

    def __init__(self, learned: dict[str, float], stop_after: int | None = None):
        super().__init__(stop_after=stop_after)
        self.by_name = learned

    def generate(self, requests):
        for request in requests:
            loras = [
                lora.model_copy(update={"strength": lora.strength * self.by_name[lora.name]}) for lora in request.loras
            ]
            [result] = super().generate([request.model_copy(update={"loras": tuple(loras)})])
            yield replace(result, request=request)


def lora_file(path: Path, seed: int) -> Path:
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        f"{LAYER}.lora_down.weight": torch.randn(2, 4, generator=generator),
        f"{LAYER}.lora_up.weight": torch.randn(4, 2, generator=generator),
        f"{LAYER}.alpha": torch.tensor(2.0),
    }
    write_tensors(tensors, path, {"modelspec.description": "A brand.", "modelspec.trigger_phrase": TRIGGER})
    return path


def session(base: Path | str = "paper", judge: float | None = 1.4, **host) -> Session:
    """The brand's eyes and host, and the trainer's base under the name of a preset that has defaults.

    `judge`: how much the second opinion looks at the hem; None: there is none.
    """
    scorer = Scorer(BrandEyes(), Calibration("bundled", 0.4, 1.0, 0.4, 1.0, 10))
    second = None if judge is None else Scorer(BrandEyes(judge), Calibration("bundled", 0.2, 1.0, 0.2, 1.0, 10))
    tagger = Tagger(BrandEyes(), paper_studio.TAXONOMY)
    vision = VisionModels(paper_studio.TAXONOMY, BrandEyes(), tagger, scorer, second)
    preset = paper_studio.preset().replaced(name="mini", checkpoint=str(base))
    return Session(preset, vision, BrandHost(**host))


def settings(seed: int = 0, **asked) -> PipelineSettings:
    """A run of seconds."""
    small = {"steps": 8, "batch_size": 2, "save_every": 2, "validation": {"every": 4, "timesteps": 2}, "seed": seed}
    return PipelineSettings(
        prompt=PromptSettings.for_session(
            session(), budget=8, seed=seed, learn=False, same_seeds=True, strategies=("sentence", "tag_list")
        ),
        trigger=TRIGGER,
        searched=3,
        train={**small, "network": {"rank": 2, "alpha": 2.0}},
        compare={"confirm_seeds": 2, "choosing_seeds": 1, "strengths": (0.6, 1.0)},
        **asked,
    )


def run(photos: Path, base: Path, out: Path, **more) -> PipelineReport | None:
    """The whole pipeline, on one thread: sums have one order then, whatever this process has run before."""
    torch.set_num_threads(1)
    return run_pipeline(gather_photos([photos]), session(base), settings(), out, **more)


def main(folder: Path, instant: int) -> None:
    seen = 0

    def die(progress: Progress) -> None:
        nonlocal seen
        seen += 1
        if seen == instant:
            os.kill(os.getpid(), signal.SIGKILL)

    run(folder / "photos", folder / "base", folder / "out", progress=die)
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
