"""What earlier photos taught about the factors of a prompt: how much each brings, and how much that varies.

    gains(photo) = level + X β(photo) + own + noise / √pictures        β_f(photo) ~ N(μ_f, τ_f²)

Every photo that drew two arms which differ in a factor says something of it, whatever else these arms are: a strategy
that nobody has tried yet is known as far as its factors are. μ, τ and the arms' own spread by expectation
maximisation: Dempster, Laird & Rubin, JRSS B 39 (1977), §4.5; as a hierarchical normal model in Gelman et al.,
"Bayesian Data Analysis", 3rd ed., §5.4.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .arm_model import FactorPriors
from .priors import ArmPrior, PhotoResult

if TYPE_CHECKING:
    import numpy as np

STEPS = 15
LATEST = 200  # photos; more teach nothing new
PRIOR_PHOTOS = 2.0  # weight of what is believed before any photo, so that the first photos are not overtrusted
LEVEL = 1.0  # variance of a photo's own level: gains of one photo count by their differences
UNDRAWN = 1e6  # variance of an arm that the photo has no picture of

Factors = Mapping[str, Mapping[str, float]]  # arm → factor → amount


def learn_factor_priors(
    rows: Iterable[PhotoResult], factors: Factors, before: FactorPriors | None = None
) -> FactorPriors:
    """The priors after these photos, the latest last; `before` where none of them compared arms that `factors` knows.

    A factor's sd is what a *new* photo may differ by: τ and the uncertainty of μ. Photos pull it away from `before`
    as if that were PRIOR_PHOTOS photos itself.
    """
    import numpy as np

    before = before or FactorPriors()
    rows = [row for row in rows if sum(arm in factors for arm in row.gains) > 1][-LATEST:]
    if not rows:
        return before
    photos = _Photos.of(rows, factors, before)
    first_mean = np.array([before.of(name).mean for name in photos.names])
    first_variance = np.array([before.of(name).sd ** 2 for name in photos.names])
    mean, variance, own = first_mean, first_variance, before.own_sd**2
    count, drawn = photos.told.sum(0), photos.drawn
    for _ in range(STEPS):
        effect, spread, own_effect, own_spread = photos.posterior(mean, variance, own)
        mean = (PRIOR_PHOTOS * first_mean + (effect * photos.told).sum(0)) / (PRIOR_PHOTOS + count)
        about = (((effect - mean) ** 2 + spread) * photos.told).sum(0)
        variance = (PRIOR_PHOTOS * (first_variance + (first_mean - mean) ** 2) + about) / (PRIOR_PHOTOS + count)
        squares = float(((own_effect**2 + own_spread) * drawn).sum())
        own = (PRIOR_PHOTOS * before.own_sd**2 + squares) / (PRIOR_PHOTOS + drawn.sum())
    learned = {
        name: ArmPrior(mean=float(m), sd=math.sqrt(float(v) * (1 + 1 / (PRIOR_PHOTOS + seen))), n=int(seen))
        for name, m, v, seen in zip(photos.names, mean, variance, count, strict=True)
        if seen
    }
    update = {"factors": {**before.factors, **learned}, "own_sd": math.sqrt(float(own))}
    return before.model_copy(update=update)


@dataclass(frozen=True)
class _Photos:
    """Gains and pictures, both [photos, arms] and 0 where an arm was not drawn; `amounts` [arms, factors].

    `told` [photos, factors] marks the factors in which a photo's drawn arms differ: one that all of them have is part
    of the photo's level.
    """

    names: Sequence[str]
    amounts: np.ndarray
    gains: np.ndarray
    pictures: np.ndarray
    told: np.ndarray
    priors: FactorPriors

    @classmethod
    def of(cls, rows: Sequence[PhotoResult], factors: Factors, priors: FactorPriors) -> _Photos:
        import numpy as np

        arms = [arm for arm in factors if any(arm in row.gains for row in rows)]
        names = list(dict.fromkeys(name for arm in arms for name in factors[arm]))
        amounts = np.array([[float(factors[arm].get(name, 0.0)) for name in names] for arm in arms])
        amounts = amounts.reshape(len(arms), len(names))
        gains = np.array([[row.gains.get(arm, 0.0) for arm in arms] for row in rows])
        pictures = np.array([[float(row.pictures.get(arm, 0)) for arm in arms] for row in rows])
        told = np.array([np.ptp(amounts[row > 0], axis=0) > 0 for row in pictures])
        return cls(names, amounts, gains, pictures, told, priors)

    @property
    def drawn(self) -> np.ndarray:
        """[photos, arms]: whether the photo has pictures of the arm."""
        return self.pictures > 0

    def posterior(self, mean: np.ndarray, variance: np.ndarray, own: float) -> tuple[np.ndarray, ...]:
        """Mean and variance of each photo's factor effects [photos, factors], then of its arms' own [photos, arms]."""
        import numpy as np

        x, count = self.amounts, len(self.amounts)
        shared = (x * variance) @ x.T + own * np.eye(count)
        most = self.pictures.max(1)[:, None, None]
        noise = np.where(self.drawn, self.priors.noise_sd**2 / np.maximum(self.pictures, 1), UNDRAWN)
        total = shared * (1 + self.priors.together / most) + LEVEL + noise[:, :, None] * np.eye(count)
        inverse = np.linalg.inv(total)
        missed = np.einsum("pab,pb->pa", inverse, self.gains - x @ mean)
        pull = (x * variance).T  # [factors, arms]
        effect = mean + missed @ pull.T
        spread = variance - np.einsum("fa,pab,fb->pf", pull, inverse, pull)
        return effect, spread, own * missed, own - own**2 * np.einsum("paa->pa", inverse)
