"""The score's two anchors from a catalogue's embeddings: pairs of one garment, and of others of its category.

zero      median cosine of photos of different garments of one category
hundred   median cosine of two photos of one garment; where none has two, of a photo and an altered copy of it

Both after the catalogue's mean, of one photo a garment, is taken out (calibration.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from ..core.errors import InputError

if TYPE_CHECKING:
    import torch
    from PIL import Image

LEAST_GARMENTS = 8
LEAST_PAIRS = 5  # of one garment; fewer are no median
MOST_PAIRS_A_CATEGORY = 20_000
ALTERED_CROP, ALTERED_LIGHT = 0.06, 0.93  # share of a side cut off; brightness


@dataclass(frozen=True)
class CataloguePhotos:
    """Unit vectors [N, D] of N photos, each with its garment and its category; `altered` [N, D]: of altered copies."""

    embeds: torch.Tensor
    garments: Sequence[str]
    categories: Sequence[str]
    altered: torch.Tensor | None = None


@dataclass(frozen=True)
class MeasuredAnchors:
    """Anchors as measured: centred and raw, with how many garments and pairs they rest on."""

    zero: float
    hundred: float
    raw_zero: float
    raw_hundred: float
    garments: int
    same_pairs: int
    other_pairs: int
    by_category: bool  # False: no category has two garments, so the zero is of all
    from_altered: bool  # the hundred is of altered copies, which are more alike than two photos
    mean: torch.Tensor


def has_second_photos(garments: Sequence[str]) -> bool:
    """Whether enough garments have two photos for the upper anchor."""
    return len(_same_garment(garments)) >= LEAST_PAIRS


def measure_anchors(photos: CataloguePhotos) -> MeasuredAnchors:
    """The anchors; InputError for too few garments, and where two photos of one are less alike than two garments."""
    import torch

    first = {garment: index for index, garment in reversed(list(enumerate(photos.garments)))}
    if len(first) < LEAST_GARMENTS:
        raise InputError(
            f"{len(first)} garments are too few to measure on", to_try=f"photos of {LEAST_GARMENTS} garments or more"
        )
    mean = photos.embeds[sorted(first.values())].mean(0)
    same = _same_garment(photos.garments)
    from_altered = len(same) < LEAST_PAIRS
    others = _same_category(sorted(first.values()), photos.categories)
    by_category = len(others) >= LEAST_PAIRS
    if not by_category:
        others = list(combinations(sorted(first.values()), 2))[:MOST_PAIRS_A_CATEGORY]

    def medians(centre: torch.Tensor) -> tuple[float, float]:
        units = torch.nn.functional.normalize(photos.embeds - centre, dim=-1)
        low = _cosines(units, units, others).median()
        if from_altered and photos.altered is not None:
            copies = torch.nn.functional.normalize(photos.altered - centre, dim=-1)
            high = (units * copies).sum(-1).median()
        else:
            high = _cosines(units, units, same).median()
        return round(float(low), 4), round(float(high), 4)

    zero, hundred = medians(mean)
    raw_zero, raw_hundred = medians(torch.zeros_like(mean))
    if not zero < hundred:
        raise InputError(
            f"photos of one garment (median {hundred:.3f}) are no more alike to this encoder than other garments "
            f"({zero:.3f})",
            to_try="check how garments are told apart (--by names or folders), or another --encoder",
        )
    counts = (len(first), len(photos.garments) if from_altered else len(same), len(others))
    return MeasuredAnchors(zero, hundred, raw_zero, raw_hundred, *counts, by_category, from_altered, mean)


def _same_garment(garments: Sequence[str]) -> list[tuple[int, int]]:
    """Neighbouring photos of each garment: one with ten photos counts nine times, not forty-five."""
    places = _places(garments)
    return [pair for indices in places.values() for pair in zip(indices, indices[1:], strict=False)]


def _same_category(firsts: Sequence[int], categories: Sequence[str]) -> list[tuple[int, int]]:
    pairs = []
    for indices in _places([categories[index] for index in firsts]).values():
        members = [firsts[index] for index in indices]
        pairs += list(combinations(members, 2))[:MOST_PAIRS_A_CATEGORY]
    return pairs


def _places(names: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        if name:  # a photo whose category nobody knows is of none
            places[name].append(index)
    return places


def _cosines(first: torch.Tensor, second: torch.Tensor, pairs: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Cosines [P] of pairs of rows of two tensors [N, D]."""
    import torch

    left, right = torch.tensor(list(pairs)).T
    return (first[left] * second[right]).sum(-1)


def altered_view(image: Image.Image) -> Image.Image:
    """A photo as if taken again: its margin cut off, a little darker."""
    from PIL import ImageEnhance

    cut = (round(image.width * ALTERED_CROP), round(image.height * ALTERED_CROP))
    inner = image.crop((cut[0], cut[1], image.width - cut[0], image.height - cut[1]))
    return ImageEnhance.Brightness(inner).enhance(ALTERED_LIGHT)
