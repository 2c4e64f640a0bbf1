"""Base model against tuned model on photos that neither search nor training has seen: the page that decides.

photo → tags → the same prompts → the same seeds → base | tuned at each strength → scorer, judge, tags → verdict

The strength is chosen on one set of seeds and the verdict falls on another, as in the prompt route.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ...core.progress import Pace, ProgressCallback, silent
from ...fashion.prompts.arms import refuse_unknown_arm, with_extras_of
from ...fashion.prompts.captions import caption_prompt, strategy_prompt
from ...fashion.prompts.strategies import Context, TaggedPhoto, label_shares
from ...hosts.request import GenerationRequest
from ...search.seeds import SeedPlan, photo_seed_plan
from ..evaluator import Candidate, Evaluator
from ..host_prompts import write_for
from ..looks import begin_looks
from .pairs import ARMS, ComparisonRun, JudgedPicture, PhotoPair
from .rule import choose_strength
from .server_lora import deliver
from .settings import CompareSettings
from .tuned import TunedModel

if TYPE_CHECKING:
    from ...fashion.photos import Photo, Skip
    from ...fashion.scorer import Scorer
    from ...hosts.request import Host, LoraRef
    from ...models.session import Session
    from ...reports.comparison import ComparisonReport
    from ..drawing_settings import CaptionedSettings


def compare(
    proof: Sequence[Photo],
    training: Sequence[Photo],
    session: Session,
    tuned: TunedModel,
    settings: CompareSettings,
    out: Path,
    progress: ProgressCallback = silent,
    skipped: Sequence[Skip] = (),
) -> ComparisonReport:
    """Draws and judges; leaves journal and pictures in `out`, and returns the report.

    Killed at any instant and started again with the same settings, it draws nothing twice and reports the same.
    """
    from ...runs.journal import Journal
    from .report import report_of

    refuse_unknown_arm(settings.strategy)
    # the same prompts
    pairs = prompts_of(proof, session, settings)
    sweep, judge = (0.0, *settings.strengths), session.vision.judge
    of_a_photo = len(ARMS) * settings.confirm_seeds + bool(settings.strengths) * len(sweep) * settings.choosing_seeds
    total = of_a_photo * len(pairs)
    with Journal.open(out, settings.model_dump(mode="json")) as journal:
        looks = begin_looks(journal.folder, [pair.photo.sha256 for pair in pairs], settings.same_seeds)
        seeds = seeds_of(pairs, looks, settings)
        run, pace = ComparisonRun(session, tuned, settings, seeds, journal), Pace("compare", total, progress)
        request = GenerationRequest(
            prompt=pairs[0].prompts["tuned"].positive, seed=seeds.confirm[0], **settings.drawing
        )
        lora = deliver(tuned, session, request, out) if tuned.kind == "lora" else None
        evaluator_at = cache(partial(_evaluator, run, lora, pace))  # a model is opened once
        tuned_evaluator = evaluator_at(1.0)
        tuned_evaluator.host.check(GenerationRequest(prompt="", seed=0, **tuned_evaluator.drawing))

        # which strength
        strength = 1.0
        if settings.strengths:
            for weight in sweep:
                name = f"strength {weight:g}"
                drawn = draw(pairs, evaluator_at(weight), judge, name, "tuned", seeds.search)
                for pair, pictures in zip(pairs, drawn, strict=True):
                    pair.by_strength[weight] = pictures
            strength = choose_strength({weight: _photo_means(pairs, weight) for weight in settings.strengths})

        # the same seeds, which have chosen nothing
        for arm, uses_tuned in ARMS.items():
            evaluator = evaluator_at(strength if uses_tuned else 0.0)
            for pair, pictures in zip(pairs, draw(pairs, evaluator, judge, arm, arm, seeds.confirm), strict=True):
                pair.arms[arm] = pictures
        pace.reach(total)
        return report_of(run, pairs, training, strength if settings.strengths else None, skipped)


def prompts_of(photos: Sequence[Photo], session: Session, settings: CaptionedSettings) -> list[PhotoPair]:
    """Each photo's prompts: the bare name, the best words, and those of the captions with their trigger.

    All share the view words and the negative prompt that the best words have.
    """
    taxonomy = session.vision.taxonomy
    write = partial(write_for, session.host)
    photo_tags = session.vision.tagger.tag([photo.image for photo in photos])
    context, pairs = Context(share=label_shares(photo_tags)), []
    for photo, tags in zip(photos, photo_tags, strict=True):
        tagged = TaggedPhoto(tags, taxonomy, context, settings.given_with(photo.sha256))
        contents = (
            strategy_prompt("minimal", tagged),
            strategy_prompt(settings.strategy, tagged),
            caption_prompt(settings.strategy, tagged, settings.trigger, settings.bound),
        )
        name, words, with_trigger = (
            write(with_extras_of(settings.strategy, content, taxonomy)) for content in contents
        )
        prompts = {
            "name": name,
            "words": words,
            "base": with_trigger,
            "tuned": with_trigger,
            "tuned_words": words,
        }
        pairs.append(PhotoPair(photo, tags, prompts))
    return pairs


def seeds_of(pairs: Sequence[PhotoPair], looks: Mapping[str, int], settings: CompareSettings) -> SeedPlan:
    """Every photo's own seeds in turn, so that photo `i` of `n` has `seeds[i::n]`.

    Those that decide are none that an earlier look decided on. `looks`: photo (sha256) → how often it decided before.
    """
    plans = [
        photo_seed_plan(
            settings.seed,
            pair.photo.sha256,
            looks[pair.photo.sha256],
            settings.choosing_seeds,
            settings.confirm_seeds,
        )
        for pair in pairs
    ]
    search, confirm = ([plan.search for plan in plans], [plan.confirm for plan in plans])
    return SeedPlan(*(tuple(chain.from_iterable(zip(*seeds, strict=True))) for seeds in (search, confirm)))


def draw(
    pairs: Sequence[PhotoPair], evaluator: Evaluator, judge: Scorer | None, name: str, arm: str, seeds: Sequence[int]
) -> list[list[JudgedPicture]]:
    """Each photo's prompt of `arm` on its own share of `seeds`, known to the journal as `name`, and judged.

    Common seeds would make the garments one witness: what a seed does to a prompt it does to its neighbour too.
    """
    work = []
    for index, pair in enumerate(pairs):
        candidates = [Candidate(name, pair.prompts[arm], seed) for seed in seeds[index :: len(pairs)]]
        work.append((pair.reference, candidates))
    evaluator.prefetch(work)
    drawn = []
    for reference, candidates in work:
        pictures = evaluator.evaluate(reference, candidates)
        opinions = evaluator.judge(reference, pictures, judge) if judge else [None] * len(pictures)
        drawn.append([JudgedPicture(picture, opinion) for picture, opinion in zip(pictures, opinions, strict=True)])
    return drawn


def _photo_means(pairs: Sequence[PhotoPair], strength: float) -> list[float]:
    """The scorer's mean over each photo's choosing pictures at `strength`."""
    return [fmean(judged.picture.score.unclipped for judged in pair.by_strength[strength]) for pair in pairs]


def _evaluator(run: ComparisonRun, lora: LoraRef | None, pace: Pace, strength: float) -> Evaluator:
    """The base model at strength 0, else the tuned one."""
    host, drawing = run.session.host, dict(run.settings.drawing)
    if strength and lora is not None:
        drawing["loras"] = (lora.model_copy(update={"strength": strength}),)
    elif strength:
        host, drawing = _model_host(host, run.tuned, drawing)
    return Evaluator(host, run.journal, run.session.vision.scorer, drawing, pace.step, run.settings.aspect, pace.known)


def _model_host(host: Host, tuned: TunedModel, drawing: dict[str, Any]) -> tuple[Host, dict[str, Any]]:
    """A local host opens the folder; any other has the model under its name."""
    if host.describe().kind != "local":
        return host, {**drawing, "checkpoint": tuned.file.name}
    from ...hosts.local import LocalHost

    return LocalHost(str(tuned.file)), drawing
