"""The quality card: how good the embedded models are on renders and prompts that training never saw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..core.files import size_bytes
from ..fashion.calibration import Calibration
from ..fashion.encoders.load import load_encoder, load_image_encoder
from .autoencoder import decode, encode
from .calibration import pictures_of, tagger_of
from .captions import sentence, tag_list
from .catalogue import RenderedCatalogue, make_catalogue, words_of
from .classifier import agreement, examine
from .diffusion import draw
from .familiarity import familiarity_figures
from .garment import GROUPS
from .reliability import draw_reliability
from .renderer import grid
from .style_figures import SHEET, STYLE_GOALS, group_figures, style_figures, style_sheet, style_table
from .train_loop import as_tensor
from .weights import load_autoencoder, load_pipeline

if TYPE_CHECKING:
    from torch import nn

    from ..fashion.encoders.protocol import ImageEncoder

RELIABILITY = "mini-reliability.png"  # beside the grid
GOALS = {
    "tagger": {g: 0.98 for g in GROUPS},
    "generated": {"category": 0.95, "colour": 0.93, "pattern": 0.93},
    "styles": STYLE_GOALS,
}


def prompts_for(table: np.ndarray, seed: int = 0) -> list[str]:
    """A prompt with all attributes of each garment, in turn a sentence and a tag list."""
    rng = Random(f"mini-prompts-{seed}")
    return [
        f"a photo of {sentence(words_of(row))}" if i % 2 == 0 else tag_list(words_of(row), rng)
        for i, row in enumerate(table)
    ]


def tagger_figures(folder: Path, shots: RenderedCatalogue, temperatures: dict[str, float]) -> dict:
    """Accuracy, calibration error and temperature of the product's tagger in each group."""
    tagger = tagger_of(folder)
    return group_figures(tagger.logits(tagger.observe(pictures_of(shots))), shots.table, temperatures)


def reconstruction_figures(folder: Path, shots: RenderedCatalogue) -> dict:
    """L1 and PSNR of encode → decode."""
    vae = load_autoencoder(folder)
    x = as_tensor(shots.pictures[:, 0])
    error = decode(vae, encode(vae, shots.pictures[:, 0])) - x
    return {
        "l1": round(float(error.abs().mean()), 4),
        "range": 2,
        "psnr_db": round(float((10 * (4 / error.square().mean((1, 2, 3))).log10()).mean()), 2),
    }


def sibling_figures(folder: Path, seed: int, garments: int) -> dict:
    """How often encoder and judge find the second photo of a garment, among all and against its sibling.

    With the mean score of a sibling, which shares all words and not the look: what words alone can be worth.
    """
    pairs = make_catalogue(
        garments, f"mini-card-pairs-{seed}", views=2, siblings=True, held_out=True, trait_share=0.5, workers=1
    )
    photos = [[Image.fromarray(picture) for picture in view] for view in pairs.pictures.swapaxes(0, 1)]
    return {
        role: _told_apart(load(str(folder / role), device="cpu"), Calibration.bundled(folder, role), photos)
        for role, load in (("clip", load_encoder), ("judge", load_image_encoder))
    }


def _told_apart(encoder: ImageEncoder, anchors: Calibration, photos: Sequence[Sequence[Image.Image]]) -> dict:
    """The figures of one encoder; `photos` [2][N]: two views of N garments, siblings side by side."""
    import torch

    first, second = (
        torch.nn.functional.normalize(encoder.embed_images(view) - anchors.mean, dim=-1) for view in photos
    )
    cosine = first @ second.T
    index = torch.arange(len(cosine))
    same, sibling = cosine.diagonal(), cosine[index, index ^ 1]
    score = ((sibling - anchors.zero) / (anchors.hundred - anchors.zero)).clamp(0, 1)
    return {
        "nearest_first": round(float((cosine.argmax(1) == index).float().mean()), 4),
        "ahead_of_sibling": round(float((same > sibling).float().mean()), 4),
        "sibling_score": round(float(score.mean()), 4),
    }


def write_card(
    folder: Path,
    examiner: nn.Module,
    *,
    n: int = 1200,
    drawn: int = 400,
    seed: int = 0,
    picture: Path | None = None,
    card_folder: Path | None = None,
) -> dict:
    """Measures the models in `folder`; writes `card.json` and `CARD.md` into `card_folder`, the grid to `picture`."""
    shots = make_catalogue(n, f"mini-card-{seed}", held_out=True, workers=1)
    temperatures = json.loads((folder / "calibration.json").read_text())["temperatures"]
    prompted = make_catalogue(drawn, f"mini-asked-{seed}", held_out=True, trait_share=0, workers=1)
    drawings = draw(load_pipeline(folder), prompts_for(prompted.table), seed=1000 + seed)
    marks = agreement(examine(examiner, drawings), prompted.table)
    card = {
        "tagger": tagger_figures(folder, shots, temperatures),
        "reconstruction": reconstruction_figures(folder, shots),
        "examiner": {
            g: round(v, 4) for g, v in agreement(examine(examiner, shots.pictures[:, 0]), shots.table).items()
        },
        "generated": {
            **{g: round(v, 4) for g, v in marks.items()},
            "n": drawn,
            "sampler": "DPM++ 2M",
            "steps": 16,
            "cfg_scale": 4.5,
        },
        "siblings": sibling_figures(folder, seed, garments=n // 3),
        "familiarity": familiarity_figures(folder, seed, garments=n // 4, others=n // 3),
        "styles": style_figures(folder, temperatures, seed, garments=n // 4),
        "goals": GOALS,
        "size_bytes": size_bytes(folder),
    }
    if picture:
        picture.parent.mkdir(parents=True, exist_ok=True)
        contact_sheet(prompted.pictures[:, 0], drawings).quantize(256).save(picture, optimize=True)
        curves = {group: figures["reliability"] for group, figures in card["tagger"].items()}
        draw_reliability(curves).save(picture.with_name(RELIABILITY), optimize=True)
        style_sheet().quantize(256).save(picture.with_name(SHEET), optimize=True)
    card_folder = card_folder or folder.parent
    (card_folder / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    (card_folder / "CARD.md").write_text(as_markdown(card, n), encoding="utf-8")
    return card


def contact_sheet(renders: np.ndarray, drawings: np.ndarray, columns: int = 12, rows: int = 5) -> Image.Image:
    """A sheet of renders (odd rows) and, below each, the model's drawing from its words; uint8 [N, 64, 64, 3]."""
    cells = []
    for r in range(min(rows, len(renders) // columns)):
        for source in (renders, drawings):
            cells += [
                Image.fromarray(p).resize((112, 112), Image.Resampling.LANCZOS)
                for p in source[r * columns : (r + 1) * columns]
            ]
    return grid(cells, columns, gap=4)


def as_markdown(card: dict, n: int) -> str:
    """The text of `CARD.md`; `n`: the number of renders that the tagger was measured on."""
    tags = "\n".join(
        f"| {g} | {v['accuracy']:.3f} | {v['ece']:.3f} | {v['temperature']:.2f} | "
        f"{card['generated'].get(g, float('nan')):.3f} | {card['examiner'][g]:.3f} |"
        for g, v in card["tagger"].items()
    )
    (clip, judge), rec, gen = card["siblings"].values(), card["reconstruction"], card["generated"]
    known = card["familiarity"]
    return f"""# The embedded models' quality card

Written by `python -m modiste.mini.build --stage card`. Every picture and prompt here uses
(category, colour, pattern) triples that no training picture had.

| group | tagger accuracy | calibration error | temperature | drawings as asked | examiner on renders |
|---|---|---|---|---|---|
{tags}

- **Tagger** (`weights/clip`): the product's own tagger over the vocabulary, {n} renders.
- **Drawings** (`weights/sd`): {gen["n"]} prompts, half sentences, half tag lists; {gen["sampler"]},
  {gen["steps"]} steps, cfg {gen["cfg_scale"]}; marked by the *examiner*, a supervised classifier of renders
  that is neither the tagger nor shipped. Its own accuracy on unseen renders is the last column.
- **Reconstruction** (`weights/sd/vae`): L1 {rec["l1"]:.3f} of a range of 2, PSNR {rec["psnr_db"]:.1f} dB.
- **Second photos** of {n // 3} garments, half of which have a trait without a word: the judge (`weights/judge`) finds
  the right one first in {judge["nearest_first"]:.1%}, the tagger's encoder in {clip["nearest_first"]:.1%}. Against the
  *sibling*, a garment that shares every word, they are right in {judge["ahead_of_sibling"]:.1%} and
  {clip["ahead_of_sibling"]:.1%}.
- **What words can be worth**: a sibling's mean score is {100 * clip["sibling_score"]:.0f} of 100 for the tagger's
  encoder and {100 * judge["sibling_score"]:.0f} for the judge. A prompt that says everything right gets about that;
  what is beyond is for the training route.
- **Other pictures**: {known["others_refused"]:.1%} of {known["others"]} drawn texts, faces, objects, landscapes, noise
  and blanks are refused as no garment that the encoder knows; of kinds of pictures that it was given no example of
  {known["new_kinds_refused"]:.1%}. Of {known["garments"]} unseen garments, half of them in other styles,
  {known["garments_refused"]:.1%} are refused; of as many in the renderer's own style {known["own_style_refused"]:.1%}.
- **Size**: {card["size_bytes"] / 1e6:.1f} MB, fp16.

Tagger and judge on {n // 4} garments in each of nine styles: share of right tags, calibration error (mean of the
groups), share refused as no garment that the encoder knows, and how often the judge finds a garment's second photo
before those of all others. Nothing was trained on pictures in styles that are *held out*; *untouched* ones did not even
choose between models. The image model draws in its own style alone.

{style_table(card["styles"])}

{_goals_missed(card["styles"], known)}

![a row of each style](../docs/img/mini-styles.png)

Odd rows are renders; the row below each is what the model drew from the render's words.

![renders and drawings](../docs/img/mini-card.png)

Is the tagger right as often as it says? On the line it is; a dot's area is its share of the answers.

![confidence against accuracy in each group](../docs/img/mini-reliability.png)
"""


def _goals_missed(styles: dict, known: dict) -> str:
    """Which of STYLE_GOALS the styles that nothing was trained on do not reach, and other pictures of new kinds."""
    refused = known["new_kinds_refused"]
    missed = [f"other pictures refused {refused:.2f} (new kinds)"] * (refused < STYLE_GOALS["others_refused"])
    for family, figures in styles.items():
        if figures["use"] == "trained on":
            continue
        short = [f"{g} {figures[g]:.2f}" for g in GROUPS if figures[g] < STYLE_GOALS.get(g, 0)]
        worst = max(figures["ece"].values())
        short += [f"calibration error up to {worst:.2f}"] * (worst > STYLE_GOALS["ece"])
        missed += [f"*{family}* {', '.join(short)}"] * bool(short)
    names = {"ece": "calibration error of each group at most", "others_refused": "other pictures refused"}
    goal = ", ".join(f"{names.get(name, name)} {value:g}" for name, value in STYLE_GOALS.items())
    return f"Goals on styles that nothing was trained on: {goal}. Not reached: {'; '.join(missed) or 'none'}."
