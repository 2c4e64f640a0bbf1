"""Catalogues: many renders with their labels, made in worker processes, that the models are trained on."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random

import numpy as np

from .garment import GROUPS, Garment, labels, sample_garment, sample_sibling, sample_twin
from .photo import another_photo, degrade, sample_photo
from .renderer import render
from .style import STYLES, again, placed
from .styled import render_styled

CHUNK = 500
COLUMNS = (*GROUPS, "degraded", "traits")  # of the label table


@dataclass
class RenderedCatalogue:
    """Renders with their labels: `pictures` uint8 [N, views, 64, 64, 3], `table` int8 [N, len(COLUMNS)].

    The table has label numbers, −1 where a group does not apply; `degraded` is 0 or 1 and `traits` a count.
    """

    pictures: np.ndarray
    table: np.ndarray

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index) -> RenderedCatalogue:
        return RenderedCatalogue(self.pictures[index], self.table[index])


def row(garment: Garment, degraded: bool = False) -> list[int]:
    """The garment's row of the table."""
    words = garment.attributes
    return [labels(g).index(words[g]) if g in words else -1 for g in GROUPS] + [
        int(degraded),
        len(garment.traits),
    ]


def words_of(table_row) -> dict[str, str]:
    """The attributes `{group: label}` of one row of the table, [len(COLUMNS)]."""
    return {g: labels(g)[i] for g, i in zip(GROUPS, table_row, strict=False) if i >= 0}


def _chunk(job: tuple) -> tuple[np.ndarray, np.ndarray]:
    seed, n, views, siblings, twin_share, trait_share, degraded_share, held_out, styles = job
    rng = Random(seed)
    pictures, table = np.empty((n, views, 64, 64, 3), np.uint8), np.empty((n, len(COLUMNS)), np.int8)
    garment = None
    for i in range(n):
        if siblings and garment and i % 2:
            sibling = sample_twin if twin_share and rng.random() < twin_share else sample_sibling
            garment = sibling(garment, rng, trait_share=trait_share)
        else:
            garment = sample_garment(rng, held_out=held_out, trait_share=trait_share)
        photo = sample_photo(rng)
        bad = rng.random() < degraded_share
        table[i] = row(garment, bad)
        family = rng.choice(styles) if styles else ""
        style = STYLES[family](rng) if family else None
        for view in range(views):
            picture = render_styled(garment, placed(photo, style, rng), style) if style else render(garment, photo)
            pictures[i, view] = np.asarray(degrade(picture, rng) if bad else picture)
            photo = another_photo(photo, rng)
            style = again(style, family, rng) if style else None
    return pictures, table


def make_catalogue(
    n: int,
    seed: str,
    *,
    views: int = 1,
    siblings: bool = False,
    twin_share: float = 0.0,
    trait_share: float = 0.25,
    degraded_share: float = 0.0,
    held_out: bool | None = False,
    styles: tuple[str, ...] = (),
    workers: int = 2,
) -> RenderedCatalogue:
    """A catalogue of `n` garments; the same seed gives the same one with any number of workers.

    With `siblings` each odd garment has the words of the one before, and a `twin_share` of these differ in nothing but
    the traits. With `styles` each garment is drawn in one of these families, else as the renderer does by itself.
    """
    jobs = [
        (f"{seed}:{k}", min(CHUNK, n - k), views, siblings, twin_share, trait_share, degraded_share, held_out, styles)
        for k in range(0, n, CHUNK)
    ]
    if workers < 2 or len(jobs) < 3:
        parts = [_chunk(job) for job in jobs]
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            parts = list(pool.map(_chunk, jobs))
    return RenderedCatalogue(np.concatenate([p for p, _ in parts]), np.concatenate([t for _, t in parts]))


def cached_catalogue(path: Path, n: int, seed: str, **how) -> RenderedCatalogue:
    """The catalogue from `path` (.npz, described by a .json beside it) if that holds it, else made and saved there."""
    what = {
        "n": n,
        "seed": seed,
        "columns": list(COLUMNS),
        **{k: list(v) if isinstance(v, tuple) else v for k, v in how.items() if k != "workers"},
    }
    note = path.with_suffix(".json")
    if note.exists() and json.loads(note.read_text()) == what:
        data = np.load(path)
        return RenderedCatalogue(data["pictures"], data["table"])
    catalogue = make_catalogue(n, seed, **how)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, pictures=catalogue.pictures, table=catalogue.table)
    note.write_text(json.dumps(what))
    return catalogue
