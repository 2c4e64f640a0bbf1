"""Which of many arms is the best, when every arm can be drawn on the same blocks (a photo and a seed).

    blocks    1 …  4   15 arms
    blocks    5 …  8    7 arms       an arm that is proven worse than the leading one stops drawing, and of the others
    blocks    9 … 16    3 arms       the weaker half does: 144 pictures, where all arms on all blocks would take 480,
    blocks   17 … 32    2 arms       and at most 28 more where a favourite goes on with them

Halving as in Karnin, Koren & Somekh, "Almost Optimal Exploration in Multi-Armed Bandits" (ICML 2013), algorithm 1; the
elimination within its rounds as in Even-Dar, Mannor & Mansour, "Action Elimination and Stopping Conditions for the
Multi-Armed Bandit" (JMLR 7, 2006), §3, with Student's intervals of paired differences, corrected for all pairs of arms
in all rounds (Bonferroni: which arm leads is known only afterwards). Whichever arm is chosen, its gain is measured
anew: the pictures that chose it flatter it.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ..core.errors import InputError
from .confirmation import paired_gain

ROUNDS = 4
FINALISTS = 2
LEVEL = 0.05  # probability that any arm that is the best is called proven worse


@dataclass(frozen=True)
class EliminationRound:
    """At most `arms` take part, and have been drawn on the first `blocks` blocks when it ends."""

    arms: int
    blocks: int


def elimination_rounds(arms: int, blocks: int, rounds: int = ROUNDS) -> tuple[EliminationRound, ...]:
    """Half of the arms leave and the blocks double from round to round; the last round has all blocks.

    InputError where there is no arm or no block.
    """
    if arms < 1 or blocks < 1:
        raise InputError(f"{arms} arms can't be compared on {blocks} blocks", to_try="give at least one of each")
    plan: list[EliminationRound] = []
    for place in range(rounds):
        width = max(min(arms, FINALISTS), arms >> place)
        depth = -(-blocks // 2 ** (rounds - 1 - place))
        if plan and (depth <= plan[-1].blocks):
            plan[-1] = EliminationRound(plan[-1].arms, depth)
            continue
        plan.append(EliminationRound(width, depth))
    return tuple(plan)


@dataclass(frozen=True)
class RoundResult:
    """The arms of a round, best first, and those of them that are proven worse than the first."""

    order: tuple[str, ...]
    eliminated: frozenset[str]


def going_on(result: RoundResult, arms: int, favourites: Collection[str] = ()) -> list[str]:
    """Who takes part in the next round of `arms`, best first; the best of `favourites` besides, unless proven worse."""
    left = [name for name in result.order if name not in result.eliminated]
    favourite = next((name for name in left if name in favourites), None)
    return [name for place, name in enumerate(left) if place < arms or name == favourite]


def judge_round(
    scores: Mapping[str, Sequence[float]], clusters: Sequence[Hashable], comparisons: int, level: float = LEVEL
) -> RoundResult:
    """The result of a round from each arm's scores on the same blocks, block by block.

    `clusters` names the garment of each block: pictures of one garment are no independent witnesses. `comparisons`:
    how many pairs of arms there are in all rounds, by which the level of each is divided. Two garments prove hardly
    anything so, and the halving stops what is behind there without calling it proven.
    """
    order = sorted(scores, key=lambda arm: -fmean(scores[arm]))
    means = {arm: _by_cluster(scores[arm], clusters) for arm in order}
    leader = means[order[0]]
    confidence = 1 - level / max(1, comparisons)
    eliminated = {arm for arm in order[1:] if paired_gain(means[arm], leader, confidence).high < 0}
    return RoundResult(tuple(order), frozenset(eliminated))


def _by_cluster(scores: Sequence[float], clusters: Sequence[Hashable]) -> list[float]:
    groups: dict[Hashable, list[float]] = {}
    for score, cluster in zip(scores, clusters, strict=True):
        groups.setdefault(cluster, []).append(score)
    return [fmean(group) for group in groups.values()]
