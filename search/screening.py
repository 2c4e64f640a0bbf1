"""Plackett–Burman screening: what each attribute of a prompt costs or brings, from a dozen images.

Every image tests every attribute: half of the attributes stand in its prompt, and over the design each is in
and out equally often, whatever the others do. One attribute at a time would need as many images for each of
them. Plackett & Burman, "The Design of Optimum Multifactorial Experiments" (Biometrika 33, 1946).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.errors import InputError
from .trials import Noise, refuse_doubles

if TYPE_CHECKING:
    import numpy as np

# First rows of the cyclic designs, by their number of runs; they hold one factor less.
GENERATORS = {
    8: "+++-+--",
    12: "++-+++---+-",
    20: "++--++++-+-+----++-",
    24: "+++++-+-++--++--+-+----",
}
LARGEST = max(GENERATORS) - 1  # factors


def plackett_burman(runs: int) -> tuple[tuple[int, ...], ...]:
    """The design of 8, 12, 20 or 24 runs as rows of +1 and −1; orthogonal columns, the first row all +1."""
    if runs not in GENERATORS:
        raise InputError(
            f"no Plackett–Burman design of {runs} runs is kept", to_try=f"choose one of {list(GENERATORS)}"
        )
    # Negated against the paper, so that the row of equal signs is "everything in": the tagger's own prompt.
    first = [-1 if sign == "+" else 1 for sign in GENERATORS[runs]]
    cycle = tuple(tuple(first[(column - row) % len(first)] for column in range(len(first))) for row in range(runs - 1))
    return ((1,) * (runs - 1), *cycle)


@dataclass(frozen=True)
class DesignRow:
    """One image of a screening: the factors that are `on` in its prompt, drawn on `seed`."""

    on: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Design:
    """`factors` and the images that tell them apart; runs on one seed form a block."""

    factors: tuple[str, ...]
    runs: tuple[DesignRow, ...]


def screening_design(factors: Sequence[str], budget: int, seeds: Sequence[int]) -> Design:
    """The largest balanced design within `budget` images: a Plackett–Burman block, its foldover, the block
    again …

    One seed a block, which cancels the seed's luck. The foldover (all signs turned) takes the pairs of
    attributes that work together out of the single attributes' effects. InputError where not even one block
    fits.
    """
    refuse_doubles("factor", factors)
    refuse_doubles("seed", seeds)
    if len(factors) > LARGEST:
        raise InputError(f"{len(factors)} factors are too many to screen", to_try=f"keep the {LARGEST} most certain")
    size = next(runs for runs in GENERATORS if runs > len(factors))
    blocks = min(budget // size, len(seeds))
    if blocks < 1:
        raise InputError(
            f"{budget} images can't screen {len(factors)} factors",
            to_try=f"give {size} images or more, or fewer factors",
        )
    matrix = plackett_burman(size)
    runs = []
    for block in range(blocks):
        wanted = -1 if block % 2 else 1
        for row in matrix:
            on = tuple(factor for factor, sign in zip(factors, row, strict=False) if sign == wanted)
            runs.append(DesignRow(on, seeds[block]))
    return Design(tuple(factors), tuple(runs))


@dataclass(frozen=True)
class Effects:
    """`effect` of each factor, its being in minus its being out, each with standard error `se` on `df`."""

    effect: Mapping[str, float]
    se: float
    df: float


def effects(design: Design, responses: Sequence[float], noise: Noise | None = None) -> Effects:
    """Main effects from the scores of the design's runs, in their order; the blocks' levels are taken out.

    The error comes from the residuals together with `noise` (of one picture, e.g. the halving's). A design
    that has neither, as a single block of 12 with 11 factors, is judged by its own small effects: Lenth,
    "Quick and Easy Analysis of Unreplicated Factorials" (Technometrics 31, 1989).
    """
    import numpy as np

    if len(responses) != len(design.runs):
        raise InputError(f"{len(responses)} scores for {len(design.runs)} runs", to_try="score every run once")
    scores = np.asarray(responses, dtype=float)
    if not np.isfinite(scores).all():
        raise InputError("a screening score is not a finite number", to_try="draw that picture again")
    seeds = sorted({run.seed for run in design.runs})
    signs = np.array([[0.5 if factor in run.on else -0.5 for factor in design.factors] for run in design.runs])
    blocks = np.array([[float(run.seed == seed) for seed in seeds] for run in design.runs])
    matrix = np.hstack([signs, blocks])
    solution, _, rank, _ = np.linalg.lstsq(matrix, scores, rcond=None)
    found = solution[: len(design.factors)]
    residual = scores - matrix @ solution
    squares, df = float(residual @ residual), len(scores) - int(rank)
    if noise is not None and noise.df > 0:
        squares, df = squares + noise.df * noise.sd**2, df + noise.df
    each = 2 / math.sqrt(len(scores))  # of a balanced effect, in pictures' sd
    if df > 0:
        se, error_df = each * math.sqrt(squares / df), float(df)
    else:
        se, error_df = _lenth(np.abs(found)), len(found) / 3
    return Effects(dict(zip(design.factors, map(float, found), strict=True)), se, error_df)


def _lenth(sizes: np.ndarray) -> float:
    """Lenth's pseudo standard error of effects by their absolute `sizes` [effects]."""
    import numpy as np

    rough = 1.5 * np.median(sizes)
    small = sizes[sizes < 2.5 * rough]
    return float(1.5 * np.median(small)) if small.size else float(rough)
