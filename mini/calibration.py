"""Measures the anchors of the score and the temperatures of the confidences on renders that training never had."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..fashion.encoders.load import load_encoder
from ..fashion.tagger import Tagger
from ..fashion.taxonomy import load_taxonomy
from ..fashion.temperatures import fitted_temperature
from . import clip, judge
from .catalogue import COLUMNS, RenderedCatalogue, make_catalogue
from .garment import GROUPS
from .style import DRAWN
from .weights import load_clip, load_judge

if TYPE_CHECKING:
    import torch


def anchors(embeds: torch.Tensor, category: np.ndarray) -> tuple[torch.Tensor, dict]:
    """The mean [D] and three median cosines, from unit vectors [N, 2, D] of two photos of each of N garments.

    `unrelated`: of different categories; `same_category`: different garments of one; `same_garment`: a second
    photo. The medians are taken after centring by the mean and renormalising; under `raw`, before.
    """
    import torch

    mean = embeds[:, 0].mean(0)
    different = torch.triu(torch.ones(len(embeds), len(embeds), dtype=torch.bool), 1)
    related = torch.from_numpy(category[:, None] == category[None])

    def medians(x: torch.Tensor) -> dict:
        first, second = torch.nn.functional.normalize(x, dim=-1).unbind(1)
        cosine = first @ first.T
        return {
            "unrelated": round(float(cosine[different & ~related].median()), 4),
            "same_category": round(float(cosine[different & related].median()), 4),
            "same_garment": round(float((first * second).sum(-1).median()), 4),
        }

    return mean, {
        **medians(embeds - mean),
        "raw": medians(embeds),
        "pairs": int(different.sum()),
        "dim": embeds.shape[-1],
    }


def temperature(logits: torch.Tensor, target: torch.Tensor) -> float:
    """The T in 0.2…20 with the least negative log-likelihood of softmax(logits / T); logits [N, labels], target [N]."""
    return fitted_temperature(logits, target.tolist())


def pictures_of(shots: RenderedCatalogue) -> list[Image.Image]:
    """The first photo of each garment."""
    return [Image.fromarray(pixels) for pixels in shots.pictures[:, 0]]


def tagger_of(folder: Path, temperatures: dict[str, float] | None = None) -> Tagger:
    """The product's own tagger on the encoder in `folder`."""
    return Tagger(load_encoder(str(folder / "clip"), device="cpu"), load_taxonomy("mini"), temperatures)


def calibrate(folder: Path, n: int = 400, seed: int = 0) -> dict:
    """Measures on held-out renders and writes `calibration.json` and `calibration.safetensors` into `folder`."""
    from safetensors.torch import save_file

    (clip_model, _), judge_model = load_clip(folder), load_judge(folder)
    shots = make_catalogue(n, f"mini-calibration-{seed}", views=2, held_out=None, trait_share=0.3, workers=1)
    category = shots.table[:, COLUMNS.index("category")]
    report, means = {}, {}
    for name, embed, encoder in (("clip", clip.embed_images, clip_model), ("judge", judge.embed, judge_model)):
        embeds = embed(encoder, shots.pictures.reshape(-1, 64, 64, 3)).reshape(n, 2, -1)
        means[f"{name}.mean"], report[name] = anchors(embeds, category)
        report[name]["encoder"] = f"mini/weights/{name}"
    fresh = make_catalogue(2 * n, f"mini-temperature-{seed}", held_out=True, workers=1)
    styled = make_catalogue(2 * n, f"mini-temperature-styles-{seed}", held_out=True, styles=DRAWN, workers=1)
    report["temperatures"] = temperatures(tagger_of(folder), [fresh, styled])
    save_file(means, folder / "calibration.safetensors")
    (folder / "calibration.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def temperatures(tagger: Tagger, held_out: Sequence[RenderedCatalogue]) -> dict[str, float]:
    """Each group → its temperature, fitted on all of `held_out` together: one that holds whatever style arrives."""
    import torch

    pictures, out = [picture for shots in held_out for picture in pictures_of(shots)], {}
    logits, table = tagger.logits(tagger.observe(pictures)), np.concatenate([shots.table for shots in held_out])
    for k, group in enumerate(GROUPS):
        rows = np.flatnonzero(table[:, k] >= 0)
        target = torch.from_numpy(table[rows, k].astype(np.int64))
        out[group] = temperature(logits[group][rows], target)
    return out
