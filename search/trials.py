"""Trials, and what they say of the arms once the luck of the seeds is taken out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..core.errors import InputError


@dataclass(frozen=True)
class TrialKey:
    """One picture to draw: the arm (a strategy's name) on that seed."""

    arm: str
    seed: int


@dataclass(frozen=True)
class Trial:
    """One drawn picture's similarity; higher is better, any scale, but one scale within a search."""

    arm: str
    seed: int
    score: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.score):
            raise InputError(
                f"the score {self.score} of {self.arm!r} is not a finite number",
                where=f"seed {self.seed}",
                to_try="leave out pictures that could not be scored and draw them again",
            )

    @property
    def shot(self) -> TrialKey:
        """What was drawn."""
        return TrialKey(self.arm, self.seed)


@dataclass(frozen=True)
class Noise:
    """What is left when arm and seed are taken out of a score: `sd` of one picture, from `df` degrees of
    freedom."""

    sd: float
    df: int


@dataclass(frozen=True)
class PairedFit:
    """Arm means as if every arm had been drawn on every seed (`means`), pictures per arm (`n`), and the
    residual noise."""

    means: dict[str, float]
    n: dict[str, int]
    noise: Noise


def paired_fit(trials: Iterable[Trial]) -> PairedFit:
    """Least squares of score = arm + seed: the arms are compared on common seeds, whoever was drawn on fewer.

    With every arm on every seed these are the plain means. The additive two-way layout of Scheffé, "The
    Analysis of Variance" (1959), ch. 4.
    """
    import numpy as np

    trials = list(trials)
    arms, seeds = list(dict.fromkeys(t.arm for t in trials)), list(dict.fromkeys(t.seed for t in trials))
    if not trials:
        return PairedFit({}, {}, Noise(0.0, 0))
    scores = np.array([trial.score for trial in trials])
    arm_columns = {arm: index for index, arm in enumerate(arms)}
    seed_columns = {seed: len(arms) + index for index, seed in enumerate(seeds)}
    design = np.zeros((len(trials), len(arms) + len(seeds)))
    for row, trial in enumerate(trials):
        design[row, [arm_columns[trial.arm], seed_columns[trial.seed]]] = 1
    level = scores.mean()
    parts, _, rank, _ = np.linalg.lstsq(design, scores - level, rcond=None)
    residual = scores - level - design @ parts
    arm_parts, seed_parts = parts[: len(arms)], parts[len(arms) :]
    df = len(trials) - int(rank)
    return PairedFit(
        means={arm: float(level + part + seed_parts.mean()) for arm, part in zip(arms, arm_parts, strict=True)},
        n={arm: sum(trial.arm == arm for trial in trials) for arm in arms},
        noise=Noise(math.sqrt(float(residual @ residual) / df) if df else 0.0, df),
    )


def refuse_doubles(kind: str, names: Sequence[object]) -> None:
    """InputError when `names` is empty or holds one name twice."""
    if not names:
        raise InputError(f"a search needs at least one {kind}", to_try=f"pass a {kind}")
    doubles = sorted({str(name) for name in names if names.count(name) > 1})
    if doubles:
        raise InputError(f"{kind} given twice: {', '.join(doubles)}", to_try=f"pass each {kind} once")
