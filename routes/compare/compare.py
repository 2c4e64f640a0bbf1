"""Base model against tuned model on photos that neither search nor training has seen: the page that decides.

photo → tags → the same prompts → the same seeds → base | tuned at each strength → scorer, judge, tags → verdict

The strength is chosen on one set of seeds and the verdict falls on another, as in the prompt route.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from ...core.progress import Pace, ProgressCallback, silent
from ...fashion.prompts.captions import caption_prompt, strategy_prompt
from ...fashion.prompts.renderers import render
from ...fashion.prompts.strategies import (
    Context,
    TaggedPhoto,
    distinct_strategies,
    label_shares,
    refuse_unknown_strategies,
)
from ...hosts.request import GenerationRequest
from ...search.seeds import seed_plan
from ..evaluator import Candidate, Evaluator
from .pairs import ARMS, JudgedPicture, PhotoPair
from .server_lora import deliver
from .settings import CompareSettings
from .tuned import TunedModel

if TYPE_CHECKING:
    from ...fashion.photos import Photo, Skip
    from ...fashion.scorer import Scorer
    from ...hosts.request import Host, LoraRef
    from ...models.session import Session
    from ...reports.comparison import ComparisonReport


# ── what is compared ──


# ── settings ──


# ── the comparison ──


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

    refuse_unknown_strategies([settings.strategy])
    # the same prompts
    pairs = prompts_of(proof, session, settings)
    seeds = seed_plan(settings.seed, settings.choosing_seeds * len(pairs), settings.confirm_seeds * len(pairs))
    sweep, judge = (0.0, *settings.strengths), session.vision.judge
    total = len(ARMS) * len(seeds.confirm) + (len(sweep) * len(seeds.search) if settings.strengths else 0)
    with Journal.open(out, settings.model_dump(mode="json")) as journal:
        pace = Pace("compare", total, progress)
        asked = GenerationRequest(prompt=pairs[0].prompts["tuned"].positive, seed=seeds.confirm[0], **settings.drawing)
        lora = deliver(tuned, session, asked, out) if tuned.kind == "lora" else None
        wear = cache(partial(_easel, session, tuned, lora, settings, journal, pace))  # a model is opened once
        tuned_easel = wear(1.0)
        tuned_easel.host.check(GenerationRequest(prompt="", seed=0, **tuned_easel.drawing))

        # which strength
        strength = 1.0
        if settings.strengths:
            for worn in sweep:
                drawn = draw(pairs, wear(worn), judge, f"strength {worn:g}", "tuned", seeds.search)
                for pair, pictures in zip(pairs, drawn, strict=True):
                    pair.strengths[worn] = pictures
            strength = best_strength(pairs, settings.strengths)

        # the same seeds, which have chosen nothing
        for arm, uses_tuned in ARMS.items():
            drawn = draw(pairs, wear(strength if uses_tuned else 0.0), judge, arm, arm, seeds.confirm)
            for pair, pictures in zip(pairs, drawn, strict=True):
                pair.arms[arm] = pictures
        pace.reach(total)
        lora_strength = strength if settings.strengths else None
        return report_of(pairs, training, session, tuned, settings, seeds, lora_strength, journal, skipped)


def prompts_of(photos: Sequence[Photo], session: Session, settings: CompareSettings) -> list[PhotoPair]:
    """Each photo's prompts: the bare name, the best words, and those of the captions with their trigger."""
    taxonomy = session.vision.taxonomy
    write = partial(render, dialect=session.host.dialect, count=session.host.count_tokens)
    tags = session.vision.tagger.tag([photo.image for photo in photos])
    context, pairs = Context(share=label_shares(tags)), []
    for photo, seen in zip(photos, tags, strict=True):
        name = distinct_strategies(["minimal"], seen, taxonomy, context, write)["minimal"]
        tagged = TaggedPhoto(seen, taxonomy, context)
        words = write(strategy_prompt(settings.strategy, tagged))
        own = write(caption_prompt(settings.strategy, tagged, settings.trigger, settings.bound))
        prompts = {"name": name, "words": words, "base": own, "tuned": own, "tuned_words": words}
        pairs.append(PhotoPair(photo, seen, prompts))
    return pairs


def draw(
    pairs: Sequence[PhotoPair], evaluator: Evaluator, judge: Scorer | None, name: str, arm: str, seeds: Sequence[int]
) -> list[list[JudgedPicture]]:
    """Each photo's prompt of `arm` on its own share of `seeds`, known to the journal as `name`, and judged.

    Common seeds would make the garments one witness: what a seed does to a prompt it does to its neighbour too.
    """
    wanted = []
    for index, pair in enumerate(pairs):
        shots = [Candidate(name, pair.prompts[arm], seed) for seed in seeds[index :: len(pairs)]]
        wanted.append((pair.reference, shots))
    evaluator.prefetch(wanted)
    found = []
    for reference, shots in wanted:
        pictures = evaluator.evaluate(reference, shots)
        scores = evaluator.judge(reference, pictures, judge) if judge else []
        seen = [score.similarity for score in scores] or [None] * len(pictures)
        found.append([JudgedPicture(picture, second) for picture, second in zip(pictures, seen, strict=True)])
    return found


def best_strength(pairs: Sequence[PhotoPair], strengths: Sequence[float]) -> float:
    """The weakest strength that is no more than one standard error below the best on the choosing seeds.

    What changes the model less keeps more of it: the one-standard-error rule of Breiman et al., "Classification and
    Regression Trees" (1984), §3.4.3, paired over photos.
    """
    scores = {
        strength: [fmean(seen.picture.score.similarity for seen in pair.strengths[strength]) for pair in pairs]
        for strength in strengths
    }
    best = max(strengths, key=lambda strength: fmean(scores[strength]))

    def is_as_good(strength: float) -> bool:
        lost = [ours - theirs for ours, theirs in zip(scores[best], scores[strength], strict=True)]
        return fmean(lost) <= (stdev(lost) / len(lost) ** 0.5 if len(lost) > 1 else 0.0)

    return min(filter(is_as_good, strengths))


def _easel(
    session: Session,
    tuned: TunedModel,
    lora: LoraRef | None,
    settings: CompareSettings,
    journal: Any,
    pace: Pace,
    strength: float,
) -> Evaluator:
    """The base model at strength 0, else the tuned one."""
    host, drawing = session.host, dict(settings.drawing)
    if strength and lora is not None:
        drawing["loras"] = (lora.model_copy(update={"strength": strength}),)
    elif strength:
        host, drawing = _model_host(session.host, tuned, drawing)
    return Evaluator(host, journal, session.vision.scorer, drawing, pace.step)


def _model_host(host: Host, tuned: TunedModel, drawing: dict[str, Any]) -> tuple[Host, dict[str, Any]]:
    """A local host opens the folder; any other has the model under its name."""
    if host.describe().kind != "local":
        return host, {**drawing, "checkpoint": tuned.file.name}
    from ...hosts.local import LocalHost

    return LocalHost(str(tuned.file)), drawing
