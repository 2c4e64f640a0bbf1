"""What earlier photos taught about the strategies, so that later photos need fewer images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from .trials import Trial, paired_fit

LEAST_PHOTO_SHARE = 0.1  # of the spread within a cell: photos always differ, whatever the moments say
SMALLEST_SD = 1e-6
BACKFITS = 20


class ArmPrior(BaseModel):
    """What a new photo's gain by this arm should be: `mean` ± `sd`, on the scores' scale, learned from `n`
    photos."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: float
    sd: float = Field(gt=0)
    n: int = Field(default=0, ge=0)


def complete(arms: Sequence[str], priors: Mapping[str, ArmPrior]) -> dict[str, ArmPrior]:
    """A prior for each arm: an unknown one is average, and as uncertain as the known ones and their spread."""
    known = list(priors.values())
    average = _mean(prior.mean for prior in known)
    spread = math.sqrt(_mean((prior.mean - average) ** 2 for prior in known))
    unknown = ArmPrior(mean=average, sd=math.hypot(max(prior.sd for prior in known), spread))
    return {arm: priors.get(arm, unknown) for arm in arms}


class PhotoResult(BaseModel):
    """One photo of the journal, as the priors learn from it: each strategy's score above the photo's own
    level.

    `gains` share an unknown level, so that only their differences count; a gain's error is
    `noise_sd`/√`pictures`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    photo: str
    category: str
    checkpoint: str
    gains: dict[str, float]
    pictures: dict[str, int]
    noise_sd: float = Field(default=0.0, ge=0)
    noise_df: int = Field(default=0, ge=0)  # 0: the noise of this photo is not known

    @classmethod
    def from_trials(cls, photo: str, category: str, checkpoint: str, trials: Iterable[Trial]) -> PhotoResult:
        """The result of a photo's search; arms drawn on fewer seeds are compared as if on all."""
        fit = paired_fit(trials)
        level = _mean(fit.means.values()) if fit.means else 0.0
        return cls(
            photo=photo,
            category=category,
            checkpoint=checkpoint,
            gains={arm: mean - level for arm, mean in fit.means.items()},
            pictures=fit.n,
            noise_sd=fit.noise.sd,
            noise_df=fit.noise.df,
        )


class Priors(BaseModel):
    """What all photos taught: a prior for each strategy, and sharper ones where a category was seen
    before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategies: dict[str, ArmPrior] = {}
    cells: dict[str, dict[str, dict[str, ArmPrior]]] = {}  # checkpoint → category → strategy
    noise_sd: float = 0.0  # of one picture

    def for_photo(self, category: str, checkpoint: str) -> dict[str, ArmPrior]:
        """The prior of each known strategy for a new photo; empty where nothing was learned."""
        return {**self.strategies, **self.cells.get(checkpoint, {}).get(category, {})}


def learn_priors(rows: Iterable[PhotoResult]) -> Priors:
    """Learns from earlier photos: category × checkpoint × strategy, shrunk to the strategy, shrunk to all
    strategies.

        score = photo's level + strategy + (strategy in this cell) + (strategy on this photo) + noise
                                  τ_strategy²       τ_cell²                τ_photo²             σ²/pictures

    The variances by the method of moments (Searle, Casella & McCulloch, "Variance Components", 1992, ch. 3).
    A prior's sd is what a *new* photo may differ by: τ_photo and the uncertainty of the mean. Empty until two
    photos share a cell: before that nothing is known of how photos differ.
    """
    rows = [row for row in rows if row.gains]  # a photo with a single way to write it had nothing to compare
    values, noise = _without_levels(rows), _pooled_noise(rows)
    pictures = {(row.photo, arm): count for row in rows for arm, count in row.pictures.items()}
    cells: dict[tuple[str, str, str], list[tuple[float, int]]] = {}
    for row in rows:
        for arm in row.gains:
            place = (row.checkpoint, row.category, arm)
            cells.setdefault(place, []).append((values[row.photo, arm], pictures[row.photo, arm]))

    freedom = sum(len(found) - 1 for found in cells.values())
    if freedom < 1:
        return Priors(noise_sd=noise)
    means = {place: _mean(value for value, _ in found) for place, found in cells.items()}
    own_levels = len(values) / max(1, len(values) - len(rows))  # each photo's level took one degree of freedom
    squares = sum((value - means[place]) ** 2 for place, found in cells.items() for value, _ in found)
    within = own_levels * squares / freedom
    images = _mean(1 / count for count in pictures.values())
    tau2_photo = max(LEAST_PHOTO_SHARE * within, within - noise**2 * images)
    error2 = {place: (tau2_photo + noise**2 * images) / len(found) for place, found in cells.items()}

    arms: dict[str, list[tuple[str, str, str]]] = {}
    for place in cells:
        arms.setdefault(place[2], []).append(place)
    middle = {arm: _mean(means[place] for place in places) for arm, places in arms.items()}
    extra = sum(len(places) - 1 for places in arms.values())
    spread = sum((means[place] - middle[place[2]]) ** 2 for place in cells)
    # One cell tells of no other: then another may differ as much as everything within this one does.
    tau2_cell = max(0.0, spread / extra - _mean(error2.values())) if extra else within
    arm_error2 = {
        arm: (tau2_cell * (extra > 0) + _mean(error2[place] for place in places)) / len(places)
        for arm, places in arms.items()
    }
    overall = _mean(middle.values())
    between = sum((mean - overall) ** 2 for mean in middle.values()) / max(1, len(middle) - 1)
    tau2_arm = max(0.0, between - _mean(arm_error2.values()))

    strategies: dict[str, ArmPrior] = {}
    learned: dict[str, dict[str, dict[str, ArmPrior]]] = {}
    for arm, places in arms.items():
        mean, variance = _combine(middle[arm], arm_error2[arm], overall, tau2_arm, 0.0)
        seen = sum(len(cells[place]) for place in places)
        strategies[arm] = ArmPrior(mean=mean, sd=_sd(tau2_photo + tau2_cell + variance), n=seen)
        for place in places:
            own, own_variance = _combine(means[place], error2[place], mean, tau2_cell, variance)
            prior = ArmPrior(mean=own, sd=_sd(tau2_photo + own_variance), n=len(cells[place]))
            learned.setdefault(place[0], {}).setdefault(place[1], {})[arm] = prior
    return Priors(strategies=strategies, cells=learned, noise_sd=noise)


def _combine(value: float, error2: float, above: float, tau2: float, above_variance: float) -> tuple[float, float]:
    """A mean shrunk to the one `above` it, which is uncertain itself: posterior mean and variance."""
    kept = tau2 / (tau2 + error2) if tau2 else 0.0
    return above + kept * (value - above), kept * error2 + (1 - kept) ** 2 * above_variance


def _without_levels(rows: Sequence[PhotoResult]) -> dict[tuple[str, str], float]:
    """(photo, strategy) → score with the photo's level taken out, by alternating means (backfitting)."""
    strategy = {arm: 0.0 for row in rows for arm in row.gains}
    for _ in range(BACKFITS):
        level = {row.photo: _mean(gain - strategy[arm] for arm, gain in row.gains.items()) for row in rows}
        sums = dict.fromkeys(strategy, 0.0)
        counts = dict.fromkeys(strategy, 0)
        for row in rows:
            for arm, gain in row.gains.items():
                sums[arm] += gain - level[row.photo]
                counts[arm] += 1
        strategy = {arm: sums[arm] / counts[arm] for arm in strategy}
        centre = _mean(strategy.values()) if strategy else 0.0
        strategy = {arm: value - centre for arm, value in strategy.items()}
    return {
        (row.photo, arm): gain - _mean(g - strategy[a] for a, g in row.gains.items())
        for row in rows
        for arm, gain in row.gains.items()
    }


def _pooled_noise(rows: Sequence[PhotoResult]) -> float:
    df = sum(row.noise_df for row in rows)
    return math.sqrt(sum(row.noise_df * row.noise_sd**2 for row in rows) / df) if df else 0.0


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return math.fsum(values) / len(values)


def _sd(variance: float) -> float:
    return max(math.sqrt(variance), SMALLEST_SD)
