"""Which photos are kept for validation: a share by content, so that a photo stays on its side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ...core.errors import InputError
from .config import DataConfig
from .sample import Sample


def held_out_of(samples: Sequence[Sample], config: DataConfig) -> list[Sample]:
    """A share by content: a photo stays on its side whatever comes or goes beside it.

    Where the share gives fewer than `held_out_least`, those of the smallest hashes: then a new photo can take the
    place of one of them, and of no more than one.
    """
    by_hash = sorted((uniform(sample.sha256), sample.id, sample) for sample in samples)
    held_out = [sample for place, _, sample in by_hash if place < config.held_out]
    if len(held_out) < config.held_out_least:
        held_out = [sample for _, _, sample in by_hash[: config.held_out_least]]
    if len(held_out) == len(samples):
        raise InputError(
            f"held_out_least {config.held_out_least} and held_out {config.held_out} of {len(samples)} photos leave "
            "nothing to train",
            to_try="give more photos, or set both to 0 for no validation",
        )
    return held_out


def uniform(sha256: str) -> float:
    """0 … 1 of a content, the smallest held out; a hash of the hash, as its first digits are used elsewhere."""
    digest = hashlib.blake2b(f"held out {sha256}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
