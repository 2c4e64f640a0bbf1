"""Measures which photos the embedded encoder knows, on garments of many sizes, sharp or not, as JPEG or not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from io import BytesIO
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from PIL import Image

from ..fashion.encoders.load import load_encoder
from ..fashion.familiarity import Familiarity
from .garment import labels, sample_garment
from .other_pictures import KINDS, other_pictures
from .photo import degrade, sample_photo
from .renderer import render
from .style import DRAWN, STYLES, placed
from .styled import render_styled

if TYPE_CHECKING:
    import torch

    from ..fashion.encoders.protocol import Encoder

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
        if styles and rng.random() < STYLED_SHARE:
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


def pictures_without_garment(count: int, seed: str, kinds: Collection[str] = KINDS) -> list[Image.Image]:
    """Other pictures of these kinds, out of `count` of all kinds."""
    return [picture for kind, picture in other_pictures(count, seed) if kind in kinds]


def measure_familiarity(folder: Path, count: int, seed: int) -> Familiarity:
    """Writes `familiarity.safetensors` into `folder`, from `count` photos and as many other pictures."""
    import torch

    encoder = load_encoder(str(folder / "clip"), device="cpu")
    photos, categories = arriving_photos(count, f"mini-familiar-{seed}", held_out=False)
    held_out, _ = arriving_photos(count // 3, f"mini-familiar-threshold-{seed}", held_out=True)
    others = encoder.embed_images(pictures_without_garment(count, f"mini-other-{seed}"))
    embeds, unseen = encoder.embed_images(photos), encoder.embed_images(held_out)
    familiarity = Familiarity.measured(embeds, torch.tensor(categories), unseen, others)
    familiarity.save(folder)
    return familiarity


def familiarity_figures(folder: Path, seed: int, garments: int, others: int) -> dict[str, float]:
    """Shares of what is refused: of garments and other pictures that neither training nor threshold had.

    `new_kinds_refused`: of kinds of other pictures that the regression had no example of; a sixth of them in turn.
    """
    encoder, familiarity = load_encoder(str(folder / "clip"), device="cpu"), Familiarity.load(folder)
    assert familiarity is not None, f"{folder} has no familiarity: run the stage before"
    photos, _ = arriving_photos(garments, f"mini-card-familiar-{seed}", held_out=True)
    own, _ = arriving_photos(garments, f"mini-card-own-{seed}", held_out=True, styles=())
    pictures = encoder.embed_images(pictures_without_garment(others, f"mini-card-others-{seed}"))
    return {
        "garments": garments,
        "garments_refused": _refused(familiarity, encoder.embed_images(photos)),
        "own_style_refused": _refused(familiarity, encoder.embed_images(own)),
        "others": others,
        "others_refused": _refused(familiarity, pictures),
        "new_kinds_refused": _new_kinds_refused(encoder, seed, others),
    }


def _refused(familiarity: Familiarity, embeds: torch.Tensor) -> float:
    known = familiarity.knows(embeds)
    return round(1 - sum(known) / len(known), 4)


def _new_kinds_refused(encoder: Encoder, seed: int, count: int, parts: int = 6) -> float:
    import torch

    photos, categories = arriving_photos(2 * count, f"mini-card-kinds-{seed}", held_out=False)
    embeds, numbers, refused = encoder.embed_images(photos), torch.tensor(categories), 0
    held_out = encoder.embed_images(arriving_photos(count, f"mini-card-kinds-threshold-{seed}", held_out=True)[0])
    for part in range(parts):
        new = list(KINDS)[part::parts]
        examples = pictures_without_garment(2 * count, f"mini-card-kinds-{seed}", set(KINDS) - {*new})
        without = Familiarity.measured(embeds, numbers, held_out, encoder.embed_images(examples))
        strangers = pictures_without_garment(count, f"mini-card-others-{seed}", new)
        refused += len(strangers) - sum(without.knows(encoder.embed_images(strangers)))
    return round(refused / count, 4)
