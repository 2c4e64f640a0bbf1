"""A judgement's pictures → its report, figure by figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.version import VERSION
from ...reports.judging import JudgedCost, JudgedReference, JudgedRow, JudgeReport, JudgeVerdict
from ...reports.prompt import Interval, Skipped
from ..compare.memorisation import COPY, diversity_of
from ..compare.rule import gain_over_garments
from ..compare.tagged_pictures import tagged_pictures
from ..nearest_photo import nearest_photo
from ..report_parts import calibration_of, copy_photo, interval_of, mean_interval, rounded_mean
from .effect import same_pictures
from .traits import TraitReader, traits_of
from .verdict import Compared, Judged, gains_of, level_among, verdict_over_base

if TYPE_CHECKING:
    from ...fashion.photos import Photo, Skip
    from ...fashion.scorer import Scorer
    from ...reports.judging import JudgedTraits
    from ...search.confirmation import PairedGain
    from ..compare.pairs import JudgedPicture
    from ..compare.tagged_pictures import TaggedPicture
    from .run import JudgedArm, JudgeRun
    from .traits import PictureTraits


def report_of(
    run: JudgeRun, skipped: Sequence[Skip], catalogue: Sequence[Photo] = (), trained_on: Sequence[Photo] = ()
) -> JudgeReport:
    """The report; copies each photo into the run's folder as it was read."""
    from ...reports.judging_texts import in_words

    vision, settings, folder = run.session.vision, run.settings, run.journal.folder
    reader = TraitReader(run, catalogue)
    base = reader.of(run.proof_blocks, run.proof["base"]) if run.proof else []
    traits = {arm.name: _traits(run, arm, reader) for arm in run.arms}
    rows = [_row(run, arm, traits_of(traits[arm.name], base)) for arm in run.arms]
    gains = gains_of([_compared(run, over) for over in ("base", "next", "last") if over in run.proof])
    garments = len({pair.garment for pair in run.pairs})
    report = JudgeReport(
        version=VERSION,
        created=run.journal.created,
        kind="files",
        preset=settings.preset,
        host=run.session.host.describe().model_dump(mode="json", exclude={"samplers"}),
        settings=settings.model_dump(mode="json", exclude={"preset", "host", "checkpoint", "checkpoint_hash"}),
        calibration=calibration_of(vision.scorer),
        scorer_judge=calibration_of(vision.judge) if vision.judge else None,
        references=[
            JudgedReference(
                image=str(pair.photo.path),
                garment=pair.garment,
                photo_copy=copy_photo(pair.photo, folder),
                prompt=pair.prompts["tuned"].positive,
            )
            for pair in run.pairs
        ],
        rows=rows,
        gains=gains,
        base=traits_of(base, None),
        catalogue=reader.catalogue(traits[run.roles["best"]], base) if run.racing else None,
        cost=_cost(run, trained_on) if run.racing else JudgedCost(),
        verdict=_verdict(run, Judged(rows, gains, garments)),
        pictures=sum(record.state == "done" for record in run.journal.rows()),
        full_grid=len(run.arms) * len(run.blocks),
        trained_on=len(trained_on),
        skipped=[Skipped(path=str(bad.path), code=bad.code, reason=bad.reason) for bad in skipped],
    )
    return in_words(report)


def _verdict(run: JudgeRun, judged: Judged) -> JudgeVerdict:
    if not run.racing:
        return JudgeVerdict(decision="changes nothing", level="proven", label=judged.rows[0].label)
    return verdict_over_base(judged, same_pictures(run.proof["base"], run.proof["best"]))


def _traits(run: JudgeRun, arm: JudgedArm, reader: TraitReader) -> list[PictureTraits]:
    """On the proof's seeds where it was drawn there: the base model was too, and they chose nothing."""
    role = next((role for role, name in run.roles.items() if name == arm.name), None)
    if role is not None:
        return reader.of(run.proof_blocks, run.proof[role])
    return reader.of(run.blocks[: len(run.drawn[arm.name])], run.drawn[arm.name])


def _row(run: JudgeRun, arm: JudgedArm, traits: JudgedTraits | None) -> JudgedRow:
    shots = run.drawn[arm.name]
    if not shots:
        return _row_set_aside(run, arm)
    best = run.roles["best"]
    score, judge = (_over(run, best, arm.name, who) for who in ("scorer", "judge"))
    opinions = [shot.judge.similarity for shot in shots if shot.judge is not None]
    garments = run.garments(run.blocks[: len(shots)])
    return JudgedRow(
        label=arm.name,
        file=str(arm.model.tuned.file),
        identity=arm.model.tuned.identity,
        step=arm.model.step,
        epoch=arm.model.epoch,
        strength=arm.strength if arm.model.tuned.kind == "lora" else None,
        standing=run.standings[arm.name],
        pictures=len(shots),
        similarity=rounded_mean([shot.picture.score.similarity for shot in shots]),
        judge=rounded_mean(opinions) if opinions else None,
        similarity_interval=mean_interval([shot.picture.score.similarity for shot in shots], garments),
        judge_interval=mean_interval(opinions, garments) if opinions else None,
        best_over_it=None if arm.name == best else score,
        judge_best_over_it=None if arm.name == best else judge,
        traits=traits,
        files=_files(run, shots),
    )


def _row_set_aside(run: JudgeRun, arm: JudgedArm) -> JudgedRow:
    identity = arm.model.tuned.identity
    return JudgedRow(
        label=arm.name,
        file=str(arm.model.tuned.file),
        identity=identity,
        step=arm.model.step,
        epoch=arm.model.epoch,
        strength=arm.strength,
        standing="changes nothing",
        reason=run.without_effect[identity],
        pictures=0,
        similarity=None,
        judge=None,
    )


def _over(run: JudgeRun, best: str, name: str, who: str) -> Interval | None:
    """The best one's gain over an arm on the blocks that both were drawn on; None where nobody judged."""
    count = len(run.drawn[name])
    pair = run.drawn[best][:count], run.drawn[name]
    gain = _gain(pair[0], pair[1], run.garments(run.blocks[:count]), who, level_among(len(run.racing)))
    return interval_of(gain) if gain else None


def _gain(
    ours: Sequence[JudgedPicture],
    theirs: Sequence[JudgedPicture],
    garments: Sequence[str],
    who: str,
    confidence: float = 0.95,
) -> PairedGain | None:
    """Paired picture by picture, over garments, of unclipped scores by `scorer` or `judge`."""
    if who == "scorer":
        scores = [[shot.picture.score.unclipped for shot in shots] for shots in (ours, theirs)]
    else:
        if any(shot.judge is None for shot in (*ours, *theirs)):
            return None
        scores = [[shot.judge.unclipped for shot in shots if shot.judge] for shots in (ours, theirs)]
    return gain_over_garments(scores[0], scores[1], garments, confidence)


def _compared(run: JudgeRun, over: str) -> Compared:
    garments = run.garments(run.proof_blocks)
    gain, judge = (_gain(run.proof["best"], run.proof[over], garments, who) for who in ("scorer", "judge"))
    assert gain is not None and over in ("base", "next", "last")
    return Compared(over, run.roles.get(over, "base"), gain, judge)


def _cost(run: JudgeRun, trained_on: Sequence[Photo]) -> JudgedCost:
    """What the best one costs, from the proof's pictures tagged again."""
    roles = ("base", "best", "words", "best_words")
    pictures: list[TaggedPicture] = []
    for index, pair in enumerate(run.pairs):
        shots = {
            role: [shot for (photo, _), shot in zip(run.proof_blocks, run.proof[role], strict=True) if photo == index]
            for role in roles
        }
        pictures += tagged_pictures(index, replace(pair, arms=shots), run.session.vision.tagger)

    def of(role: str) -> list[TaggedPicture]:
        return [picture for picture in pictures if picture.arm == role]

    kept, base = of("best_words"), of("words")
    partners = {(picture.photo, picture.picture.candidate.seed): picture for picture in base}
    change = gain_over_garments(
        [picture.adherence for picture in kept],
        [partners[picture.photo, picture.picture.candidate.seed].adherence for picture in kept],
        [picture.garment for picture in kept],
    )
    scorer = run.session.vision.scorer
    return JudgedCost(
        adherence=rounded_mean([picture.adherence for picture in kept]),
        base_adherence=rounded_mean([picture.adherence for picture in base]),
        adherence_change=interval_of(change),
        copies=_copies(of("best"), trained_on, scorer) if trained_on else None,
        diversity=diversity_of(of("best"), scorer),
        base_diversity=diversity_of(of("base"), scorer),
    )


def _copies(pictures: Sequence[TaggedPicture], trained_on: Sequence[Photo], scorer: Scorer) -> float:
    """Share of pictures that are as like a photo that was trained on as a second photo of it, and liker than to their
    own; unusable ones copy nothing."""
    import torch

    usable = [picture for picture in pictures if picture.embed is not None]
    if not usable:
        return 0.0
    embeds = torch.stack([picture.embed for picture in usable if picture.embed is not None])
    known = scorer.encoder.embed_images([photo.image for photo in trained_on])
    likeness, _ = nearest_photo(scorer, embeds, known)
    return rounded_mean(
        [
            float(COPY <= float(value) > picture.picture.score.unclipped)
            for value, picture in zip(likeness, usable, strict=True)
        ]
    )


def _files(run: JudgeRun, shots: Sequence[JudgedPicture]) -> list[str]:
    paths = [shot.picture.path for shot in shots]
    return [path.relative_to(run.journal.folder).as_posix() for path in paths if path is not None]
