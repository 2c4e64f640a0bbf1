"""A prompt run's outcomes → its report, figure by figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.version import VERSION
from ...fashion.agreement import MOST_PICTURES, Agreement, measure_agreement
from ...fashion.photos import garment_of
from ...reports.prompt import (
    AttributeWorth,
    BestSample,
    BestStrategies,
    Interval,
    PhotoReport,
    PromptReport,
    Skipped,
    Summary,
    Tried,
    WordsReport,
    WordsSummary,
)
from ...search.confirmation import PairedGain, mean_gain, paired_gain
from ...search.multiple_testing import intention_to_treat, prove_run
from ..evaluator import Reference, similarities
from ..given_words import left_out, photo_id
from ..report_parts import ELSEWHERE_IN_THE_REPORT, calibration_of, copy_photo, interval_of, rounded_mean
from .criterion import DELTA_E_SCALE, scaled

if TYPE_CHECKING:
    from ...fashion.photos import Gathered
    from ...fashion.scorer import Scorer
    from ...models.session import Session
    from ...models.vision import VisionModels
    from ...search.multiple_testing import PhotoProof, RunProof
    from ..evaluator import Evaluator, Picture
    from .outcome import PhotoOutcome, WordsOutcome
    from .settings import PromptSettings

LIKE_THE_PHOTO = 0.85  # similarity from which nothing is missing
HIGH = 0.8  # a picture that scorer and judge both put above this is material for training


def report_of(
    outcomes: Sequence[PhotoOutcome],
    gathered: Gathered,
    session: Session,
    settings: PromptSettings,
    evaluator: Evaluator,
    learned_from: int = 0,
) -> PromptReport:
    """The report; copies each photo into the run's folder as it was read."""
    judge = session.vision.judge
    proof = prove_run(
        [outcome.gain for outcome in outcomes],
        [outcome.judge_gain for outcome in outcomes],
        [garment_of(outcome.photo.path) for outcome in outcomes],
    )
    photos = [
        _photo_report(outcome, photo_proof, gathered, session.vision, evaluator, settings)
        for outcome, photo_proof in zip(outcomes, proof.photos, strict=True)
    ]
    return PromptReport(
        version=VERSION,
        created=evaluator.journal.created,
        preset=settings.preset,
        host=session.host.describe().model_dump(mode="json", exclude={"samplers"}),
        settings=settings.model_dump(mode="json", exclude=ELSEWHERE_IN_THE_REPORT),
        seeds={name: [seed for photo in photos for seed in photo.seeds[name]] for name in ("search", "confirm")},
        calibration=calibration_of(session.vision.scorer),
        judge=calibration_of(judge) if judge else None,
        learned_from=learned_from,
        best_strategies=_best_strategies(outcomes, evaluator, session.vision.judge),
        summary=_summary(outcomes, proof, evaluator),
        images=photos,
        skipped=[Skipped(path=str(bad.path), code=bad.code, reason=bad.reason) for bad in gathered.skipped],
    )


def _used_seeds(outcome: PhotoOutcome) -> dict[str, list[int]]:
    """The photo's seeds that a search or a screening has drawn on, and those of its confirmation."""
    refined = outcome.refinement.pictures if outcome.refinement else ()
    drawn = {picture.candidate.seed for pictures in (*outcome.tried.values(), refined) for picture in pictures}
    return {
        "search": [seed for seed in outcome.seeds.search if seed in drawn],
        "confirm": list(outcome.seeds.confirm[: outcome.plan.confirm_seeds]),
    }


def _photo_report(
    outcome: PhotoOutcome,
    proof: PhotoProof,
    gathered: Gathered,
    vision: VisionModels,
    evaluator: Evaluator,
    settings: PromptSettings,
) -> PhotoReport:
    folder, photo = evaluator.journal.folder, photo_id(outcome.photo.sha256)
    shown = {"winner": outcome.adopted, "baseline": outcome.baseline, "minimal": outcome.minimal}
    shown |= {"words": outcome.words.pictures} if outcome.words else {}
    best, candidate = outcome.adopted[0].candidate, outcome.winner[0].candidate
    agreement = _agreement(outcome, vision)
    similarity = rounded_mean(similarities(outcome.adopted))
    return PhotoReport(
        image=str(outcome.photo.path),
        image_sha256=outcome.photo.sha256,
        duplicates=[str(path) for path in gathered.duplicates.get(outcome.photo.sha256, ())],
        notes=[*outcome.photo.notes, *outcome.tags.notes],
        tags=[
            {"group": tag.group, "label": tag.label, "confidence": round(tag.confidence, 4)}
            for tag in outcome.tags.tags
        ],
        not_visible=list(outcome.tags.not_visible),
        optimized_prompt=best.prompt.positive,
        negative_prompt=best.prompt.negative,
        strategy=best.strategy,
        similarity_score=similarity,
        baseline_score=rounded_mean(similarities(outcome.baseline)),
        minimal_score=rounded_mean(similarities(outcome.minimal)),
        raw_cosine=rounded_mean([picture.score.raw_cosine for picture in outcome.adopted]),
        confidence_interval=interval_of(outcome.gain),
        minimal_interval=interval_of(_over_the_bare_name(outcome)),
        improved=outcome.verdict.improved,
        proven=proof.proven and outcome.verdict.improved,
        adjusted_p=round(proof.adjusted_p, 6),
        look=outcome.look,
        seeds=_used_seeds(outcome),
        candidate=candidate.strategy,
        candidate_prompt=candidate.prompt.positive,
        candidate_score=rounded_mean(similarities(outcome.winner)),
        verdict=outcome.verdict.sentence,
        **_second_opinion(outcome, evaluator, vision.judge),
        missed=[tag.text for tag in outcome.faults.missed],
        uninvited=list(outcome.faults.uninvited),
        colour_interval=interval_of(outcome.colour_change) if outcome.colour_change else None,
        your_words=_words_report(outcome.words, settings.words[photo]) if outcome.words else None,
        caption=settings.captions.get(photo),
        agreement={group: round(share, 4) for group, share in agreement.agreement.items()} if agreement else {},
        palette_delta_e=None
        if agreement is None or agreement.palette_delta_e is None
        else round(agreement.palette_delta_e, 2),
        beyond_words=_beyond_words(agreement, similarity) if agreement else [],
        generations=outcome.generations,
        tried=_tried(outcome),
        attributes=_attributes(outcome),
        pictures={name: _files(pictures, folder) for name, pictures in shown.items()},
        photo_copy=copy_photo(outcome.photo, folder),
        prompts={name: pictures[0].candidate.prompt.positive for name, pictures in shown.items()},
    )


def _second_opinion(outcome: PhotoOutcome, evaluator: Evaluator, judge: Scorer | None) -> dict[str, Any]:
    """The judge's fields of PhotoReport; None and False without a judge."""
    reference = Reference(outcome.photo.image, outcome.photo.sha256)
    adopted, baseline = (
        _judged(evaluator, judge, reference, pictures) for pictures in (outcome.adopted, outcome.baseline)
    )
    gain = outcome.judge_gain
    return {
        "judge_score": rounded_mean(adopted) if adopted else None,
        "judge_baseline": rounded_mean(baseline) if baseline else None,
        "judge_interval": interval_of(gain) if gain else None,
        "metric_hacking": bool(gain and outcome.gain.improved and gain.mean <= 0),
    }


def _words_report(words: WordsOutcome, text: str) -> WordsReport:
    return WordsReport(
        text=text,
        prompt=words.pictures[0].candidate.prompt.positive,
        score=rounded_mean(similarities(words.pictures)),
        interval=interval_of(words.gain),
        judge_interval=interval_of(words.judge_gain) if words.judge_gain else None,
        notes=list(left_out(text)),
    )


def _tried(outcome: PhotoOutcome) -> list[Tried]:
    """Every strategy that was drawn in the search, the best first."""
    rows = [
        Tried(
            strategy=name,
            prompt=outcome.prompts[name].positive,
            score=rounded_mean(similarities(pictures)),
            seeds=[picture.candidate.seed for picture in pictures],
        )
        for name, pictures in outcome.tried.items()
    ]
    return sorted(rows, key=lambda row: -row.score)


def _attributes(outcome: PhotoOutcome) -> list[AttributeWorth]:
    """What the screening says of each word; empty where there was none."""
    return [
        AttributeWorth(
            attribute=worth.attribute,
            mean=round(worth.mean, 4),
            low=round(worth.low, 4),
            high=round(worth.high, 4),
            standing=worth.standing,
        )
        for worth in (outcome.refinement.attributes if outcome.refinement else ())
    ]


def _judged(
    evaluator: Evaluator, judge: Scorer | None, reference: Reference, pictures: Sequence[Picture]
) -> list[float]:
    """The judge's calibrated similarities of the same pictures; empty without a judge."""
    return [score.similarity for score in evaluator.judge(reference, pictures, judge)] if judge else []


def _agreement(outcome: PhotoOutcome, vision: VisionModels) -> Agreement | None:
    """The recommended prompt's pictures, tagged again; None where none could be used."""
    from PIL import Image

    files = [picture.path for picture in outcome.adopted if picture.path is not None]
    if not files:
        return None
    photo, *drawn = vision.tagger.observe([outcome.photo.image, *(Image.open(file).convert("RGB") for file in files)])
    return measure_agreement(vision.tagger, photo, outcome.tags, drawn)


def _beyond_words(again: Agreement, similarity: float) -> list[str]:
    """What the prompt could not fix: groups that it names in vain, or, where all are met, the look that has no word."""
    missed = [group for group, share in again.agreement.items() if share < MOST_PICTURES]
    if missed:
        return missed
    return ["look"] if similarity < LIKE_THE_PHOTO else []


def _over_the_bare_name(outcome: PhotoOutcome) -> PairedGain:
    """The candidate over the garment's name alone, on the seeds that both have, of the scores as they are shown.

    The name alone draws other garments: how far below 0 they lie means nothing.
    """
    bare = similarities(outcome.minimal)
    return paired_gain(similarities(outcome.winner)[: len(bare)], bare)


def _best_strategies(outcomes: Sequence[PhotoOutcome], evaluator: Evaluator, judge: Scorer | None) -> BestStrategies:
    """The form that won most often, and the pictures that the judge passes too; without a judge none is proven."""
    wins = Counter(outcome.adopted[0].candidate.strategy for outcome in outcomes)
    strategy, count = wins.most_common(1)[0]
    gains = [
        rounded_mean(similarities(o.adopted)) - rounded_mean(similarities(o.minimal))
        for o in outcomes
        if o.adopted[0].candidate.strategy == strategy
    ]
    samples = []
    for outcome in outcomes:
        reference = Reference(outcome.photo.image, outcome.photo.sha256)
        judged = _judged(evaluator, judge, reference, outcome.adopted) or [0.0] * len(outcome.adopted)
        samples += [
            BestSample(
                image=picture.path.relative_to(evaluator.journal.folder).as_posix(),
                prompt=picture.candidate.prompt.positive,
                photo=str(outcome.photo.path),
                seed=picture.candidate.seed,
                similarity_score=picture.score.similarity,
                judge_score=second,
            )
            for picture, second in zip(outcome.adopted, judged, strict=True)
            if picture.path is not None and min(picture.score.similarity, second) >= HIGH
        ]
    form = {"strategy": strategy, "wins": count, "photos": len(outcomes), "mean_gain": rounded_mean(gains)}
    return BestStrategies(high_performing_samples=samples, optimal_prompt_format=form)


def _summary(outcomes: Sequence[PhotoOutcome], proof: RunProof, evaluator: Evaluator) -> Summary:
    best, baseline, minimal = (
        [rounded_mean(similarities(getattr(outcome, role))) for outcome in outcomes]
        for role in ("adopted", "baseline", "minimal")
    )
    over_minimal = [_over_the_bare_name(outcome) for outcome in outcomes]
    garments = [garment_of(outcome.photo.path) for outcome in outcomes]
    records = [record for record in evaluator.journal.rows() if record.state == "done"]
    elapsed_s = sum(record.elapsed_s or 0.0 for record in records)
    return Summary(
        photos=len(outcomes),
        mean_similarity=rounded_mean(best),
        mean_baseline=rounded_mean(baseline),
        mean_minimal=rounded_mean(minimal),
        gain_over_minimal=interval_of(intention_to_treat(over_minimal, garments)),
        gain_over_baseline=interval_of(proof.mean),
        judge_gain_over_baseline=interval_of(proof.judge_mean) if proof.judge_mean else None,
        colour_change_over_baseline=_mean_change(
            [(outcome.colour_change, garment) for outcome, garment in zip(outcomes, garments, strict=True)]
        ),
        your_words=_words_summary([outcome for outcome in outcomes if outcome.words]),
        improved=sum(outcome.verdict.improved for outcome in outcomes),
        proven=proof.proven,
        worse=proof.worse,
        generations=sum(outcome.generations for outcome in outcomes),
        elapsed_s=round(elapsed_s, 3),
        seconds_per_photo=round(elapsed_s / len(outcomes), 3),
    )


def _mean_change(changes: Sequence[tuple[PairedGain | None, str]]) -> Interval | None:
    """The mean of photos' changes of colour, each with its garment; a single photo's own; None where none is known."""
    known = [(change, garment) for change, garment in changes if change is not None]
    if len(known) < 2:
        return interval_of(known[0][0]) if known else None
    mean = mean_gain([change.mean / DELTA_E_SCALE for change, _ in known], [garment for _, garment in known])
    return interval_of(scaled(mean, DELTA_E_SCALE))


def _words_summary(outcomes: Sequence[PhotoOutcome]) -> WordsSummary | None:
    """Over the photos whose user gave words; None where there is no such photo."""
    if not outcomes:
        return None
    words = [outcome.words for outcome in outcomes if outcome.words]
    garments = [garment_of(outcome.photo.path) for outcome in outcomes]
    judged = [given.judge_gain for given in words if given.judge_gain]
    return WordsSummary(
        photos=len(words),
        mean_score=rounded_mean([rounded_mean(similarities(given.pictures)) for given in words]),
        gain=interval_of(intention_to_treat([given.gain for given in words], garments)),
        judge_gain=interval_of(intention_to_treat(judged, garments)) if len(judged) == len(words) else None,
    )


def _files(pictures: Sequence[Picture], folder: Path) -> list[str]:
    return [picture.path.relative_to(folder).as_posix() for picture in pictures if picture.path is not None]
