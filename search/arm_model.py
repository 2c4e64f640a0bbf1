"""What is believed of the arms: each the sum of its factors, and what pictures on common seeds say of them.

    worth(arm)      = Σ factors of the arm + what is its own          factor ~ N(μ_f, τ_f²)   own ~ N(0, τ_own²)
    score(arm, seed) = photo's level + seed's luck + worth(arm) + what this pair alone has

Arms that share a factor, as all forms with the same negative prompt do, teach each other: one picture of one of them
says something of all. On a seed they are alike too (`together`): what the seed does to a factor it does to every arm
that has it. The prior of a factor comes from earlier photos (factor_priors.py) and is shrunk to no effect before any.
A Gaussian process over arms; Rasmussen & Williams, "Gaussian Processes for Machine Learning" (2006), eq. 2.25 f.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from .priors import ArmPrior, complete
from .trials import Trial, paired_fit

if TYPE_CHECKING:
    import numpy as np

NEGATIVE = "negative prompt"  # the factor's name
GIVEN = (
    "your_words",
    "captioner",
)  # factors: words that no tagger wrote, which may say anything, so that they are tried
HOPELESS_Z = 1.645  # an arm that beats the most promising one with less than 5 % probability is not drawn
ANYTHING = 10.0  # variance of a photo's level and of a seed's luck: nothing is known of them
GUESS_DF = 2  # weight of the prior guess of the noise, in degrees of freedom
DRAWS = 100  # of the belief
NUDGE = 1e-6  # by which promise orders arms that are best in no draw


class FactorPriors(BaseModel):
    """What factors of a prompt bring to a new photo, on the scores' scale; the defaults are those before any photo.

    The defaults' proportions are those of 24 garments of the embedded world (docs/log.md): only they matter for the
    choice, not their size.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    # The negative moves a picture most, who knows where; so may words from elsewhere.
    factors: dict[str, ArmPrior] = dict.fromkeys((NEGATIVE, *GIVEN), ArmPrior(mean=0.0, sd=0.08))
    unknown_sd: float = Field(default=0.02, gt=0)  # of a factor that no photo has tried yet
    own_sd: float = Field(default=0.01, gt=0)  # of an arm beyond its factors
    noise_sd: float = Field(default=0.012, gt=0)  # of one picture, beyond what its seed does to the factors
    together: float = Field(default=0.4, ge=0)  # variance of what a seed does to a factor, in the factor's own

    def of(self, factor: str) -> ArmPrior:
        """The prior of a factor; unknown ones bring nothing, give or take."""
        return self.factors.get(factor) or ArmPrior(mean=0.0, sd=self.unknown_sd)


@dataclass(frozen=True)
class Belief:
    """Worth of the `arms`: `mean` [arms] and `cov` [arms, arms]; only differences between arms mean anything."""

    arms: tuple[str, ...]
    mean: np.ndarray
    cov: np.ndarray

    def of(self, arm: str) -> float:
        """The expected worth of an arm."""
        return float(self.mean[self.arms.index(arm)])

    def order(self, rng: Random | None = None) -> list[str]:
        """The arms, most promising first; with an `rng` those that are worth trying together come first.

        Each place goes to the arm that raises the expected best of those before it most, over DRAWS draws of the
        belief: the next promising one where promises are known, one with factors that no other has where they are
        not. Arms that are alike come in an order of chance, so that the photos of a run try different ones.
        The multi-points expected improvement of Ginsbourger, Le Riche & Carraro, "Kriging Is Well-Suited to
        Parallelize Optimization" (2010), §3, chosen greedily.
        """
        import numpy as np

        if rng is None or len(self.arms) < 2:
            return [self.arms[index] for index in np.argsort(-self.mean, kind="stable")]
        values, vectors = np.linalg.eigh(self.cov)
        root = vectors * np.sqrt(np.clip(values, 0.0, None))
        normal = np.array([rng.gauss(0.0, 1.0) for _ in range(DRAWS * len(self.arms))]).reshape(DRAWS, -1)
        drawn = self.mean + normal @ root.T  # [draws, arms]
        order: list[int] = []
        best = np.full(DRAWS, -np.inf)
        for _ in self.arms:
            expected = np.maximum(best[:, None], drawn).mean(0) + NUDGE * self.mean
            expected[order] = -np.inf
            order.append(int(expected.argmax()))
            best = np.maximum(best, drawn[:, order[-1]])
        return [self.arms[index] for index in order]

    def hopeless(self) -> set[str]:
        """Arms that hardly can be the best; never the two most promising."""
        first, *others = self.order()
        best, out = self.arms.index(first), set()
        for arm in others[1:]:
            index = self.arms.index(arm)
            variance = self.cov[best, best] + self.cov[index, index] - 2 * self.cov[best, index]
            if self.mean[best] - self.mean[index] > HOPELESS_Z * math.sqrt(max(0.0, variance)):
                out.add(arm)
        return out


@dataclass(frozen=True)
class ArmModel:
    """The belief before any picture of a photo, and how far pictures are to be trusted.

    `noise_sd` is one picture's; `noise_df` of 0 keeps it, otherwise it is a guess of that weight beside the pictures'
    own residuals.
    """

    prior: Belief
    noise_sd: float
    together: float
    noise_df: float = 0.0

    @classmethod
    def of_factors(cls, arms: Mapping[str, Mapping[str, float]], priors: FactorPriors | None = None) -> ArmModel:
        """Arm → its factors with their amounts, mostly 1: `{"studio": {"sentence": 1, "view": 1, "negative": 1}}`."""
        import numpy as np

        priors = priors or FactorPriors()
        names = list(dict.fromkeys(factor for factors in arms.values() for factor in factors))
        amounts = np.array([[float(factors.get(name, 0.0)) for name in names] for factors in arms.values()])
        amounts = amounts.reshape(len(arms), len(names))
        of = [priors.of(name) for name in names]
        mean = amounts @ np.array([prior.mean for prior in of])
        cov = (amounts * np.array([prior.sd**2 for prior in of])) @ amounts.T + priors.own_sd**2 * np.eye(len(arms))
        return cls(Belief(tuple(arms), mean, cov), priors.noise_sd, priors.together)

    @classmethod
    def of_arms(cls, arms: Sequence[str], priors: Mapping[str, ArmPrior] | None = None) -> ArmModel:
        """Arms that have nothing in common, each with its own prior, or all alike before any photo."""
        import numpy as np

        default = ArmPrior(mean=0.0, sd=FactorPriors().unknown_sd)
        own = complete(arms, priors) if priors else dict.fromkeys(arms, default)
        sds = np.array([own[arm].sd for arm in arms])
        guess = math.sqrt(float((sds**2).mean()))
        return cls(
            Belief(tuple(arms), np.array([own[arm].mean for arm in arms]), np.diag(sds**2)), guess, 0.0, GUESS_DF
        )

    def posterior(self, trials: Iterable[Trial]) -> Belief:
        """The belief after these pictures, in any order."""
        import numpy as np

        trials = list(trials)
        if not trials:
            return self.prior
        at, scores = self._places(trials), np.array([trial.score for trial in trials])
        cov, mean = self.prior.cov, self.prior.mean
        across = cov[:, at]
        missed = scores - scores.mean() - mean[at]
        solved = np.linalg.solve(self.covariance_of(trials), np.column_stack([missed, across.T]))
        return Belief(self.prior.arms, mean + across @ solved[:, 0], cov - across @ solved[:, 1:])

    def covariance_of(self, trials: Sequence[Trial]) -> np.ndarray:
        """Of the scores of pictures, before they are drawn: [pictures, pictures]."""
        import numpy as np

        at, seeds = self._places(trials), np.array([trial.seed for trial in trials])
        same_seed = seeds[:, None] == seeds[None, :]
        spread = float(np.ptp([trial.score for trial in trials]))
        anything = ANYTHING * max(1.0, spread**2)  # scores far beyond 0 … 1 have levels to match
        worth: np.ndarray = self.prior.cov[np.ix_(at, at)] * (1 + self.together * same_seed)
        covariance: np.ndarray = worth + anything * (1 + same_seed) + self._noise(trials) * np.eye(len(at))
        return covariance

    def _places(self, trials: Sequence[Trial]) -> np.ndarray:
        """Each picture's arm, as its place among the arms."""
        import numpy as np

        places = {arm: place for place, arm in enumerate(self.prior.arms)}
        return np.array([places[trial.arm] for trial in trials])

    def _noise(self, trials: Sequence[Trial]) -> float:
        """Variance of one picture."""
        if not self.noise_df:
            return self.noise_sd**2
        noise = paired_fit(trials).noise
        return (self.noise_df * self.noise_sd**2 + noise.df * noise.sd**2) / (self.noise_df + noise.df)
