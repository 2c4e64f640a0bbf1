"""Measures which photos the embedded encoder knows, on garments of many sizes, sharp or not, as JPEG or not."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from random import Random

from PIL import Image

from ..fashion.encoders.load import load_encoder
from ..fashion.familiarity import Familiarity
from .garment import labels, sample_garment
from .other_pictures import other_pictures
from .photo import degrade, sample_photo
from .renderer import render
from .style import DRAWN, STYLES, placed
from .styled import render_styled

SIDES = (64, 64, 128, 256, 384)  # pixels
BAD_SHARE, JPEG_SHARE, STYLED_SHARE = 0.06, 0.6, 0.5


def arriving_photos(
    count: int, seed: str, held_out: bool, styles: Sequence[str] = DRAWN
) -> tuple[list[Image.Image], list[int]]:
    """Photos of random garments, half of them in one of `styles`, and the numbers of their categories."""
    rng, photos, categories = Random(seed), [], []
    for _ in range(count):
        garment = sample_garment(rng, held_out=held_out, trait_share=0.4)
        shot, side = sample_photo(rng), rng.choice(SIDES)
        if rng.random() < STYLED_SHARE:
            style = STYLES[rng.choice(styles)](rng)
            photo = render_styled(garment, placed(shot, style, rng), style, side)
        else:
            photo = render(garment, shot, side)
        if rng.random() < BAD_SHARE:
            photo = degrade(photo, rng)
        if rng.random() < JPEG_SHARE:
            file = BytesIO()
            photo.save(file, "JPEG", quality=rng.randint(60, 95))
            photo = Image.open(file).convert("RGB")
        photos.append(photo)
        categories.append(labels("category").index(garment.category))
    return photos, categories


def measure_familiarity(folder: Path, count: int, seed: int) -> Familiarity:
    """Writes `familiarity.safetensors` into `folder`, from `count` photos and a third as many held-out ones."""
    import torch

    encoder = load_encoder(str(folder / "clip"), device="cpu")
    photos, categories = arriving_photos(count, f"mini-familiar-{seed}", held_out=False)
    held_out, _ = arriving_photos(count // 3, f"mini-familiar-threshold-{seed}", held_out=True)
    embeds = encoder.embed_images(photos)
    familiarity = Familiarity.measured(embeds, torch.tensor(categories), encoder.embed_images(held_out))
    familiarity.save(folder)
    return familiarity


def familiarity_figures(folder: Path, seed: int, garments: int = 300, others: int = 136) -> dict[str, float]:
    """Shares of what is refused: of garments and other pictures that neither training nor threshold had."""
    encoder, familiarity = load_encoder(str(folder / "clip"), device="cpu"), Familiarity.load(folder)
    assert familiarity is not None, f"{folder} has no familiarity: run the stage before"
    photos, _ = arriving_photos(garments, f"mini-card-familiar-{seed}", held_out=True)
    pictures = [picture for _, picture in other_pictures(others, f"mini-card-others-{seed}")]
    known = familiarity.knows(encoder.embed_images([*photos, *pictures]))
    return {
        "garments": garments,
        "garments_refused": round(1 - sum(known[:garments]) / garments, 4),
        "others": others,
        "others_refused": round(1 - sum(known[garments:]) / others, 4),
    }
