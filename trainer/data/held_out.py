"""Which photos are kept for validation: whole garments, as many photos as the share says.

A photo of a garment that is trained on says little about garments that are not: near-copies on both sides would reward
learning by heart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from ...core.errors import InputError
from .config import DataConfig
from .sample import Sample

Garment = Callable[[Path], str]  # a photo's file → what it shows; photos of one garment have one name


def held_out_of(samples: Sequence[Sample], config: DataConfig, garment: Garment | None = None) -> list[Sample]:
    """The samples to hold out; without `garment` each photo is a garment of its own. Config says by which rule."""
    if config.held_out_by == "photo":
        return _by_photo(samples, config)
    count = max(config.held_out_least, round(config.held_out * len(samples)))
    return _by_garment(samples, min(count, len(samples) // 2), garment or str)


def _by_garment(samples: Sequence[Sample], count: int, garment: Garment) -> list[Sample]:
    """Garments in an order by content, each that does not exceed `count` photos; the smallest where none does.

    At least one garment trains.
    """
    garments: dict[str, list[Sample]] = {}
    for sample in samples:
        garments.setdefault(garment(sample.path), []).append(sample)
    in_order = sorted(garments.values(), key=lambda photos: uniform(min(photo.sha256 for photo in photos)))
    held_out: list[Sample] = []
    for photos in in_order:
        if len(held_out) + len(photos) <= count:
            held_out += photos
    if count and not held_out and len(garments) > 1:
        held_out = min(in_order, key=len)
    return held_out if len(held_out) < len(samples) else []


def _by_photo(samples: Sequence[Sample], config: DataConfig) -> list[Sample]:
    """A share by content: a photo stays on its side whatever comes or goes beside it, and the count varies.

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
