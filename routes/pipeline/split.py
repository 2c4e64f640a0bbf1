"""One split of the photos that all three stages obey.

photos → proof (the verdict's alone) | validation (which checkpoint?) | training (search, gradient)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ...core.errors import InputError
from ...fashion.photos import garment_of
from ...trainer.data.held_out import uniform

if TYPE_CHECKING:
    from ...fashion.photos import Photo

PROOF_SHARE, VALIDATION_SHARE = 0.3, 0.1
MOST_PROOF, MOST_VALIDATION = 16, 24  # photos: more prove little more, and each costs pictures
LEAST_PROOF, LEAST_VALIDATION = 3, 2
LEAST_PHOTOS = LEAST_PROOF + LEAST_VALIDATION + 3


# ── the split ──


class SplitPhoto(BaseModel):
    """A photo and the garment that it shows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    sha256: str
    garment: str


class Split(BaseModel):
    """Which photo is for what; recorded beside the run, and the same for the same photos."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    training: tuple[SplitPhoto, ...]  # the search's too
    validation: tuple[SplitPhoto, ...]  # chooses the checkpoint
    proof: tuple[SplitPhoto, ...]  # seen by the verdict alone

    def of(self, part: Sequence[SplitPhoto], photos: Iterable[Photo]) -> list[Photo]:
        """The photos of a part, in the part's order."""
        by_content = {photo.sha256: photo for photo in photos}
        return [by_content[photo.sha256] for photo in part]


def split_photos(photos: Sequence[Photo]) -> Split:
    """By content, so that a photo stays on its side whatever comes or goes beside it; proof takes whole garments.

    Validation has the smallest hashes of the rest: those that the trainer holds out (trainer/data/dataset.py).
    """
    garments: dict[str, list[Photo]] = {}
    for photo in photos:
        garments.setdefault(garment_of(photo.path), []).append(photo)
    if len(photos) < LEAST_PHOTOS or len(garments) <= LEAST_PROOF:
        raise InputError(
            f"{len(photos)} photos of {len(garments)} garments are too few to keep some for the proof",
            to_try=f"{LEAST_PHOTOS} photos of {LEAST_PROOF + 1} garments are the least, 20 photos are a collection",
        )
    last_first = sorted(
        garments.values(), key=lambda garment: max(uniform(photo.sha256) for photo in garment), reverse=True
    )
    proof_size = _count(len(photos), PROOF_SHARE, LEAST_PROOF, MOST_PROOF)
    proof: list[Photo] = []
    for index, garment in enumerate(last_first):
        if index >= LEAST_PROOF and len(proof) + len(garment) > proof_size:
            break
        proof += garment
    rest = sorted((photo for photo in photos if photo not in proof), key=lambda photo: uniform(photo.sha256))
    held = min(_count(len(photos), VALIDATION_SHARE, LEAST_VALIDATION, MOST_VALIDATION), len(rest) - 1)
    if held < 1:
        raise InputError("the photos of the proof leave nothing to train on", to_try="photos of more garments")
    return Split(training=_named(rest[held:]), validation=_named(rest[:held]), proof=_named(proof))


def _count(photos: int, share: float, least: int, most: int) -> int:
    return min(most, max(least, round(share * photos)))


def _named(photos: Sequence[Photo]) -> tuple[SplitPhoto, ...]:
    return tuple(
        SplitPhoto(path=str(photo.path), sha256=photo.sha256, garment=garment_of(photo.path)) for photo in photos
    )
