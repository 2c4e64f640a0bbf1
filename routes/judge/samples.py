"""Which step of a training, by the sample pictures that it left: nothing is drawn, so that every base model counts.

samples → step, prompt, seed → likeness to the nearest photo of the collection → paired over prompts and seeds → step

The same pictures choose and measure here, so that the best one's figure flatters it; its gains over the others are
corrected for the number of steps that it was chosen from, and `judge` with files proves them on fresh seeds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from ...core.errors import InputError
from ...core.files import make_folder, write_whole
from ...core.progress import Pace, ProgressCallback, silent
from ...core.version import VERSION
from ...fashion.photos import BadPhoto, Skip, garment_of, read_photo
from ...reports.judging import JudgedCost, JudgedReference, JudgedRow, JudgeReport
from ...reports.prompt import Skipped
from ...search.confirmation import PairedGain, mean_gain
from ..nearest_photo import nearest_photo
from ..report_parts import calibration_of, copy_photo, interval_of, mean_interval, rounded_mean
from .verdict import Compared, Judged, gains_of, level_among, verdict_of_samples

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from ...fashion.photos import Photo
    from ...fashion.scorer import Scorer
    from ...models.vision import VisionModels
    from .sample_names import TrainerSample

COPY = 1.0  # similarity: as like as a second photo of the same garment
FOLDER = "samples"  # of the pictures in the report's folder
SIDE = 512  # pixels of these copies
BATCH = 32


@dataclass(frozen=True)
class ScoredSample:
    """A sample with its likeness to the photo that it is compared with, unclipped, by the score and by the judge."""

    sample: TrainerSample
    photo: int
    score: float
    judge: float | None

    @property
    def pair(self) -> tuple[str, int] | None:
        """What it is paired by; None where its name says neither prompt nor seed."""
        if self.sample.prompt is None and self.sample.seed is None:
            return None
        return (self.sample.prompt or "", self.sample.seed if self.sample.seed is not None else -1)


def judge_samples(
    photos: Sequence[Photo],
    samples: Sequence[TrainerSample],
    vision: VisionModels,
    preset: str,
    out: Path,
    progress: ProgressCallback = silent,
    skipped: Sequence[Skip] = (),
) -> JudgeReport:
    """The report; copies of the pictures and of the photos lie in `out`.

    InputError where no name says which step it is of, or only one step is there.
    """
    from ...reports.judging_texts import in_words

    placed = [sample for sample in samples if sample.place is not None]
    if len({sample.place for sample in placed}) < 2:
        there = f"{len(samples)} pictures, {len(placed)} of them of {len({s.place for s in placed})} step(s)"
        raise InputError(
            f"nothing can be compared: {there}",
            where=str(samples[0].file.parent) if samples else "",
            to_try="a folder of samples of several steps or epochs; a samples.csv beside them says which is which",
        )
    bad: list[Skip] = []
    scored = _scored(photos, placed, vision, bad, progress)
    by_place: dict[int, list[ScoredSample]] = defaultdict(list)
    for item in scored:
        by_place[item.sample.place or 0].append(item)
    if len(by_place) < 2:
        raise InputError("fewer than two steps have a picture that can be read", to_try="other sample pictures")
    best = max(by_place, key=lambda place: fmean(item.score for item in by_place[place]))
    compared = _compared(by_place, best)
    level = level_among(len(by_place))
    rows = [_row(items, by_place[best], level, out) for _, items in sorted(by_place.items())]
    gains = gains_of(compared, chosen_from=len(by_place) - 1)
    prompts = len({item.sample.prompt for item in scored if item.sample.prompt is not None})
    report = JudgeReport(
        version=VERSION,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        kind="samples",
        preset=preset,
        calibration=calibration_of(vision.scorer),
        scorer_judge=calibration_of(vision.judge) if vision.judge else None,
        references=[
            JudgedReference(image=str(photo.path), garment=garment_of(photo.path), photo_copy=copy_photo(photo, out))
            for photo in photos
        ],
        rows=rows,
        gains=gains,
        cost=JudgedCost(copies=rounded_mean([float(item.score >= COPY) for item in by_place[best]])),
        verdict=verdict_of_samples(Judged(rows, gains, prompts)),
        pictures=len(scored),
        full_grid=len(scored),
        unpaired=sum(item.pair is None for item in scored) + len(samples) - len(placed),
        skipped=[Skipped(path=str(item.path), code=item.code, reason=item.reason) for item in (*skipped, *bad)],
    )
    return in_words(report)


def _scored(
    photos: Sequence[Photo],
    samples: Sequence[TrainerSample],
    vision: VisionModels,
    bad: list[Skip],
    progress: ProgressCallback,
) -> list[ScoredSample]:
    """Every readable sample with its scores; the others join `bad`."""
    pace, scored = Pace("judge", len(samples), progress), []
    named = {photo.path.name: index for index, photo in enumerate(photos)}
    known = _embeds(vision.scorer, [photo.image for photo in photos])
    judged = _embeds(vision.judge, [photo.image for photo in photos]) if vision.judge else None
    for first in range(0, len(samples), BATCH):
        batch, images = [], []
        for sample in samples[first : first + BATCH]:
            try:
                images.append(read_photo(sample.file).image)
                batch.append(sample)
            except BadPhoto as error:
                bad.append(Skip(sample.file, error.code, error.reason))
        if not batch:
            continue
        embeds = _embeds(vision.scorer, images)
        values, indices = nearest_photo(vision.scorer, embeds, known)
        opinions = _embeds(vision.judge, images) if vision.judge else None
        for row, sample in enumerate(batch):
            index = named.get(Path(sample.photo).name, -1) if sample.photo else int(indices[row])
            if index < 0:
                raise InputError(
                    f"the photo {sample.photo!r} is not among those that were given",
                    where=str(sample.file),
                    to_try="the name of a file below --photos",
                )
            score = float(values[row])
            if sample.photo:
                score = vision.scorer.compare(embeds[row : row + 1], known[index])[0].unclipped
            judge = None
            if vision.judge and opinions is not None and judged is not None:
                judge = vision.judge.compare(opinions[row : row + 1], judged[index])[0].unclipped
            scored.append(ScoredSample(sample, index, score, judge))
            pace.step(sample.file)
    return scored


def _embeds(scorer: Scorer | None, images: Sequence[Image.Image]) -> torch.Tensor:
    """Unit vectors [N, D] of images by the encoder of a scorer that is there."""
    assert scorer is not None
    return scorer.encoder.embed_images(images)


def _compared(by_place: Mapping[int, Sequence[ScoredSample]], best: int) -> list[Compared]:
    """The best step over the last one and over the next best, on the prompts and seeds that both have."""
    order = sorted(by_place, key=lambda place: -fmean(item.score for item in by_place[place]))
    last, following = max(by_place), order[1]
    roles = {"next": following} | ({"last": last} if last not in (best, following) else {})
    if last == following:
        roles = {"last": last} | ({"next": order[2]} if len(order) > 2 else {})
    compared = []
    for role, place in roles.items():
        gain = paired(by_place[best], by_place[place], "score")
        if gain is not None:
            judge = paired(by_place[best], by_place[place], "judge")
            assert role in ("next", "last")
            compared.append(Compared(role, _label(by_place[place]), gain, judge))
    return compared


def paired(
    ours: Sequence[ScoredSample], theirs: Sequence[ScoredSample], who: str, confidence: float = 0.95
) -> PairedGain | None:
    """The gain over pairs of one prompt and seed, with prompts as the witnesses; None where there are no pairs."""
    partners: dict[tuple[str, int], list[ScoredSample]] = defaultdict(list)
    for item in theirs:
        if item.pair is not None:
            partners[item.pair].append(item)
    gains, prompts = [], []
    for item in ours:
        if item.pair is None or item.pair not in partners:
            continue
        mine, others = getattr(item, who), [getattr(other, who) for other in partners[item.pair]]
        if mine is None or any(other is None for other in others):
            return None
        gains.append(mine - fmean(others))
        prompts.append(item.pair[0])
    return mean_gain(gains, prompts, confidence) if gains else None


def _row(items: Sequence[ScoredSample], winners: Sequence[ScoredSample], level: float, out: Path) -> JudgedRow:
    first, is_best = items[0].sample, items is winners
    label = _label(items)
    gain, judge = (None if is_best else paired(winners, items, who, level) for who in ("score", "judge"))
    opinions = [item.judge for item in items if item.judge is not None]
    prompts = [item.sample.prompt or str(item.sample.file) for item in items]
    return JudgedRow(
        label=label,
        step=first.step,
        epoch=first.epoch,
        standing="best" if is_best else "judged",
        pictures=len(items),
        similarity=rounded_mean([_clipped(item.score) for item in items]),
        judge=rounded_mean([_clipped(value) for value in opinions]) if opinions else None,
        similarity_interval=mean_interval([_clipped(item.score) for item in items], prompts),
        judge_interval=mean_interval([_clipped(value) for value in opinions], prompts) if opinions else None,
        best_over_it=interval_of(gain) if gain else None,
        judge_best_over_it=interval_of(judge) if judge else None,
        files=[_copy(item.sample.file, label.replace(" ", "-"), number, out) for number, item in enumerate(items)],
    )


def _label(items: Sequence[ScoredSample]) -> str:
    """`step 600`, or `epoch 3` where no step is known."""
    sample = items[0].sample
    return f"step {sample.step}" if sample.step is not None else f"epoch {sample.epoch}"


def _clipped(value: float) -> float:
    return min(1.0, max(0.0, value))


def _copy(file: Path, name: str, number: int, out: Path) -> str:
    """A small copy of a sample in the report's folder; its path there."""
    from io import BytesIO

    from PIL import Image

    path = f"{FOLDER}/{name}-{number:03d}.jpg"
    data = BytesIO()
    with Image.open(file) as picture:
        small = picture.convert("RGB")
        small.thumbnail((SIDE, SIDE))
        small.save(data, "JPEG", quality=90)
    make_folder((out / path).parent)
    write_whole(out / path, data.getvalue())
    return path
