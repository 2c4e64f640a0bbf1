"""Seeds and generators that follow from one seed and what they are for, the same on every machine."""

from __future__ import annotations

import hashlib
import json
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def seed_for(seed: int, *names: str | int) -> int:
    """A number 0 … 2⁶³ − 1 of `seed` and `names`, the same on every machine and in every version of Python."""
    digest = hashlib.blake2b(json.dumps([seed, *names]).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def random_for(seed: int, epoch: int, sample: str, visit: int, purpose: str) -> Random:
    """Python's generator for one purpose of one visit; use its `random()`, which stays the same among versions."""
    return Random(seed_for(seed, epoch, sample, visit, purpose))


def generator_for(seed: int, epoch: int, sample: str, visit: int, purpose: str) -> torch.Generator:
    """torch's generator for one purpose of one visit, on the CPU: the same numbers for every device and batch size."""
    import torch

    return torch.Generator().manual_seed(seed_for(seed, epoch, sample, visit, purpose))
