"""A comparison's pictures → its report, figure by figure; and the verdict, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any

from ...core.files import size_bytes
from ...core.version import VERSION
from ...reports.comparison import (
    Arm,
    ComparisonReport,
    Diversity,
    Gain,
    ProofPhoto,
    Strength,
    Training,
    TunedModelReport,
)
from ...reports.comparison_texts import words
from ...reports.prompt import Interval, Skipped
from ...reports.verdict_sentences import in_words
from ...trainer.loop.loss_curve import running_mean
from ..report_parts import ELSEWHERE_IN_THE_REPORT, calibration_of, copy_photo, interval_of, rounded_mean
from .memorisation import diversity_of, memorisation_of
from .rule import gain_over_garments
from .tagged_pictures import TaggedPicture, tagged_pictures
from .verdict import verdict_of

if TYPE_CHECKING:
    from ...fashion.photos import Photo, Skip
    from .pairs import ComparisonRun, JudgedPicture, PhotoPair
    from .tuned import TunedModel

COMPARED = (
    ("words", "name"),
    ("tuned", "base"),
    ("tuned", "words"),
    ("tuned", "name"),
    ("tuned_words", "words"),
    ("words", "base"),
)
POINTS = 400  # of the loss curve in the report
FEW_GARMENTS = 3


def report_of(
    run: ComparisonRun,
    pairs: Sequence[PhotoPair],
    training: Sequence[Photo],
    strength: float | None,
    skipped: Sequence[Skip],
) -> ComparisonReport:
    """The report; copies each photo into the run's folder as it was read. `strength`: the LoRA's, None: a model."""
    vision, settings, folder = run.session.vision, run.settings, run.journal.folder
    pictures = [picture for index, pair in enumerate(pairs) for picture in tagged_pictures(index, pair, vision.tagger)]
    judged = vision.judge is not None
    gains = gains_of(pictures, judged)
    done = [record for record in run.journal.rows() if record.state == "done"]
    report = ComparisonReport(
        version=VERSION,
        created=run.journal.created,
        preset=settings.preset,
        host=run.session.host.describe().model_dump(mode="json", exclude={"samplers"}),
        settings=settings.model_dump(mode="json", exclude=ELSEWHERE_IN_THE_REPORT),
        seeds={"choose": list(run.seeds.search) if settings.strengths else [], "confirm": list(run.seeds.confirm)},
        calibration=calibration_of(vision.scorer),
        judge=calibration_of(vision.judge) if vision.judge else None,
        tuned=_tuned(run.tuned),
        arms=[_arm(name, pictures, strength if name.startswith("tuned") else None, judged) for name in pairs[0].arms],
        gains=gains,
        strengths=_strengths(pairs, judged),
        images=[_photo(index, pair, pictures, folder) for index, pair in enumerate(pairs)],
        diversity=Diversity(
            tuned=diversity_of([picture for picture in pictures if picture.arm == "tuned"], vision.scorer),
            base=diversity_of([picture for picture in pictures if picture.arm == "base"], vision.scorer),
        ),
        memorisation=memorisation_of(pictures, pairs, training, vision.scorer, folder) if training else None,
        verdict=verdict_of(gains, judged, strength, _identical(pairs)),
        pictures=len(done),
        elapsed_s=round(sum(record.elapsed_s or 0.0 for record in done), 3),
        notes=_notes(run.tuned, pairs),
        skipped=[Skipped(path=str(bad.path), code=bad.code, reason=bad.reason) for bad in skipped],
    )
    return in_words(report)


# ── figures ──


def _arm(name: str, pictures: Sequence[TaggedPicture], strength: float | None, judged: bool) -> Arm:
    drawn = [picture for picture in pictures if picture.arm == name]
    groups = dict.fromkeys(group for picture in drawn for group in picture.shows)
    return Arm(
        name=name,
        strength=strength,
        similarity=rounded_mean([picture.by("scorer") for picture in drawn]),
        judge=rounded_mean([picture.by("judge") for picture in drawn]) if judged else None,
        agreement={
            group: rounded_mean([picture.shows[group] for picture in drawn if group in picture.shows])
            for group in groups
        },
        adherence=rounded_mean([picture.adherence for picture in drawn]),
        spread=rounded_mean([stdev(scores) if len(scores) > 1 else 0.0 for scores in _scores_by_photo(drawn)]),
        pictures=len(drawn),
    )


def _scores_by_photo(pictures: Sequence[TaggedPicture]) -> list[list[float]]:
    photos: dict[int, list[float]] = {}
    for picture in pictures:
        photos.setdefault(picture.photo, []).append(picture.by("scorer"))
    return list(photos.values())


def gains_of(pictures: Sequence[TaggedPicture], judged: bool) -> list[Gain]:
    """Every compared pair of arms, by scorer, judge and agreement, there of each group too."""
    gains, groups = [], list(dict.fromkeys(group for picture in pictures for group in picture.shows))
    for arm, over in COMPARED:
        for who in ("scorer", "judge", "agreement") if judged else ("scorer", "agreement"):
            gains.append(Gain(arm=arm, over=over, by=who, interval=_paired(pictures, arm, over, who)))
        for group in groups:
            interval = _paired(pictures, arm, over, "agreement", group)
            gains.append(Gain(arm=arm, over=over, by="agreement", group=group, interval=interval))
    return gains


def _paired(pictures: Sequence[TaggedPicture], arm: str, over: str, who: str, group: str | None = None) -> Interval:
    """Picture by picture: the same photo on the same seed."""
    with_group = [picture for picture in pictures if group is None or group in picture.shows]
    partners = {
        (picture.photo, picture.picture.candidate.seed): picture for picture in with_group if picture.arm == over
    }
    drawn = [picture for picture in with_group if picture.arm == arm]
    # The name alone draws other garments: how far below 0 they lie means nothing.
    score = TaggedPicture.by if over == "name" else TaggedPicture.unclipped
    ours = [score(picture, who, group) for picture in drawn]
    theirs = [score(partners[picture.photo, picture.picture.candidate.seed], who, group) for picture in drawn]
    return interval_of(gain_over_garments(ours, theirs, [picture.garment for picture in drawn]))


def _strengths(pairs: Sequence[PhotoPair], judged: bool) -> list[Strength]:
    strengths = []
    for strength in pairs[0].by_strength:
        drawn = [picture for pair in pairs for picture in pair.by_strength[strength]]
        opinions = [picture.judge.similarity for picture in drawn if picture.judge is not None]
        strengths.append(
            Strength(
                strength=strength,
                similarity=rounded_mean([picture.picture.score.similarity for picture in drawn]),
                judge=rounded_mean(opinions) if judged else None,
            )
        )
    return strengths


def _photo(index: int, pair: PhotoPair, pictures: Sequence[TaggedPicture], folder: Path) -> ProofPhoto:
    of_photo = [picture for picture in pictures if picture.photo == index]

    def means(who: str) -> dict[str, float]:
        return {arm: rounded_mean([item.by(who) for item in of_photo if item.arm == arm]) for arm in pair.arms}

    return ProofPhoto(
        image=str(pair.photo.path),
        image_sha256=pair.photo.sha256,
        garment=pair.garment,
        photo_copy=copy_photo(pair.photo, folder),
        tags=[
            {"group": tag.group, "label": tag.label, "confidence": round(tag.confidence, 4)} for tag in pair.tags.tags
        ],
        prompts={arm: prompt.positive for arm, prompt in pair.prompts.items()},
        similarity=means("scorer"),
        judge={} if any(picture.judge is None for picture in pictures) else means("judge"),
        pictures={arm: _files(drawn, folder) for arm, drawn in pair.arms.items()},
        strengths={f"{strength:g}": _files(drawn, folder) for strength, drawn in pair.by_strength.items()},
    )


def _identical(pairs: Sequence[PhotoPair]) -> bool:
    """Whether base and tuned drew the same confirm pictures of the same prompts, pixel by pixel."""
    from PIL import Image

    def pixels(judged: JudgedPicture) -> bytes | None:
        path = judged.picture.path
        return None if path is None else Image.open(path).convert("RGB").tobytes()

    same = (
        pixels(base) == pixels(tuned)
        for pair in pairs
        for base, tuned in zip(pair.arms["base"], pair.arms["tuned"], strict=True)
    )
    return all(same)


def _files(judged: Sequence[JudgedPicture], folder: Path) -> list[str]:
    paths = [item.picture.path for item in judged]
    return [path.relative_to(folder).as_posix() for path in paths if path is not None]


# ── what is known ──


def _tuned(tuned: TunedModel) -> TunedModelReport:
    return TunedModelReport(
        kind=tuned.kind,
        file=str(tuned.file),
        identity=tuned.identity,
        bytes=size_bytes(tuned.file),
        trigger=tuned.trigger,
        training=training_of(tuned.record) if tuned.record else None,
    )


def training_of(record: dict[str, Any]) -> Training:
    """What a train.json says of how the file was made, whichever engine made it."""
    losses = list(record.get("running_losses", {}).values())  # sd-scripts keeps no others
    if "losses" in record:
        losses = running_mean(record["losses"], max(1, len(record["losses"]) // 20))
    thin = max(1, -(-len(losses) // POINTS))
    gain = record.get("gain")
    return Training(
        photos=record["photos"]["training"],
        steps=record["steps"],
        best_step=record["best_step"],
        batch_size=record["plan"]["batch_size"],
        learning_rate=record["config"]["learning_rate"],
        gain=Interval(**{name: gain[name] for name in ("mean", "low", "high", "confidence", "n")}) if gain else None,
        reason=record["reason"],
        losses=[round(loss, 6) for loss in losses[::thin]],
        validation=[
            {"step": result["step"], **{name: round(result["gain"][name], 6) for name in ("mean", "low", "high")}}
            for result in record["validation"]
        ],
    )


def _notes(tuned: TunedModel, pairs: Sequence[PhotoPair]) -> list[str]:
    notes = {
        "unknown_training": tuned.trained_on is None,
        "few_garments": len({pair.garment for pair in pairs}) < FEW_GARMENTS,
    }
    return [words(key, "en") for key, holds in notes.items() if holds]
