"""`python -m modiste.bench.allocation [--json] [--photos N] [--budgets 8,16]`: which pictures to search with?

Ways to spend the same search images on the same simulated photos (`modiste/search/run_simulation.py`), before any photo
was searched (cold) and after sixteen (warm), and among arms that have nothing in common. What is compared is regret:
what the chosen arm is worth less than the best one. No pictures are drawn.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from random import Random

from ..search.arm_model import ArmModel, Belief
from ..search.budget import plan_budget
from ..search.factor_priors import learn_factor_priors
from ..search.halving import MEETINGS, Rung, SuccessiveHalving
from ..search.priors import ArmPrior, PhotoResult, learn_priors
from ..search.run_simulation import PHOTOS, PhotoTruth, RunSetting
from ..search.trials import Trial, TrialKey

BUDGETS = (8, 16, 24, 40)
SEEDS = range(12)
BATCH = 2  # pictures that are asked for together by those who ask one by one
NODES = 15  # of Gauss–Hermite quadrature


@dataclass(frozen=True)
class SimulatedChoice:
    """One photo to choose for, and what is believed of its arms: by what they share, and of each alone."""

    truth: PhotoTruth
    factors: ArmModel
    alone: ArmModel

    def rng(self) -> Random:
        """The same chance for every chooser."""
        return Random(f"{sorted(self.truth.worth.items())}")


Chooser = Callable[[SimulatedChoice, int], str]  # photo, search images → arm


def halved(
    model: Callable[[SimulatedChoice], ArmModel], rungs: Callable[[int, int], tuple[Rung, ...]] | None = None
) -> Chooser:
    """The product's own search; with other `rungs` where they are given."""

    def choose(photo: SimulatedChoice, images: int) -> str:
        arms = list(photo.truth.worth)
        search = SuccessiveHalving(arms, SEEDS, images, rng=photo.rng(), model=model(photo))
        if rungs is not None:
            search.rungs = rungs(len(arms), images)
        while shots := search.ask():
            search.tell(photo.truth.trials(shots))
        return search.winner

    return choose


def ladder_before(arms: int, budget: int) -> tuple[Rung, ...]:
    """The ladder until November 2026: every arm once, then six tenths again and again, as far as the images go."""
    rungs, running, images = [], min(arms, budget), budget
    while running > 1 and images >= running:
        to_come = _narrowing(running)
        depth = max(1, images // (len(to_come) * running))
        rungs.append(Rung(running, depth))
        images -= running * depth
        running = min(running - 1, math.ceil(0.6 * running))
        while running > 1 and sum(_narrowing(running)) > images:
            running -= 1
    return tuple(rungs)


def _narrowing(running: int) -> list[int]:
    sizes = []
    while running > 1:
        sizes.append(running)
        running = min(running - 1, math.ceil(0.6 * running))
    return sizes


def one_by_one(pick: Callable[[Belief, ArmModel, list[Trial], Random], str]) -> Chooser:
    """Half of the images on arms by their promise, then `pick` after `pick`; an arm's n-th picture is on the n-th seed.

    The last images bring the two that lead to their third seed, and one that was there is chosen.
    """

    def choose(photo: SimulatedChoice, images: int) -> str:
        model, rng, drawn = photo.factors, photo.rng(), list[Trial]()

        def draw(arm: str) -> None:
            drawn.extend(photo.truth.trials([TrialKey(arm, _pictures(drawn, arm))]))

        for arm in model.prior.order(rng)[: max(2, images // 2)]:
            draw(arm)
        while len(drawn) < images:
            belief, left = model.posterior(drawn), images - len(drawn)
            due = [arm for arm in belief.order()[:2] for _ in range(MEETINGS - _pictures(drawn, arm))]
            if due and len(due) >= left - 1:
                for arm in due[:left]:
                    draw(arm)
                continue
            for _ in range(min(BATCH, left)):
                draw(pick(belief, model, drawn, rng))
        order = model.posterior(drawn).order()
        met = [arm for arm in order if _pictures(drawn, arm) >= MEETINGS]
        return met[0] if len(met) > 1 else order[0]

    return choose


def top_two(belief: Belief, model: ArmModel, drawn: list[Trial], rng: Random) -> str:
    """Top-two Thompson sampling with β = ½; Russo, "Simple Bayesian Algorithms for Best Arm Identification", §3."""
    leader = _thompson(belief, rng)
    if rng.random() < 0.5:
        return leader
    others = (_thompson(belief, rng) for _ in range(100))
    return next((arm for arm in others if arm != leader), leader)


def _thompson(belief: Belief, rng: Random) -> str:
    """The best arm in one draw of the belief."""
    import numpy as np

    values, vectors = np.linalg.eigh(belief.cov)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    return belief.arms[int((belief.mean + root @ [rng.gauss(0.0, 1.0) for _ in belief.arms]).argmax())]


def knowledge_gradient(belief: Belief, model: ArmModel, drawn: list[Trial], rng: Random) -> str:
    """The picture that is expected to raise the best arm's mean most, by quadrature.

    Frazier, Powell & Dayanik, "The Knowledge-Gradient Policy for Correlated Normal Beliefs", INFORMS J. Comput. 21
    (2009), eq. 13.
    """
    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    # Pictures of this batch are known to come already, their scores are not: the means are those before it.
    more = [Trial(arm, _pictures(drawn, arm), drawn[0].score) for arm in belief.arms]
    cov, known = model.covariance_of([*drawn, *more]), len(drawn)
    at = [belief.arms.index(trial.arm) for trial in drawn]
    solved = np.linalg.solve(cov[:known, :known], cov[:known, known:])
    moved = model.prior.cov - model.prior.cov[:, at] @ solved  # [arms, picture]: how an arm's mean goes with its score
    sd = np.sqrt(np.maximum(np.diag(cov)[known:] - (cov[:known, known:] * solved).sum(0), 1e-12))
    expected = (belief.mean + nodes[:, None, None] * (moved / sd).T).max(2)  # [nodes, picture]
    return belief.arms[int((weights @ expected).argmax())]


def best_single_image(photo: SimulatedChoice, images: int) -> str:
    """What tools do: every picture on a seed of its own, and the best picture's arm is the result."""
    arms = photo.rng().sample(list(photo.truth.worth), len(photo.truth.worth))
    return max((TrialKey(arms[index % len(arms)], 100 + index) for index in range(images)), key=photo.truth.score).arm


def _pictures(drawn: Sequence[Trial], arm: str) -> int:
    return sum(trial.arm == arm for trial in drawn)


CHOSEN = "halving to three meetings, shared factors"
CHOOSERS: dict[str, Chooser] = {
    CHOSEN: halved(lambda photo: photo.factors),
    "halving to three meetings, each arm alone": halved(lambda photo: photo.alone),
    "the ladder before, shared factors": halved(lambda photo: photo.factors, ladder_before),
    "the ladder before, each arm alone": halved(lambda photo: photo.alone, ladder_before),
    "top-two Thompson, shared factors": one_by_one(top_two),
    "knowledge gradient, shared factors": one_by_one(knowledge_gradient),
    "best single image": best_single_image,
}


@dataclass(frozen=True)
class AllocationRow:
    """One chooser at one budget, points of similarity: `regret`, its distance to the chosen way on the same photos, and
    the gain over the plain list; `…_error` is half a 95 % interval over photos."""

    world: str
    method: str
    budget: int
    images: int
    regret: float
    regret_error: float
    behind: float
    behind_error: float
    gain: float


def worlds(photos: int, seed: int) -> Mapping[str, list[SimulatedChoice]]:
    """The same photos cold and warm, and photos whose arms have nothing in common."""
    import numpy as np

    setting, rng = RunSetting(), np.random.default_rng(seed)
    truths = [PhotoTruth(setting, rng) for _ in range(photos)]
    cold = ArmModel.of_factors(setting.arms), ArmModel.of_arms(list(setting.arms))
    found = {"cold": [SimulatedChoice(truth, *cold) for truth in truths], "warm": []}
    for first in range(0, photos, PHOTOS):
        warm = _learned(setting, rng)
        found["warm"] += [SimulatedChoice(truth, *warm) for truth in truths[first : first + PHOTOS]]
    bare = {arm: {} for arm in setting.arms}
    apart = RunSetting(arms=bare, own_sd=0.03, luck_sd=0.04, picture_sd=0.03, photo_spread=0.0)
    alone = ArmModel.of_arms(list(bare))
    found["nothing in common"] = [SimulatedChoice(PhotoTruth(apart, rng), alone, alone) for _ in range(photos)]
    return found


def _learned(setting: RunSetting, rng) -> tuple[ArmModel, ArmModel]:
    """What sixteen other photos taught, of the factors and of each arm alone."""
    rows, arms, images = [], list(setting.arms), plan_budget(setting.images, len(setting.arms)).search
    for index in range(PHOTOS):
        photo = SimulatedChoice(PhotoTruth(setting, rng), model := ArmModel.of_factors(setting.arms), model)
        search = SuccessiveHalving(arms, SEEDS, images, rng=photo.rng(), model=model)
        drawn: list[Trial] = []
        while shots := search.ask():
            drawn += photo.truth.trials(shots)
            search.tell(drawn)
        rows.append(PhotoResult.from_trials(f"{index}", "dress", "model", drawn))
    alone: Mapping[str, ArmPrior] = learn_priors(rows).for_photo("dress", "model")
    return ArmModel.of_factors(setting.arms, learn_factor_priors(rows, setting.arms)), ArmModel.of_arms(arms, alone)


def compare(photos: int, seed: int, budgets: Sequence[int]) -> list[AllocationRow]:
    """Every chooser at every budget in every world."""
    import numpy as np

    rows = []
    for world, found in worlds(photos, seed).items():
        for budget in budgets:
            images = plan_budget(budget, len(RunSetting().arms)).search
            regrets: dict[str, np.ndarray] = {}
            for method, choose in CHOOSERS.items():
                arms = [choose(photo, images) for photo in found]
                pairs = list(zip(found, arms, strict=True))
                regrets[method] = 100 * np.array([photo.truth.regret(arm) for photo, arm in pairs])
                gain = 100 * float(np.mean([photo.truth.gain(arm) for photo, arm in pairs]))
                behind = regrets[method] - regrets[CHOSEN]
                figures = [v for x in (regrets[method], behind) for v in (x.mean(), 1.96 * x.std() / photos**0.5)]
                rows.append(
                    AllocationRow(world, method, budget, images, *(round(float(v), 3) for v in (*figures, gain)))
                )
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulates and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m modiste.bench.allocation", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--photos", type=int, default=2000, help="simulated photos of each world (default 2000)")
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)))
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    if chosen.photos < 2:
        parser.error("--photos must be 2 or more")
    rows = compare(chosen.photos, chosen.seed, [int(budget) for budget in chosen.budgets.split(",")])
    print(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False) if chosen.json else as_text(rows))


def as_text(rows: Sequence[AllocationRow]) -> str:
    """The tables for people: regret in points, ± half a 95 % interval; in brackets how far behind the chosen way."""
    lines: list[str] = []
    for world in dict.fromkeys(row.world for row in rows):
        mine = [row for row in rows if row.world == world]
        budgets = {row.budget: row.images for row in mine}
        heads = [f"{budget} ({images} to search)" for budget, images in budgets.items()]
        lines += ["", f"{world:44}" + "".join(f"{head:>30}" for head in heads)]
        for method in dict.fromkeys(row.method for row in mine):
            cells = [
                f"{row.regret:.2f} ± {row.regret_error:.2f} ({row.behind:+.2f} ± {row.behind_error:.2f})"
                for row in mine
                if row.method == method
            ]
            lines.append(f"{method:44}" + "".join(f"{cell:>30}" for cell in cells))
    return "\n".join(lines[1:])


if __name__ == "__main__":
    main()
