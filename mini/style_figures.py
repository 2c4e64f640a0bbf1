"""How well tagger and judge see garments in styles that are not the renderer's own, each style by itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..fashion.calibration import Calibration
from ..fashion.encoders.load import load_image_encoder
from ..fashion.familiarity import Familiarity
from .calibration import pictures_of, tagger_of
from .catalogue import RenderedCatalogue, make_catalogue
from .garment import GROUPS, sample_garment
from .photo import sample_photo
from .reliability import expected_calibration_error, reliability
from .renderer import grid
from .style import HELD_OUT, STYLES, TRAINED, UNTOUCHED, placed
from .styled import render_styled

if TYPE_CHECKING:
    import torch

# On styles that nothing was trained on.
STYLE_GOALS = {
    "category": 0.85,
    "length": 0.85,
    "colour": 0.95,
    "pattern": 0.85,
    "sleeves": 0.85,
    "ece": 0.07,
    "others_refused": 0.95,
}
USES = {
    **dict.fromkeys(TRAINED, "trained on"),
    **dict.fromkeys(HELD_OUT, "held out"),
    **dict.fromkeys(UNTOUCHED, "untouched"),
}
SHEET = "mini-styles.png"  # beside the grid


def group_figures(
    logits: Mapping[str, torch.Tensor], table: np.ndarray, temperatures: Mapping[str, float]
) -> dict[str, dict]:
    """Accuracy, calibration error and temperature of each group, from logits [N, labels] and a catalogue's table."""
    import torch

    figures = {}
    for k, group in enumerate(GROUPS):
        rows = np.flatnonzero(table[:, k] >= 0)
        target = torch.from_numpy(table[rows, k].astype(np.int64))
        group_logits = logits[group][rows]
        bins = reliability((group_logits / temperatures[group]).softmax(1), target)
        figures[group] = {
            "accuracy": round(float((group_logits.argmax(1) == target).float().mean()), 4),
            "n": len(rows),
            "temperature": temperatures[group],
            "ece": round(expected_calibration_error(bins), 4),
            "reliability": bins,
        }
    return figures


def style_figures(folder: Path, temperatures: Mapping[str, float], seed: int, garments: int) -> dict[str, dict]:
    """Style → what it is used for, accuracy and calibration error in each group, the share refused as no garment.

    `second_photo_first`: how often the judge finds a garment's second photo before those of all others.
    """
    tagger, known = tagger_of(folder), Familiarity.load(folder)
    judge, anchors = load_image_encoder(str(folder / "judge"), device="cpu"), Calibration.bundled(folder, "judge")
    assert known is not None, f"{folder} has no familiarity: run the stage before"
    figures = {}
    for family, use in USES.items():
        shots = make_catalogue(
            garments,
            f"mini-card-{family}-{seed}",
            views=2,
            held_out=True,
            trait_share=0.4,
            styles=(family,),
            workers=1,
        )
        observed = tagger.observe(pictures_of(shots))
        groups = group_figures(tagger.logits(observed), shots.table, temperatures)
        embeds = tagger.encoder.embed_images(pictures_of(shots))
        figures[family] = {
            "use": use,
            **{group: figure["accuracy"] for group, figure in groups.items()},
            "ece": {group: figure["ece"] for group, figure in groups.items()},
            "refused": round(1 - sum(known.knows(embeds)) / garments, 4),
            "second_photo_first": _second_photo_first(judge, anchors, shots),
        }
    return figures


def _second_photo_first(judge, anchors: Calibration, shots: RenderedCatalogue) -> float:
    import torch

    first, second = (
        torch.nn.functional.normalize(
            judge.embed_images([Image.fromarray(picture) for picture in view]) - anchors.mean, dim=-1
        )
        for view in shots.pictures.swapaxes(0, 1)
    )
    nearest = (first @ second.T).argmax(1)
    return round(float((nearest == torch.arange(len(nearest))).float().mean()), 4)


def style_sheet(columns: int = 9) -> Image.Image:
    """A row of pictures of each style: the same garments from row to row."""
    cells = []
    for family, make in STYLES.items():
        for column in range(columns):
            rng = Random(f"mini-sheet-{family}-{column}")
            garment = sample_garment(Random(f"mini-sheet-{column}"), held_out=True, trait_share=0.3)
            style, photo = make(rng), sample_photo(Random(f"mini-sheet-photo-{column}"))
            cells.append(render_styled(garment, placed(photo, style, rng), style, 112))
    return grid(cells, columns, gap=4)


def style_table(figures: Mapping[str, dict]) -> str:
    """The figures in Markdown, a row a style; `calibration error` is the groups' mean."""
    heading = ("style", "use", *GROUPS, "calibration error", "refused", "second photo first")
    rows = [" | ".join(heading), " | ".join(["---"] * len(heading))]
    for family, figure in figures.items():
        errors = figure["ece"].values()
        shares = [f"{figure[group]:.2f}" for group in GROUPS]
        shares += [
            f"{sum(errors) / len(errors):.2f}",
            f"{figure['refused']:.2f}",
            f"{figure['second_photo_first']:.2f}",
        ]
        rows.append(" | ".join((family.replace("_", " "), figure["use"], *shares)))
    return "\n".join(f"| {row} |" for row in rows)
