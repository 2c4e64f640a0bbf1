"""Seeds of one run: common to all arms, and held-out ones that the search never sees.

`photo_seed_plan` is that of searches and comparisons: each photo has seeds of its own, so that what a run learns about
strategies is not the luck of one seed, and each look at a photo decides on seeds that no look before it has seen.
`seed_plan` shares one stream out: pictures that decide nothing, and benches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from ..core.errors import InputError


@dataclass(frozen=True)
class SeedPlan:
    """`search` seeds for choosing, `confirm` seeds for the figure that is reported; no seed is in both."""

    search: tuple[int, ...]
    confirm: tuple[int, ...]


def seed_plan(base_seed: int, n_search: int, n_confirm: int) -> SeedPlan:
    """Seeds 0 … 2³²−1 derived from `base_seed` with SHA-256, the same on every platform.

    Search seeds are even and confirm seeds odd: they stay disjoint, and asking for more keeps the first ones,
    so that a run with a larger budget finds its earlier pictures again.
    """
    if min(n_search, n_confirm) < 0:
        raise InputError(f"{n_search} search and {n_confirm} confirm seeds were asked", to_try="ask for 0 or more")
    return SeedPlan(
        search=tuple(islice(_stream(base_seed, "search", last_bit=0), n_search)),
        confirm=tuple(islice(_stream(base_seed, "confirm", last_bit=1), n_confirm)),
    )


def photo_seed_plan(run_seed: int, photo: str, look: int, n_search: int, n_confirm: int) -> SeedPlan:
    """Seeds 0 … 2³²−1 of one photo, by its identity (sha256), derived as in `seed_plan` from the run's seed.

    `look` counts the photo's earlier confirmations, from 0: whoever edits the words and runs again would otherwise
    meet the same "unseen" seeds until they agree. The search's seeds stay the same at every look, so that its
    pictures are found again; its even seeds are never a confirmation's odd ones.
    """
    if min(n_search, n_confirm, look) < 0:
        raise InputError(
            f"{n_search} search and {n_confirm} confirm seeds were asked at look {look}", to_try="ask for 0 or more"
        )
    return SeedPlan(
        search=tuple(islice(_stream(run_seed, f"search|{photo}", last_bit=0), n_search)),
        confirm=tuple(islice(_stream(run_seed, f"confirm|{photo}|{look}", last_bit=1), n_confirm)),
    )


def _stream(base_seed: int, purpose: str, last_bit: int) -> Iterator[int]:
    seen: set[int] = set()
    counter = 0
    while True:
        digest = hashlib.sha256(f"modiste seeds 1|{purpose}|{base_seed}|{counter}".encode()).digest()
        seed = int.from_bytes(digest[:4], "big") & ~1 | last_bit
        counter += 1
        if seed not in seen:
            seen.add(seed)
            yield seed
