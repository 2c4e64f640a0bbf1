"""The prompt route: the page that reads like the diagram. The weights never change.

photo → tags → prompts → pictures → scores → next strategy → confirmed winner → report
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from ...core.progress import Pace, ProgressCallback, silent
from ...fashion.prompts.renderers import render
from ...fashion.prompts.strategies import (
    Context,
    TaggedPhoto,
    describe,
    distinct_strategies,
    label_shares,
    refuse_unknown_strategies,
)
from ...hosts.request import GenerationRequest
from ...search.budget import plan_budget, screening_share
from ...search.confirmation import decide, paired_gain
from ...search.halving import SuccessiveHalving
from ...search.seeds import SeedPlan, seed_plan
from ...search.trials import Trial
from ..evaluator import Candidate, Evaluator, Picture, Reference, similarities
from .experience import Experience, ExperienceFile
from .outcome import BASELINE, MINIMAL, PhotoOutcome
from .refinement import refine
from .settings import PromptSettings

if TYPE_CHECKING:
    from ...fashion.photos import Gathered, Photo
    from ...fashion.tags import PhotoTags
    from ...fashion.taxonomy import Taxonomy
    from ...models.session import Session
    from ...reports.prompt import PromptReport


def optimise_prompts(
    gathered: Gathered,
    session: Session,
    settings: PromptSettings,
    out: Path,
    progress: ProgressCallback = silent,
) -> PromptReport:
    """Finds and proves a prompt for each photo; leaves report, journal and pictures in `out`.

    Killed at any instant and started again with the same settings, it draws nothing twice and reports the same.
    What can't be drawn is refused before `out` is made.
    """
    from ...reports.prompt_page import write_report
    from ...runs.journal import Journal
    from .report import report_of

    refuse_unknown_strategies(settings.strategies)
    session.host.check(GenerationRequest(prompt="", seed=0, **settings.drawing))
    tags = session.vision.tagger.tag([photo.image for photo in gathered.photos])
    context = Context(share=label_shares(tags))
    seeds = seed_plan(settings.seed, settings.budget, settings.budget)
    with Journal.open(out, settings.model_dump(mode="json")) as journal:
        pace = Pace("prompt", len(gathered.photos) * settings.budget, progress)
        evaluator = Evaluator(session.host, journal, session.vision.scorer, settings.drawing, pace.step)
        outcomes: list[PhotoOutcome] = []
        file = ExperienceFile(session.vision.scorer.key)
        experience = Experience(settings.checkpoint)
        if settings.learn:
            experience = file.begin(journal.folder, settings.checkpoint, {photo.sha256 for photo in gathered.photos})
        learned_from = len(experience.lessons)
        for photo, seen in zip(gathered.photos, tags, strict=True):
            outcomes.append(optimise_photo(photo, seen, session, evaluator, settings, seeds, context, experience))
            if settings.learn:
                file.keep(outcomes[-1].teach(experience))
            pace.reach(len(outcomes) * settings.budget, photo.path.name)
        report = report_of(outcomes, gathered, session, settings, seeds, evaluator, learned_from)
        write_report(report, out, taxonomy=session.vision.taxonomy, describe=describe)
    return report


def optimise_photo(
    photo: Photo,
    tags: PhotoTags,
    session: Session,
    evaluator: Evaluator,
    settings: PromptSettings,
    seeds: SeedPlan,
    context: Context,
    experience: Experience,
) -> PhotoOutcome:
    """One photo's search: prompts compete on common seeds, then the winner meets the baseline on held-out ones."""
    reference, taxonomy = Reference(photo.image, photo.sha256), session.vision.taxonomy
    write = partial(render, dialect=session.host.dialect, count=session.host.count_tokens)
    names = [name for name in dict.fromkeys((BASELINE, *settings.strategies)) if name != MINIMAL]
    competing = distinct_strategies(names, tags, taxonomy, context, write)
    prompts = {**distinct_strategies([MINIMAL], tags, taxonomy, context, write), **competing}
    plan = plan_budget(settings.budget, len(competing))

    # strategies compete
    screening = screening_share(plan.search) if settings.refine else 0
    priors = experience.of_strategies().for_photo(category_of(tags, taxonomy), settings.checkpoint)
    # With a single arm there is nothing to choose, and no picture is drawn for it.
    halving = max(1, plan.search - screening)
    rng = Random(f"{settings.seed} {photo.sha256}")
    search = SuccessiveHalving(list(competing), seeds.search[: max(1, plan.search_seeds)], halving, priors, rng)
    tried: dict[str, list[Picture]] = {}
    while not search.done:
        shots = [Candidate(shot.arm, prompts[shot.arm], shot.seed) for shot in search.ask()]
        for picture in evaluator.evaluate(reference, shots):
            tried.setdefault(picture.shot.strategy, []).append(picture)
            search.tell([Trial(picture.shot.strategy, picture.shot.seed, picture.score.unclipped)])

    # the winner's words are screened
    refinement = refine(
        search.winner,
        TaggedPhoto(tags, taxonomy, context),
        reference,
        [picture for pictures in tried.values() for picture in pictures],
        evaluator,
        session.vision.tagger,
        seeds.search[max(1, plan.search_seeds) :],
        screening,
        search.noise,
        experience.of_words(),
        write,
    )
    winner = search.winner
    if refinement and refinement.prompt:
        said = {(prompt.positive, prompt.negative): name for name, prompt in prompts.items()}
        winner = said.get((refinement.prompt.positive, refinement.prompt.negative), refinement.name)
        prompts.setdefault(winner, refinement.prompt)

    # winner, baseline and the bare name on seeds that nobody has seen
    shown = {MINIMAL: plan.minimal, BASELINE: plan.baseline, winner: plan.winner}
    shots = [Candidate(name, prompts[name], seed) for name, count in shown.items() for seed in seeds.confirm[:count]]
    pictures = evaluator.evaluate(reference, shots)
    on_confirm = {name: [picture for picture in pictures if picture.shot.strategy == name] for name in shown}
    gain = paired_gain(similarities(on_confirm[winner]), similarities(on_confirm[BASELINE]))
    return PhotoOutcome(
        photo=photo,
        tags=tags,
        category=category_of(tags, taxonomy),
        prompts=prompts,
        plan=plan,
        tried=tried,
        winner=on_confirm[winner],
        baseline=on_confirm[BASELINE],
        minimal=on_confirm[MINIMAL],
        gain=gain,
        verdict=decide(winner, BASELINE, gain),
        refinement=refinement,
    )


def category_of(tags: PhotoTags, taxonomy: Taxonomy) -> str:
    """What the garment is called; empty where nothing was recognised."""
    noun = tags.get(taxonomy.noun.id)
    return noun.label if noun else ""
