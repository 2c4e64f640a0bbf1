"""A comparison's pictures → its report, figure by figure; and the verdict, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING

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
from ...search.confirmation import mean_gain
from ...trainer.loop.loss_curve import running_mean
from ..report_parts import _mean, calibration_of, copy_photo, interval_of
from .memorisation import _diversity, _memorisation
from .tagged_pictures import Seen, _seen
from .verdict import _verdict

if TYPE_CHECKING:
    from ...fashion.photos import Photo, Skip
    from ...models.session import Session
    from ...runs.journal import Journal
    from ...search.seeds import SeedPlan
    from .pairs import JudgedPicture, PhotoPair
    from .settings import CompareSettings
    from .tuned import TunedModel

COMPARED = (("words", "name"), ("tuned", "base"), ("tuned", "words"), ("tuned", "name"), ("tuned_words", "words"))
POINTS = 400  # of the loss curve in the report
FEW_GARMENTS = 3


def report_of(
    pairs: Sequence[PhotoPair],
    training: Sequence[Photo],
    session: Session,
    tuned: TunedModel,
    settings: CompareSettings,
    seeds: SeedPlan,
    strength: float | None,
    journal: Journal,
    skipped: Sequence[Skip],
) -> ComparisonReport:
    """The report; copies each photo into the run's folder as it was read."""
    vision, folder = session.vision, journal.folder
    seen = [one for index, pair in enumerate(pairs) for one in _seen(index, pair, vision.tagger)]
    judged = vision.judge is not None
    gains = _gains(seen, judged)
    arms = [_arm(name, seen, strength if name.startswith("tuned") else None, judged) for name in pairs[0].arms]
    memorisation = _memorisation(seen, pairs, training, vision.scorer, folder) if training else None
    done = [record for record in journal.rows() if record.state == "done"]
    report = ComparisonReport(
        version=VERSION,
        created=journal.created,
        preset=settings.preset,
        host=session.host.describe().model_dump(mode="json", exclude={"samplers"}),
        settings=settings.model_dump(mode="json", exclude={"preset", "host", "checkpoint", "checkpoint_hash"}),
        seeds={"choose": list(seeds.search) if settings.strengths else [], "confirm": list(seeds.confirm)},
        calibration=calibration_of(vision.scorer),
        judge=calibration_of(vision.judge) if vision.judge else None,
        tuned=_tuned(tuned),
        arms=arms,
        gains=gains,
        strengths=_strengths(pairs, judged),
        images=[_photo(index, pair, seen, folder) for index, pair in enumerate(pairs)],
        diversity=Diversity(
            tuned=_diversity([one for one in seen if one.arm == "tuned"], vision.scorer),
            base=_diversity([one for one in seen if one.arm == "base"], vision.scorer),
        ),
        memorisation=memorisation,
        verdict=_verdict(gains, judged, strength),
        pictures=len(done),
        elapsed_s=round(sum(record.elapsed_s or 0.0 for record in done), 3),
        notes=_notes(tuned, pairs),
        skipped=[Skipped(path=str(bad.path), code=bad.code, reason=bad.reason) for bad in skipped],
    )
    return in_words(report)


# ── looking ──


# ── figures ──


def _arm(name: str, seen: Sequence[Seen], strength: float | None, judged: bool) -> Arm:
    mine = [one for one in seen if one.arm == name]
    groups = dict.fromkeys(group for one in mine for group in one.shows)
    return Arm(
        name=name,
        strength=strength,
        similarity=_mean([one.by("scorer") for one in mine]),
        judge=_mean([one.by("judge") for one in mine]) if judged else None,
        agreement={group: _mean([one.shows[group] for one in mine if group in one.shows]) for group in groups},
        adherence=_mean([one.adherence for one in mine]),
        spread=_mean([stdev(scores) if len(scores) > 1 else 0.0 for scores in _by_photo(mine)]),
        pictures=len(mine),
    )


def _by_photo(seen: Sequence[Seen]) -> list[list[float]]:
    photos: dict[int, list[float]] = {}
    for one in seen:
        photos.setdefault(one.photo, []).append(one.by("scorer"))
    return list(photos.values())


def _gains(seen: Sequence[Seen], judged: bool) -> list[Gain]:
    found = []
    for arm, over in COMPARED:
        for who in ("scorer", "judge", "agreement") if judged else ("scorer", "agreement"):
            found.append(Gain(arm=arm, over=over, by=who, interval=_paired(seen, arm, over, who)))
        for group in dict.fromkeys(group for one in seen for group in one.shows):
            interval = _paired(seen, arm, over, "agreement", group)
            found.append(Gain(arm=arm, over=over, by="agreement", group=group, interval=interval))
    return found


def _paired(seen: Sequence[Seen], arm: str, over: str, who: str, group: str | None = None) -> Interval:
    """Picture by picture: the same photo on the same seed; the garments are the witnesses."""
    asked = [one for one in seen if group is None or group in one.shows]
    theirs = {(one.photo, one.picture.shot.seed): one for one in asked if one.arm == over}
    mine = [one for one in asked if one.arm == arm]
    gains = [one.by(who, group) - theirs[one.photo, one.picture.shot.seed].by(who, group) for one in mine]
    if not any(gains):
        count = len({one.garment for one in mine})
        return Interval(mean=0.0, low=0.0, high=0.0, n=count)  # the same pictures, or the same tags in all of them
    return interval_of(mean_gain(gains, [one.garment for one in mine]))


def _strengths(pairs: Sequence[PhotoPair], judged: bool) -> list[Strength]:
    found = []
    for strength in pairs[0].strengths:
        seen = [one for pair in pairs for one in pair.strengths[strength]]
        judge = _mean([one.judge for one in seen]) if judged else None
        similarity = _mean([one.picture.score.similarity for one in seen])
        found.append(Strength(strength=strength, similarity=similarity, judge=judge))
    return found


def _photo(index: int, pair: PhotoPair, seen: Sequence[Seen], folder: Path) -> ProofPhoto:
    def means(who: str) -> dict[str, float]:
        return {arm: _mean([one.by(who) for one in seen if one.photo == index and one.arm == arm]) for arm in pair.arms}

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
        judge={} if any(one.judge is None for one in seen) else means("judge"),
        pictures={arm: _files(pictures, folder) for arm, pictures in pair.arms.items()},
        strengths={f"{strength:g}": _files(pictures, folder) for strength, pictures in pair.strengths.items()},
    )


def _files(witnessed: Sequence[JudgedPicture], folder: Path) -> list[str]:
    return [one.picture.path.relative_to(folder).as_posix() for one in witnessed if one.picture.path is not None]


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


def training_of(record: dict) -> Training:
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
            {"step": look["step"], **{name: round(look["gain"][name], 6) for name in ("mean", "low", "high")}}
            for look in record["validation"]
        ],
    )


def _notes(tuned: TunedModel, pairs: Sequence[PhotoPair]) -> list[str]:
    notes = {
        "unknown_training": tuned.trained_on is None,
        "few_garments": len({pair.garment for pair in pairs}) < FEW_GARMENTS,
    }
    return [words(key, "en") for key, holds in notes.items() if holds]


# ── the verdict ──
