"""Successive halving over strategies on common seeds, under a budget of images. Asks and is told; draws
nothing.

    rung 1   ● ● ● ● ● ● ● ● ● ●    every arm on the same first seed
    rung 2   ● ●   ● ●   ●   ●      the better ones on the next seed …
    rung 3   ● ●         ●   ●
    rung 4     ●         ●   ●
    rung 5     ●         ●          … until one is left

Common seeds: an easy seed flatters every arm alike and cancels when arms are compared. Karnin, Koren &
Somekh, "Almost Optimal Exploration in Multi-Armed Bandits" (ICML 2013), algorithm 1, with its rounds measured
in whole images and a gentler cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from ..core.errors import InputError
from .priors import ArmPrior, hopeful_arms, posterior_means
from .trials import Noise, Trial, TrialKey, paired_fit, refuse_doubles

# Of a rung's arms. Halves lose a good arm to one unlucky picture: with 4 … 14 arms and 12 … 40 images 0.6 has
# up to a quarter less regret and hardly ever more (bench/search_simulation.py's setting).
KEEP = 0.6


@dataclass(frozen=True)
class Rung:
    """`arms` that take part, each on the same `seeds` further seeds."""

    arms: int
    seeds: int

    @property
    def images(self) -> int:
        """Pictures of the rung."""
        return self.arms * self.seeds


def ladder(arms: int, budget: int, seeds: int | None = None) -> tuple[Rung, ...]:
    """The rungs for `arms` under `budget` images and at most `seeds` seeds (None: as many as needed).

    A rung gets its share of the images that are left, and no more arms than can still be narrowed down to
    one. The images never exceed `budget`.
    """
    rungs: list[Rung] = []
    running, images, left = min(arms, budget), budget, budget if seeds is None else seeds
    while running > 1 and left > 0 and images >= running:
        to_come = _narrowing(running)
        depth = min(max(1, images // (len(to_come) * running)), left)
        rungs.append(Rung(running, depth))
        images -= running * depth
        left -= depth
        running = _kept(running)
        while running > 1 and sum(_narrowing(running)) > images:
            running -= 1
    return tuple(rungs)


def _narrowing(running: int) -> list[int]:
    """The arms of each rung from here on."""
    sizes = []
    while running > 1:
        sizes.append(running)
        running = _kept(running)
    return sizes


def _kept(running: int) -> int:
    return min(running - 1, math.ceil(KEEP * running))


@dataclass(frozen=True)
class Standing:
    """How an arm came out. None where it was never drawn."""

    arm: str
    mean: float | None  # of its own pictures: what was seen
    estimate: float | None  # as if drawn on every seed of the search: comparable between arms
    n: int  # pictures
    rungs: int  # rungs it took part in
    standing: Literal["winner", "running", "dropped", "not drawn"]


class SuccessiveHalving:
    """Finds the best of `arms` within `budget` images on common `seeds`.

    `ask` names the pictures of the next rung that are not drawn yet, `tell` takes their scores in any order
    and any portions; telling a journal's rows again brings the search back to where it was. Told trials
    outside the plan change nothing. With `priors` (gains on the scores' scale) the arms start in the order of
    their promise, hopeless ones are left out, and a rung's means are shrunk towards what earlier photos
    taught. With `rng` they start in an order of chance instead: strategies differ less from each other than
    each does from photo to photo, so that a small budget gains by variety, not by trying the same few again.
    """

    def __init__(
        self,
        arms: Sequence[str],
        seeds: Sequence[int],
        budget: int,
        priors: Mapping[str, ArmPrior] | None = None,
        rng: Random | None = None,
    ):
        refuse_doubles("arm", arms)
        refuse_doubles("seed", seeds)
        if budget < 1:
            raise InputError(f"a budget of {budget} images can't be searched with", to_try="give 1 image or more")
        self.arms, self.seeds, self.budget = tuple(arms), tuple(seeds), budget
        self.priors = dict(priors or {})
        self._start = hopeful_arms(self.arms, self.priors, rng)
        self.rungs = ladder(len(self._start), budget, len(self.seeds))
        self._told: dict[TrialKey, Trial] = {}

    def ask(self) -> list[TrialKey]:
        """The pictures of the next rung that have no score yet, seed by seed; empty when done."""
        return self._walk().missing

    def tell(self, trials: Iterable[Trial]) -> None:
        """Takes scores; the same trial twice is one. InputError: an unknown arm, or a second, different score."""
        for trial in trials:
            if trial.arm not in self.arms:
                raise InputError(
                    f"there is no arm {trial.arm!r} in this search",
                    to_try=f"its arms are {', '.join(self.arms)}",
                )
            known = self._told.setdefault(trial.shot, trial)
            if known.score != trial.score:
                raise InputError(
                    f"{trial.arm!r} scored {known.score:.6f} before and {trial.score:.6f} now",
                    where=f"seed {trial.seed}",
                    to_try="score with one scorer and one calibration within a search",
                )

    @property
    def done(self) -> bool:
        """Whether no picture is left to draw."""
        return not self._walk().missing

    @property
    def winner(self) -> str:
        """The arm that is left; before the end, the one that leads."""
        return self._walk().order[0]

    @property
    def spent(self) -> int:
        """Pictures of the plan that have a score."""
        return len(self._walk().trials)

    @property
    def noise(self) -> Noise:
        """The spread of one picture once arm and seed are taken out, from the search's own pictures."""
        return paired_fit(self._walk().trials).noise

    def ranking(self) -> list[Standing]:
        """Every arm, best first: by the rungs it lasted, then by its estimate there; never drawn ones last."""
        walk = self._walk()
        fit = paired_fit(walk.trials)
        return [self._standing(arm, walk, fit.means.get(arm)) for arm in walk.order]

    def _standing(self, arm: str, walk: _Walk, estimate: float | None) -> Standing:
        scores = [trial.score for trial in walk.trials if trial.arm == arm]
        standing: Literal["winner", "running", "dropped", "not drawn"]
        if arm == walk.order[0] and not walk.missing:
            standing = "winner"
        elif walk.missing and arm in walk.running:
            standing = "running"
        else:
            standing = "dropped" if scores else "not drawn"
        mean = sum(scores) / len(scores) if scores else None
        return Standing(arm, mean, estimate, len(scores), walk.lasted[arm], standing)

    def _walk(self) -> _Walk:
        """The search replayed from the scores; a rung's verdict sees that rung's and earlier pictures only."""
        order, drawn, first = list(self._start), [], 0
        lasted = dict.fromkeys(self.arms, 0)
        for rung in self.rungs:
            running = order[: rung.arms]
            seeds = self.seeds[first : first + rung.seeds]
            shots = [TrialKey(arm, seed) for seed in seeds for arm in running]
            drawn += [self._told[shot] for shot in shots if shot in self._told]
            missing = [shot for shot in shots if shot not in self._told]
            for arm in running:
                lasted[arm] += 1
            if missing:
                whole = [trial for trial in drawn if trial.seed in self.seeds[:first]]
                return _Walk(
                    [*self._led(running, whole), *order[rung.arms :], *self._left_out()],
                    running,
                    drawn,
                    missing,
                    lasted,
                )
            order[: rung.arms] = self._led(running, drawn)
            first += rung.seeds
        return _Walk([*order, *self._left_out()], order[:1], drawn, [], lasted)

    def _led(self, running: list[str], trials: Sequence[Trial]) -> list[str]:
        """`running`, best first; a draw keeps the order that they came in."""
        if not trials:
            return running
        fit = paired_fit([trial for trial in trials if trial.arm in running])
        estimates = fit.means
        if self.priors:
            estimates = posterior_means(fit, self.priors, paired_fit(trials).noise)
        return sorted(running, key=lambda arm: -estimates[arm])

    def _left_out(self) -> list[str]:
        return [arm for arm in self.arms if arm not in self._start]


@dataclass(frozen=True)
class _Walk:
    order: list[str]  # best first
    running: list[str]
    trials: list[Trial]
    missing: list[TrialKey]
    lasted: dict[str, int]
