"""Successive halving over arms on common seeds, under a budget of images. Asks and is told; draws nothing.

    24 images, 12 of them for the search          40 images, 22 of them for the search
    seed 1   ● ● ● ● ● ● ●                        seed 1   ● ● ● ● ● ● ● ● ● ● ●
    seed 2   ● ● ●                                seed 2   ● ● ● ● ● ● ●
    seed 3   ● ●                                  seed 3   ● ● ● ●

A third to a half leaves at each seed, and the finalists have met on three seeds before one of them is confirmed. Common
seeds: an easy seed flatters every arm alike and cancels when arms are compared. The last places of the first seed can
be kept for arms that are made from what the pictures of the others show (`later`). Karnin, Koren & Somekh, "Almost
Optimal Exploration in Multi-Armed Bandits" (ICML 2013), algorithm 1, with its rounds measured in whole images, the
arms of its first round drawn from what is believed of them, and its rounds judged by that belief (arm_model.py).
Top-two Thompson sampling and the knowledge gradient, which ask for two images at a time, choose a little worse at 24
images and a tenth of a point better at 40 (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from ..core.errors import InputError
from .arm_model import ArmModel
from .priors import ArmPrior
from .trials import Noise, Trial, TrialKey, paired_fit, refuse_doubles

FINALISTS, MEETINGS = 2, 3  # arms at least that meet on so many common seeds at least, where the images suffice
GENTLEST = 2 / 3  # of the arms go on where there are images for more than half
LATER = 4  # of so many arms of the first rung, one place may be kept for an arm that answers the others' pictures


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

    The first rung is the widest from which halving can still lead two finalists to their third seed. What is left
    goes to the rungs below it, as long as a third of the arms leaves at each, then to more seeds of the last one.
    Where the images do not suffice for three seeds of two arms, they try as many arms as they can.
    """
    most = budget if seeds is None else seeds
    if arms < 2 or budget < 2 or most < 1:
        return ()
    if budget < FINALISTS * MEETINGS or most < MEETINGS:
        width = min(arms, budget)
        return (Rung(width, max(1, min(most, budget // width))),)
    widths = next(found for first in range(arms, 1, -1) if sum(found := _halved(first)) <= budget)[:most]
    left = budget - sum(widths)
    while wider := [place for place in range(1, len(widths)) if widths[place] < GENTLEST * widths[place - 1] - 1][
        :left
    ]:
        for place in wider:
            widths[place] += 1
        left -= len(wider)
    while left >= widths[-1] and len(widths) < most:
        widths.append(widths[-1])
        left -= widths[-1]
    return tuple(Rung(width, widths.count(width)) for width in dict.fromkeys(widths))


def _halved(first: int) -> list[int]:
    """The arms on each seed: half of them again and again, the finalists on as many as it takes."""
    widths = [first]
    while widths[-1] > FINALISTS:
        widths.append(max(FINALISTS, widths[-1] // 2))
    return widths + [FINALISTS] * (MEETINGS - len(widths))


def later_places(rungs: Sequence[Rung]) -> int:
    """How many places of the first rung may be kept for later arms; 0 where no rung follows that compares them."""
    return (rungs[0].arms + 1) // LATER if len(rungs) > 1 else 0


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
    outside the plan change nothing. `model` holds what is believed of the arms; without it they have nothing in
    common, and `priors` (gains on the scores' scale) say what each is worth. The first rung's arms are the most
    promising; with `rng` they are drawn by chance in proportion to their promise, so that the photos of a run try
    different ones. Arms without hope are left out; those of `always` take part in the first rung whatever is believed.

    With `later` the last places of the first rung are kept: once the pictures of its other arms have scores,
    `open_places` says how many, and `join` gives them away, to new arms or to those that the rung would have had.
    """

    def __init__(
        self,
        arms: Sequence[str],
        seeds: Sequence[int],
        budget: int,
        priors: Mapping[str, ArmPrior] | None = None,
        rng: Random | None = None,
        model: ArmModel | None = None,
        later: bool = False,
        always: Sequence[str] = (),
    ):
        refuse_doubles("arm", arms)
        refuse_doubles("seed", seeds)
        if budget < 1:
            raise InputError(f"a budget of {budget} images can't be searched with", to_try="give 1 image or more")
        self.arms, self.seeds, self.budget = tuple(arms), tuple(seeds), budget
        self.model = model or ArmModel.of_arms(self.arms, priors)
        if self.model.prior.arms != self.arms:
            raise ValueError(f"the model knows {self.model.prior.arms}, the search has {self.arms}")
        hopeless = self.model.prior.hopeless()
        promising = [arm for arm in self.model.prior.order(rng) if arm not in hopeless and arm not in always]
        self._start = [*always, *promising]
        self.rungs = ladder(len(self._start), budget, len(self.seeds))
        self._kept = later_places(self.rungs) if later else 0  # places of the first rung that nobody has yet
        self._told: dict[TrialKey, Trial] = {}
        self._walked: _Walk | None = None  # of what was told so far

    def ask(self) -> list[TrialKey]:
        """The pictures of the next rung that have no score yet, seed by seed; empty when done."""
        return self._walk().missing

    def tell(self, trials: Iterable[Trial]) -> None:
        """Takes scores; the same trial twice is one. InputError: an unknown arm, or a second, different score."""
        self._walked = None
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
    def open_places(self) -> int:
        """Places of the first rung that `join` is to give away now; 0 before its other arms have scores, and after."""
        return 0 if self._walk().missing else self._kept

    def join(self, arms: Sequence[str], model: ArmModel | None = None) -> None:
        """Gives the open places to the most promising of `arms`, new ones, and what is left to the rung's own arms.

        `model` holds what is believed of all arms, old and new. An arm that gets no place is no part of the search.
        ValueError where no place is open, or the model knows other arms.
        """
        if not self.open_places:
            raise ValueError("no place is open for new arms")
        if arms:
            if model is None or model.prior.arms != (*self.arms, *arms):
                raise ValueError(f"a model of the arms {(*self.arms, *arms)} is needed")
            refuse_doubles("arm", (*self.arms, *arms))
            belief = model.posterior(self._walk().trials)
            chosen = sorted(arms, key=lambda arm: -belief.of(arm))[: self._kept]
            place = self.rungs[0].arms - self._kept
            self._start[place:place] = chosen
            self.arms, self.model = (*self.arms, *chosen), model
        self._kept, self._walked = 0, None

    @property
    def done(self) -> bool:
        """Whether no picture is left to draw."""
        return not self._walk().missing and not self._kept

    @property
    def winner(self) -> str:
        """The arm that is left; before the end, the one that leads."""
        return self._walk().order[0]

    @property
    def order(self) -> list[str]:
        """The arms, the leading one first."""
        return list(self._walk().order)

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
        if arm == walk.order[0] and self.done:
            standing = "winner"
        elif walk.missing and arm in walk.running:
            standing = "running"
        else:
            standing = "dropped" if scores else "not drawn"
        mean = sum(scores) / len(scores) if scores else None
        return Standing(arm, mean, estimate, len(scores), walk.lasted[arm], standing)

    def _walk(self) -> _Walk:
        """Where the search is."""
        self._walked = self._walked or self._replayed()
        return self._walked

    def _replayed(self) -> _Walk:
        """The search replayed from the scores; a rung's verdict sees that rung's and earlier pictures only."""
        order, drawn, first = list(self._start), [], 0
        lasted = dict.fromkeys(self.arms, 0)
        for rung in self.rungs:
            running = order[: rung.arms - self._kept]
            seeds = self.seeds[first : first + rung.seeds]
            shots = [TrialKey(arm, seed) for seed in seeds for arm in running]
            drawn += [self._told[shot] for shot in shots if shot in self._told]
            missing = [shot for shot in shots if shot not in self._told]
            for arm in running:
                lasted[arm] += 1
            if not missing and self._kept:
                order = [*self._led(running, drawn), *order[len(running) :], *self._left_out()]
                return _Walk(order, running, drawn, [], lasted)
            if missing:
                whole = [trial for trial in drawn if trial.seed in self.seeds[:first]]
                return _Walk(
                    [*self._led(running, whole), *order[len(running) :], *self._left_out()],
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
        belief = self.model.posterior(trials)
        return sorted(running, key=lambda arm: -belief.of(arm))

    def _left_out(self) -> list[str]:
        return [arm for arm in self.arms if arm not in self._start]


@dataclass(frozen=True)
class _Walk:
    order: list[str]  # best first
    running: list[str]
    trials: list[Trial]
    missing: list[TrialKey]
    lasted: dict[str, int]
