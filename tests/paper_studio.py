"""A studio of paper: a host that paints what its prompt says in a millisecond, and eyes that see colours only.

Everything between them is the product's own: tagger, scorer, journal, search, report.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image

from modiste.fashion.calibration import Calibration
from modiste.fashion.encoders.protocol import EncoderIdentity
from modiste.fashion.scorer import Scorer
from modiste.fashion.tagger import Tagger
from modiste.fashion.taxonomy import Taxonomy
from modiste.hosts.request import GenerationRequest, GenerationResult, HostDescription, UsedSettings
from modiste.models.presets import Preset
from modiste.models.session import Session
from modiste.models.vision import VisionModels
from modiste.routes.prompt.settings import PromptSettings

COLOURS = {"red": (210, 40, 40), "green": (40, 150, 70), "blue": (40, 80, 200), "sand": (220, 200, 150)}
STRIPE = (245, 245, 245)
SIDE = 64


def paint(body: tuple[int, int, int], striped: bool, noise: float, seed: int) -> Image.Image:
    """A square garment before gray paper, with `noise` in its colour."""
    rng = np.random.default_rng(seed)
    pixels = np.full((SIDE, SIDE, 3), 180.0)
    pixels[8:56, 8:56] = np.array(body) + rng.normal(0, noise, 3)
    if striped:
        pixels[10:56:8, 8:56] = STRIPE
    return Image.fromarray(pixels.clip(1, 255).astype(np.uint8))


class PaperHost:
    """Draws the words it knows; says the rest with noise. `stop_after` pictures it is interrupted."""

    dialect = "plain"

    def __init__(self, stop_after: int | None = None):
        self.drawn: list[GenerationRequest] = []
        self.stop_after = stop_after

    def describe(self) -> HostDescription:
        return HostDescription(kind="local", checkpoint="paper", checkpoint_hash="0123456789", samplers=("Pencil",))

    def check(self, request: GenerationRequest) -> None:
        assert request.sampler == "Pencil"

    def count_tokens(self, text: str) -> int:
        return len(text.replace(",", " ,").split())

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationResult]:
        for request in requests:
            if self.stop_after is not None and len(self.drawn) >= self.stop_after:
                raise KeyboardInterrupt
            self.drawn.append(request)
            words = set(request.prompt.replace(",", " ").split())
            colour = next((rgb for name, rgb in COLOURS.items() if name in words), (110, 110, 110))
            noise = 10 if "photo" in words else 60  # sentences draw better
            image = paint(colour, "striped" in words, noise, request.seed)
            used = UsedSettings(
                **request.model_dump(include={"seed", "steps", "cfg_scale", "width", "height", "sampler"}),
                checkpoint="paper",
                backend="paper",
            )
            yield GenerationResult(image, request, used, time.process_time() % 1)


class ColourEyes:
    """Photos by their mean colour and contrast; texts by the colours they name."""

    identity = EncoderIdentity(id="colour-eyes", revision="1", preprocessing="none")
    logit_scale = 8.0
    device = "cpu"

    def embed_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        rows = []
        for image in images:
            pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), float)[10:54, 10:54]
            rows.append([*(pixels.mean((0, 1)) - 120) / 100, pixels.std((0, 1)).mean() / 30])
        return torch.nn.functional.normalize(torch.tensor(rows).float(), dim=-1)

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        rows = []
        for text in texts:
            rgb = next((rgb for name, rgb in COLOURS.items() if name in text), (120, 120, 120))
            contrast = 1.0 if "striped" in text else -1e-3
            rows.append([*((np.array(rgb) - 120) / 100), contrast])
        return torch.nn.functional.normalize(torch.tensor(np.array(rows)).float(), dim=-1)


def labels(*ids: str) -> list[dict]:
    return [{"id": one, "prompt_text": one, "probe_texts": [one], "name": {"en": one, "zh-TW": one}} for one in ids]


TAXONOMY = Taxonomy.model_validate(
    {
        "id": "paper",
        "version": "1",
        "view": ["plain background"],
        "negative": ["blurry"],
        "groups": [
            {"id": "category", "slot": "noun", "labels": labels("dress", "top")},
            {"id": "colour", "slot": "before", "labels": labels(*COLOURS)},
            {"id": "pattern", "slot": "before", "labels": labels("plain", "striped")},
        ],
    }
)


def session(stop_after: int | None = None, judge: bool = True) -> Session:
    """All of it, opened."""
    calibration = Calibration("bundled", 0.8, 1.0, 0.8, 1.0, 10)
    scorer = Scorer(ColourEyes(), calibration)
    second = Scorer(ColourEyes(), Calibration("bundled", 0.2, 0.98, 0.2, 0.98, 10))
    vision = VisionModels(TAXONOMY, ColourEyes(), Tagger(ColourEyes(), TAXONOMY), scorer, second if judge else None)
    return Session(preset(), vision, PaperHost(stop_after))


def preset() -> Preset:
    """What the embedded preset is to the embedded models."""
    names = dict(name="paper", checkpoint="paper", encoder="colour-eyes", judge="colour-eyes", taxonomy="mini")
    return Preset(**names, width=SIDE, height=SIDE, steps=1, cfg_scale=1.0, sampler="Pencil")


def settings(budget: int = 40, seed: int = 0, same_seeds: bool = True) -> PromptSettings:
    """A run's settings; as if nobody had looked at the photos before, so that runs can be compared."""
    return PromptSettings.for_session(session(), budget=budget, seed=seed, same_seeds=same_seeds)
