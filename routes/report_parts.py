"""What both reports need: calibration, intervals, and a copy of each photo as it was read."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.files import make_folder, write_whole
from ..reports.prompt import CalibrationReport, Interval
from ..search.confirmation import PairedGain, mean_gain

if TYPE_CHECKING:
    from ..fashion.photos import Photo
    from ..fashion.scorer import Scorer


PHOTOS = "photos"  # folder of the photos as they were read
# Of a run's settings: the report has them at its head or with each photo.
ELSEWHERE_IN_THE_REPORT = {"preset", "host", "checkpoint", "checkpoint_hash", "words", "captions"}
PHOTO_SIDE = 768  # pixels; the report shows them smaller


def rounded_mean(values: Sequence[float], digits: int = 6) -> float:
    """The mean as reports hold it."""
    return round(sum(values) / len(values), digits)


def calibration_of(scorer: Scorer) -> CalibrationReport:
    """Its anchors, as reports hold them."""
    anchors = scorer.calibration
    return CalibrationReport(
        kind=anchors.kind,
        encoder=scorer.encoder.identity.key,
        zero=anchors.zero,
        hundred=anchors.hundred,
        raw_zero=anchors.raw_zero,
        raw_hundred=anchors.raw_hundred,
        pairs=anchors.pairs,
        note=anchors.note,
    )


def interval_of(gain: PairedGain) -> Interval:
    """A gain, as reports hold it."""
    return Interval(
        mean=round(gain.mean, 6),
        low=round(gain.low, 6),
        high=round(gain.high, 6),
        confidence=gain.confidence,
        n=gain.n,
    )


def mean_interval(values: Sequence[float], clusters: Sequence[Hashable]) -> Interval | None:
    """The mean of scores with its interval over `clusters`, such as garments; None where there is only one."""
    return interval_of(mean_gain(values, clusters)) if len(set(clusters)) > 1 else None


def copy_photo(photo: Photo, folder: Path) -> str:
    """The photo as it was read, small, so that the run's folder explains itself; its path in the folder."""
    name = f"{PHOTOS}/{photo.sha256[:12]}.jpg"
    if not (folder / name).exists():
        small, data = photo.image.copy(), BytesIO()
        small.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
        small.save(data, "JPEG", quality=90)
        make_folder((folder / name).parent)
        write_whole(folder / name, data.getvalue())
    return name
