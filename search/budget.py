"""How one photo's images are shared between choosing a prompt and proving it."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.errors import InputError


@dataclass(frozen=True)
class BudgetPlan:
    """Every image of one photo, by purpose: `search` + `winner` + `baseline` + `minimal` + `rival` ≤ `total`.

    `search` counts the pictures of all arms that the choice is made on. Winner, baseline and minimal are then
    drawn anew, each on the same `confirm_seeds` held-out seeds; `minimal` is 0 where the pictures of the
    garment's bare name were not asked for, and 1 where the budget is small: its score is far from the others'.
    `rival` is a further arm that the winner is measured against, such as the user's own words; 0 where there is none.
    An arm that is two of them is drawn once, which spends less than planned, never more.
    """

    total: int
    search: int
    search_seeds: int  # the most common seeds that a search of these images can use
    confirm_seeds: int
    winner: int
    baseline: int
    minimal: int
    rival: int = 0

    @property
    def confirm(self) -> int:
        """Images on held-out seeds."""
        return self.winner + self.baseline + self.minimal + self.rival


SMALL, SMALL_WITH_RIVAL = 20, 24  # images; below, one picture shows what the bare name is worth
SCREENED_FROM = 32  # search images; below, a screening would take those on which the finalists meet
SCREENING = 8  # images: every word tested on one seed
DUEL = 2  # images: what the screening suggests against the winner


def screening_share(search: int) -> int:
    """How many of the search's images go into the screening that follows the halving, its duel included."""
    return SCREENING + DUEL if search >= SCREENED_FROM else 0


def plan_budget(total: int, arms: int, minimal: bool = True, rival: bool = False) -> BudgetPlan:
    """Shares `total` images of one photo that `arms` strategies compete for; InputError where they are too
    few.

    Half of the images choose, up to three an arm (a third, where that is more), and the rest prove; a small
    budget holds out three seeds as long as four images are left to choose with, then two. The split with the
    largest gain that is also proven, in the simulated setting of `simulation.py` with ten arms and 8 … 40
    images. A `rival` is drawn on as many seeds as the winner, on one where the winner would keep one only.
    """
    least = 2 if arms > 1 else 0  # a choice between one picture each
    if arms < 1 or total < 2 + minimal + rival + least:
        raise InputError(
            f"{total} images and {arms} strategies can't be both searched and confirmed",
            to_try=f"give a budget of {2 + minimal + rival + least} images or more, better 20 and more",
        )
    search = max(total // 3, min(total // 2, 3 * arms)) if arms > 1 else 0
    seeds = (total - search) // (2 + minimal + rival)
    bare, others = seeds * minimal, seeds * rival
    if total < (SMALL_WITH_RIVAL if rival else SMALL):
        bare = int(minimal)
        seeds = _seeds_of_small(total - bare, least, 2 + rival)
        others = seeds * rival
        if rival and seeds == 1:
            seeds, others = _seeds_of_small(total - bare - 1, least, 2), 1
    search = total - 2 * seeds - bare - others if arms > 1 else 0
    return BudgetPlan(total, search, search // 2, seeds, seeds, seeds, bare, others)


def _seeds_of_small(images: int, least: int, sides: int) -> int:
    """Held-out seeds of a small budget for so many `sides`: three where twice the `least` is left to choose with."""
    return max(min(3, (images - 2 * least) // sides), min(2, (images - least) // sides), 1)
