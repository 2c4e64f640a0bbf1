"""Empirical-Bayes shrinkage of attribute effects: a dozen noisy figures are read together, not one by one.

    effect_j ~ N(θ_j, se²)        what the images say
    θ_j      ~ N(μ, τ²)           what attributes are like: learned over earlier photos, or from these effects

Efron & Morris, "Data Analysis Using Stein's Estimator and its Generalizations" (JASA 70, 1975); τ is averaged
over instead of fixed where it is not known, because among a dozen effects its best estimate is often 0, and
with it every interval would have no width (Gelman et al., "Bayesian Data Analysis", 3rd ed., §5.4).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from .screening import Effects
from .student_t import student_quantile

if TYPE_CHECKING:
    import numpy as np

STEPS = 60  # of τ


class EffectPrior(BaseModel):
    """What an attribute's effect should be: `mean` ± `sd`, from `n` effects of earlier photos."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: float
    sd: float = Field(ge=0)
    n: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class AttributeEffect:
    """What one attribute brings (+) or costs (−) when it stands in the prompt, on the scores' scale.

    `mean` ± `sd` and the interval are shrunk; `raw` is what the images alone said.
    """

    attribute: str
    mean: float
    sd: float
    low: float
    high: float
    raw: float
    standing: Literal["brings", "costs", "unclear"]


def shrink(found: Effects, prior: EffectPrior | None = None, confidence: float = 0.95) -> tuple[AttributeEffect, ...]:
    """The posterior of each attribute's effect, in the factors' order.

    With `prior` the two are combined by their precision; without, μ and τ are estimated from the effects
    themselves, flat a priori.
    """
    import numpy as np

    raw = np.array(list(found.effect.values()))
    if found.se <= 0:  # scores without noise: nothing to shrink
        mean, sd = raw, np.zeros(len(raw))
    elif prior is not None:
        mean, sd = _combined(raw, found.se, prior)
    else:
        mean, sd = _averaged(raw, found.se)
    t = student_quantile((1 + confidence) / 2, found.df)
    return tuple(
        _attribute(name, float(m), float(s), t, float(r))
        for name, m, s, r in zip(found.effect, mean, sd, raw, strict=True)
    )


def _attribute(name: str, mean: float, sd: float, t: float, raw: float) -> AttributeEffect:
    low, high = mean - t * sd, mean + t * sd
    return AttributeEffect(name, mean, sd, low, high, raw, "brings" if low > 0 else "costs" if high < 0 else "unclear")


def _combined(raw: np.ndarray, se: float, prior: EffectPrior) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and sd [effects] under a known prior."""
    import numpy as np

    kept = prior.sd**2 / (prior.sd**2 + se**2)
    return prior.mean + kept * (raw - prior.mean), np.full(len(raw), se * math.sqrt(kept))


def _averaged(raw: np.ndarray, se: float) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and sd with μ and τ integrated out, τ on a grid to far beyond the effects' spread."""
    import numpy as np

    count = len(raw)
    if count < 3:  # too few to learn what attributes are like
        return raw, np.full(count, se)
    tau = np.linspace(0, 3 * max(float(raw.std()), se), STEPS)
    total = tau**2 + se**2
    centre = float(raw.mean())
    log_weight = -0.5 * (count - 1) * np.log(total) - 0.5 * ((raw - centre) ** 2).sum() / total
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    kept = (tau**2 / total)[:, None]
    means = centre + kept * (raw - centre)
    variances = kept * se**2 + (1 - kept) ** 2 * total[:, None] / count  # the second: μ is uncertain itself
    mean = weight @ means
    return mean, np.sqrt(weight @ (variances + (means - mean) ** 2))


def learn_effect_prior(screenings: Iterable[Effects]) -> EffectPrior | None:
    """The prior that earlier photos' screenings teach, by the method of moments; None without any effect.

    τ² is the effects' variance less what their own errors explain, 0 at least.
    """
    values: list[float] = []
    errors: list[float] = []
    for found in screenings:
        values += found.effect.values()
        errors += [found.se**2] * len(found.effect)
    if not values:
        return None
    mean = math.fsum(values) / len(values)
    spread = math.fsum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)
    return EffectPrior(mean=mean, sd=math.sqrt(max(0.0, spread - math.fsum(errors) / len(errors))), n=len(values))


def choose_subset(posterior: Sequence[AttributeEffect], extras: Collection[str] = ()) -> tuple[str, ...]:
    """The attributes worth keeping, in their order.

    An attribute is what the photo shows, so it stays unless it costs by more than its standard deviation;
    `extras`, which no photo asks for (view, negative prompt, words to avoid), have to bring something. The
    expectation, not its interval, decides what is tried: the confirmation guards the claim.
    """
    return tuple(
        effect.attribute
        for effect in posterior
        if (effect.mean > 0 if effect.attribute in extras else effect.mean + effect.sd >= 0)
    )


def explain(posterior: Sequence[AttributeEffect]) -> list[str]:
    """One line an attribute for `--explain`, the most helpful first; points are hundredths of similarity."""
    lines = []
    for effect in sorted(posterior, key=lambda effect: -effect.mean):
        figures = f"{100 * effect.mean:+.1f} points ({100 * effect.low:+.1f} … {100 * effect.high:+.1f})"
        lines.append(f"{effect.attribute}: {effect.standing}, {figures}")
    return lines
