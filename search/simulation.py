"""The simulated setting: how good and how honest each way of searching is where the truth is known.

score(arm, seed) = arm's worth + seed's luck + what only this pair has, all normal, in cosine. The standard
deviations are assumptions to be fitted again on real generations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .halving import SuccessiveHalving
from .screening import Effects, effects, screening_design
from .shrinkage import EffectPrior, choose_subset, shrink
from .trials import Noise, Trial

if TYPE_CHECKING:
    import numpy as np

HELD_OUT = 8  # seeds


@dataclass(frozen=True)
class StrategySetting:
    """`arms` strategies to choose from; standard deviations in cosine."""

    arms: int = 10
    strategy_sd: float = 0.03
    seed_sd: float = 0.04
    interaction_sd: float = 0.03


@dataclass(frozen=True)
class AttributeSetting:
    """`attributes` words, each in or out; an effect is what the word adds when it is in."""

    attributes: int = 11
    effect_mean: float = 0.004
    effect_sd: float = 0.012
    seed_sd: float = 0.04
    interaction_sd: float = 0.03


@dataclass(frozen=True)
class World:
    """One drawn truth: `worth` [arms], and the `scores` [arms, seeds] of all pictures; the last seeds are
    held out."""

    worth: np.ndarray
    scores: np.ndarray

    @classmethod
    def draw(cls, setting: StrategySetting, seeds: int, rng: np.random.Generator) -> World:
        """A world of `seeds` seeds to search on and HELD_OUT more."""
        worth = rng.normal(0, setting.strategy_sd, setting.arms)
        luck = rng.normal(0, setting.seed_sd, seeds + HELD_OUT)
        own = rng.normal(0, setting.interaction_sd, (setting.arms, seeds + HELD_OUT))
        return cls(worth, worth[:, None] + luck + own)


Choice = tuple[int, float]  # the chosen arm, and the score reported for it


def best_single_image(world: World, budget: int) -> Choice:
    """What tools do: every picture on a seed of its own, and the best picture is the result."""
    own = _own_seeds(world, budget)
    arm = int(own.max(1).argmax())
    return arm, float(own[arm].max())


def uniform_independent(world: World, budget: int) -> Choice:
    """Equal shares, each arm on seeds of its own."""
    means = _own_seeds(world, budget).mean(1)
    return int(means.argmax()), float(means.max())


def uniform_common(world: World, budget: int) -> Choice:
    """Equal shares, all arms on the same seeds."""
    means = world.scores[:, : budget // len(world.worth)].mean(1)
    return int(means.argmax()), float(means.max())


def halving(world: World, budget: int) -> Choice:
    """Successive halving on common seeds; reports the mean that it chose by."""
    search = _halved(world, budget)
    best = search.ranking()[0]
    assert best.mean is not None
    return int(best.arm), best.mean


def halving_confirmed(world: World, budget: int) -> Choice:
    """Halving on all but 8 images, which confirm the winner on held-out seeds."""
    arm = int(_halved(world, budget - HELD_OUT).winner)
    return arm, float(world.scores[arm, -HELD_OUT:].mean())


def _own_seeds(world: World, budget: int) -> np.ndarray:
    arms = len(world.worth)
    each = budget // arms
    return world.scores[:, : arms * each].reshape(arms, arms, each)[range(arms), range(arms)]


def _halved(world: World, budget: int) -> SuccessiveHalving:
    seeds = range(world.scores.shape[1] - HELD_OUT)
    search = SuccessiveHalving([str(arm) for arm in range(len(world.worth))], seeds, budget)
    while shots := search.ask():
        search.tell(Trial(shot.arm, shot.seed, float(world.scores[int(shot.arm), shot.seed])) for shot in shots)
    return search


CHOOSERS: dict[str, Callable[[World, int], Choice]] = {
    "best single image": best_single_image,
    "uniform, independent seeds": uniform_independent,
    "uniform, common seeds": uniform_common,
    "halving, common seeds": halving,
    "halving, 8 held-out seeds": halving_confirmed,
}


@dataclass(frozen=True)
class ChoiceOutcome:
    """`regret`: worth lost against the best arm; `bias`: reported minus true. Means with their standard
    errors."""

    method: str
    regret: float
    regret_se: float
    bias: float
    bias_se: float


def simulate_choice(
    budget: int = 40, trials: int = 1000, seed: int = 0, setting: StrategySetting | None = None
) -> list[ChoiceOutcome]:
    """Every chooser on the same `trials` worlds."""
    import numpy as np

    rng = np.random.default_rng(seed)
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in CHOOSERS}
    for _ in range(trials):
        world = World.draw(setting or StrategySetting(), budget, rng)
        for name, choose in CHOOSERS.items():
            arm, reported = choose(world, budget)
            rows[name].append((world.worth.max() - world.worth[arm], reported - world.worth[arm]))
    outcomes = []
    for name, pairs in rows.items():
        mean, error = np.mean(pairs, 0), np.std(pairs, 0) / trials**0.5
        outcomes.append(ChoiceOutcome(name, float(mean[0]), float(error[0]), float(mean[1]), float(error[1])))
    return outcomes


@dataclass(frozen=True)
class SimulatedPhoto:
    """One drawn truth of attributes: what each brings, and how pictures are scored."""

    effect: np.ndarray
    setting: AttributeSetting
    rng: np.random.Generator

    def score(self, on: np.ndarray, block: np.ndarray) -> np.ndarray:
        """Scores of pictures with the attributes `on` [pictures, attributes]; each `block` has its own seed."""
        luck = self.rng.normal(0, self.setting.seed_sd, int(block.max()) + 1)
        scores: np.ndarray = on @ self.effect + luck[block] + self.rng.normal(0, self.setting.interaction_sd, len(on))
        return scores

    def gain(self, on: np.ndarray) -> float:
        """The truth: what the subset has over all attributes."""
        return float((on - 1) @ self.effect)

    @property
    def learned(self) -> EffectPrior:
        """What earlier photos would have taught."""
        return EffectPrior(mean=self.setting.effect_mean, sd=self.setting.effect_sd)

    @property
    def noise(self) -> Noise:
        """The noise as a halving before it would have found it, from 15 residuals."""
        return Noise(self.setting.interaction_sd * (self.rng.chisquare(15) / 15) ** 0.5, 15)


def plackett_burman_subset(photo: SimulatedPhoto, budget: int) -> np.ndarray:
    """Plackett–Burman with its foldover, effects shrunk to what earlier photos taught."""
    import numpy as np

    names = [str(index) for index in range(len(photo.effect))]
    design = screening_design(names, budget, range(budget))
    on = np.array([[name in run.on for name in names] for run in design.runs], dtype=float)
    scores = photo.score(on, np.array([run.seed for run in design.runs]))
    found = effects(design, scores.tolist(), photo.noise)
    return _subset(names, choose_subset(shrink(found, photo.learned)))


def leave_one_out_subset(photo: SimulatedPhoto, budget: int) -> np.ndarray:
    """All attributes against all but one, on common seeds, shrunk in the same way."""
    import numpy as np

    count = len(photo.effect)
    names, rounds = [str(index) for index in range(count)], budget // (count + 1)
    on = np.tile(np.vstack([np.ones(count), 1 - np.eye(count)]), (rounds, 1))
    scores = photo.score(on, np.repeat(np.arange(rounds), count + 1)).reshape(rounds, count + 1)
    effect = (scores[:, :1] - scores[:, 1:]).mean(0)
    noise = photo.noise
    found = Effects(dict(zip(names, effect.tolist(), strict=True)), noise.sd * (2 / rounds) ** 0.5, noise.df)
    return _subset(names, choose_subset(shrink(found, photo.learned)))


def greedy_subset(photo: SimulatedPhoto, budget: int) -> np.ndarray:
    """From nothing, adds the attribute whose picture scores best, while that beats the last best."""
    import numpy as np

    count = len(photo.effect)
    on = np.zeros(count)
    best, spent = float(photo.score(on[None], np.zeros(1, int))[0]), 1
    while on.sum() < count and spent + (count - on.sum()) <= budget:
        free = np.flatnonzero(on == 0)
        candidates = np.maximum(on, np.eye(count)[free])
        scores = photo.score(candidates, np.arange(len(free)))
        spent += len(free)
        if scores.max() <= best:
            break
        best, on = float(scores.max()), candidates[scores.argmax()]
    return on


def random_subset(photo: SimulatedPhoto, budget: int) -> np.ndarray:
    """Random subsets, one picture each; the best picture wins."""
    import numpy as np

    on = (photo.rng.random((budget, len(photo.effect))) < 0.7).astype(float)
    best: np.ndarray = on[photo.score(on, np.arange(budget)).argmax()]
    return best


def _subset(names: list[str], kept: tuple[str, ...]) -> np.ndarray:
    import numpy as np

    return np.array([float(name in kept) for name in names])


PICKERS: dict[str, Callable[[SimulatedPhoto, int], np.ndarray]] = {
    "Plackett–Burman + foldover, shrunk": plackett_burman_subset,
    "leave-one-out, shrunk": leave_one_out_subset,
    "greedy add": greedy_subset,
    "random best": random_subset,
}


@dataclass(frozen=True)
class SubsetOutcome:
    """Mean true gain of the picked subset over all attributes, with its standard error."""

    method: str
    images: int
    gain: float
    gain_se: float


def simulate_subsets(
    budgets: tuple[int, ...] = (12, 24, 36),
    trials: int = 1000,
    seed: int = 0,
    setting: AttributeSetting | None = None,
) -> list[SubsetOutcome]:
    """Every picker at every budget of images, on the same `trials` truths."""
    import numpy as np

    setting = setting or AttributeSetting()
    rng = np.random.default_rng(seed)
    truths = rng.normal(setting.effect_mean, setting.effect_sd, (trials, setting.attributes))
    outcomes = []
    for name, pick in PICKERS.items():
        for images in budgets:
            drawn = np.random.default_rng([seed, images])
            gains = []
            for truth in truths:
                photo = SimulatedPhoto(truth, setting, drawn)
                gains.append(photo.gain(pick(photo, images)))
            outcomes.append(SubsetOutcome(name, images, float(np.mean(gains)), float(np.std(gains) / trials**0.5)))
    return outcomes
