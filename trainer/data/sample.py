"""What the data of a run consists of: photos as they are read, samples, and the dataset they make."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .buckets import Bucket, Crop

if TYPE_CHECKING:
    from PIL import Image

ID_DIGITS = 16


@dataclass(frozen=True)
class ReadPhoto:
    """A photo read from its file: RGB, upright; `sha256` is the file's.

    Its reader should not make it smaller than the largest bucket: what is smaller is drawn larger again.
    """

    path: Path
    image: Image.Image
    sha256: str
    size: tuple[int, int] | None = None  # width, height of the photo in the file, upright; None: as `image`


Read = Callable[[Path], ReadPhoto]  # raises an InputError that has a `code` and a `reason` where it can't
Tag = Callable[[Sequence[Any]], "list[str]"]  # ReadPhotos → their captions


@dataclass(frozen=True)
class Mask:
    """Where a photo counts. `box` holds all of it: left, top, right, bottom, as shares of the picture."""

    path: Path
    sha256: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Sample:
    """A picture of the data. `id` is of its content, so that a renamed file is the same sample."""

    id: str
    path: Path
    sha256: str
    caption: str
    repeats: int
    bucket: Bucket
    crop: Crop
    mask: Mask | None = None
    prior: bool = False
    weight: float = 1.0  # of its loss
    original: tuple[int, int] | None = None  # width, height before it was made smaller on reading; None: not known

    @property
    def time_ids(self) -> tuple[int, int, int, int, int, int]:
        """SDXL's size conditions: original height, width, cut from top, left, target height, width (§2.2)."""
        crop = self.crop
        width, height = self.original or crop.source
        return (height, width, crop.top, crop.left, crop.height, crop.width)


@dataclass(frozen=True)
class SkippedPhoto:
    """A file that is left out, and why."""

    path: Path
    code: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """What is learned from, and what validation looks at; `samples` hold the prior pictures too."""

    samples: tuple[Sample, ...]
    held_out: tuple[Sample, ...] = ()
    skipped: tuple[SkippedPhoto, ...] = ()
    duplicates: dict[str, tuple[Path, ...]] = field(default_factory=dict)  # sha256 → its further paths
    notes: tuple[str, ...] = ()  # for people

    def manifest(self) -> list[dict[str, Any]]:
        """All that makes two datasets the same to a resumed run, as JSON; files may move."""
        rows = [(sample, False) for sample in self.samples] + [(sample, True) for sample in self.held_out]
        return [
            {
                "id": sample.id,
                "caption": hashlib.sha256(sample.caption.encode()).hexdigest()[:ID_DIGITS],
                "mask": sample.mask.sha256[:ID_DIGITS] if sample.mask else None,
                "bucket": str(sample.bucket),
                "repeats": sample.repeats,
                "prior": sample.prior,
                "held_out": held_out,
            }
            for sample, held_out in sorted(rows, key=lambda row: row[0].id)
        ]

    @property
    def manifest_sha256(self) -> str:
        """Changes with any row of the manifest."""
        return hashlib.sha256(json.dumps(self.manifest(), sort_keys=True).encode()).hexdigest()
