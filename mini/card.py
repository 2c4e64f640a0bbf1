"""The quality card: how good the embedded models are on renders and prompts that training never saw."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from . import judge as judge_room
from .autoencoder import decode, encode
from .calibration import expected_calibration_error, pictures_of, tagger_of
from .captions import sentence, tag_list
from .catalogue import Catalogue, make_catalogue, words_of
from .diffusion import draw
from .examiner import agreement, examine
from .garment import GROUPS
from .loop import as_tensor
from .renderer import grid
from .weights import load_autoencoder, load_judge, load_pipeline, size_bytes

GOALS = {
    "tagger": {g: 0.98 for g in GROUPS},
    "generated": {"category": 0.95, "colour": 0.93, "pattern": 0.93},
}


def prompts_for(table: np.ndarray, seed: int = 0) -> list[str]:
    """All that is true of each garment, as a sentence or (every second one) as a tag list."""
    rng = Random(f"mini-prompts-{seed}")
    return [
        f"a photo of {sentence(words_of(row))}" if i % 2 == 0 else tag_list(words_of(row), rng)
        for i, row in enumerate(table)
    ]


def tagger_figures(folder: Path, shots: Catalogue, temperatures: dict[str, float]) -> dict:
    """Accuracy, calibration error and temperature of the product's tagger in each group."""
    import torch

    tagger, out = tagger_of(folder), {}
    logits = tagger.logits(tagger.observe(pictures_of(shots)))
    for k, group in enumerate(GROUPS):
        rows = np.flatnonzero(shots.table[:, k] >= 0)
        target = torch.from_numpy(shots.table[rows, k].astype(np.int64))
        found = logits[group][rows]
        out[group] = {
            "accuracy": round(float((found.argmax(1) == target).float().mean()), 4),
            "n": len(rows),
            "temperature": temperatures[group],
            "ece": round(expected_calibration_error((found / temperatures[group]).softmax(1), target), 4),
        }
    return out


def reconstruction_figures(folder: Path, shots: Catalogue) -> dict:
    """L1 and PSNR of encode → decode."""
    vae = load_autoencoder(folder)
    x = as_tensor(shots.pictures[:, 0])
    error = decode(vae, encode(vae, shots.pictures[:, 0])) - x
    return {
        "l1": round(float(error.abs().mean()), 4),
        "range": 2,
        "psnr_db": round(float((10 * (4 / error.square().mean((1, 2, 3))).log10()).mean()), 2),
    }


def judge_figures(folder: Path, seed: int) -> dict:
    """How often a second photo is nearest: among all, and against the sibling with the same words."""
    import torch

    pairs = make_catalogue(
        400, f"mini-card-pairs-{seed}", views=2, siblings=True, held_out=True, trait_share=0.5, workers=1
    )
    embeds = judge_room.embed(load_judge(folder), pairs.pictures.reshape(-1, 64, 64, 3)).reshape(400, 2, -1)
    cosine = embeds[:, 0] @ embeds[:, 1].T
    own = cosine.diagonal()
    sibling = cosine.view(200, 2, 200, 2).diagonal(dim1=0, dim2=2)  # [2, 2, 200]
    ahead = (own.view(200, 2).T[:, None] > sibling).permute(2, 0, 1)
    return {
        "nearest_of_400": round(float((cosine.argmax(1) == torch.arange(400)).float().mean()), 4),
        "ahead_of_sibling": round(float((ahead[:, 0, 1].float().mean() + ahead[:, 1, 0].float().mean()) / 2), 4),
    }


def write_card(
    folder: Path,
    examiner,
    *,
    n: int = 1200,
    drawn: int = 400,
    seed: int = 0,
    picture: Path | None = None,
    card_folder: Path | None = None,
) -> dict:
    """Measure all in `folder`; write `card.json` and `CARD.md` into `card_folder`, the grid to `picture`."""
    shots = make_catalogue(n, f"mini-card-{seed}", held_out=True, workers=1)
    temperatures = json.loads((folder / "calibration.json").read_text())["temperatures"]
    asked = make_catalogue(drawn, f"mini-asked-{seed}", held_out=True, trait_share=0, workers=1)
    drawings = draw(load_pipeline(folder), prompts_for(asked.table), seed=1000 + seed)
    marks = agreement(examine(examiner, drawings), asked.table)
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
        "judge": judge_figures(folder, seed),
        "goals": GOALS,
        "size_bytes": size_bytes(folder),
    }
    if picture:
        picture.parent.mkdir(parents=True, exist_ok=True)
        contact_sheet(asked.pictures[:, 0], drawings).save(picture, optimize=True)
    card_folder = card_folder or folder.parent
    (card_folder / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    (card_folder / "CARD.md").write_text(as_markdown(card, n), encoding="utf-8")
    return card


def contact_sheet(renders: np.ndarray, drawings: np.ndarray, columns: int = 12, rows: int = 5) -> Image.Image:
    """Odd rows: renders. The row below each: what the model drew from the render's words."""
    cells = []
    for r in range(min(rows, len(renders) // columns)):
        for source in (renders, drawings):
            cells += [
                Image.fromarray(p).resize((112, 112), Image.Resampling.LANCZOS)
                for p in source[r * columns : (r + 1) * columns]
            ]
    return grid(cells, columns, gap=4)


def as_markdown(card: dict, n: int) -> str:
    """`CARD.md`."""
    tags = "\n".join(
        f"| {g} | {v['accuracy']:.3f} | {v['ece']:.3f} | {v['temperature']:.2f} | "
        f"{card['generated'].get(g, float('nan')):.3f} | {card['examiner'][g]:.3f} |"
        for g, v in card["tagger"].items()
    )
    judge, rec, gen = card["judge"], card["reconstruction"], card["generated"]
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
- **Judge** (`weights/judge`): a second photo is the nearest of 400 in {judge["nearest_of_400"]:.1%},
  and nearer than the sibling with the same words in {judge["ahead_of_sibling"]:.1%}.
- **Size**: {card["size_bytes"] / 1e6:.1f} MB, fp16.

Odd rows are renders; the row below each is what the model drew from the render's words.

![renders and drawings](../docs/img/mini-card.png)
"""
