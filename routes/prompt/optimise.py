"""The prompt route: the page that reads like the diagram. The weights never change.

photo → tags → prompts → pictures → scores → next strategy → confirmed winner → report
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
from ...search.seeds import seed_plan
from ...search.trials import Trial
from ..evaluator import Candidate, Evaluator, Picture, Reference, similarities
from .experience import Experience, ExperienceFile
from .outcome import BASELINE, MINIMAL, PhotoOutcome
from .refinement import Refinement, Screening, refine
from .settings import PromptSettings

if TYPE_CHECKING:
    from ...fashion.photos import Gathered, Photo
    from ...fashion.prompts.renderers import Rendered
    from ...fashion.prompts.tree import Prompt
    from ...fashion.tags import PhotoTags
    from ...fashion.taxonomy import Taxonomy
    from ...models.session import Session
    from ...reports.prompt import PromptReport
    from ...search.budget import BudgetPlan
    from ...search.seeds import SeedPlan


@dataclass(frozen=True)
class SearchRun:
    """What every photo of a run is searched with. `seeds` are common to all photos; `experience` grows with each."""

    session: Session
    evaluator: Evaluator
    settings: PromptSettings
    seeds: SeedPlan
    context: Context
    experience: Experience

    def write(self, prompt: Prompt) -> Rendered:
        """The prompt's text in the host's dialect, within its limit of tokens."""
        return render(prompt, dialect=self.session.host.dialect, count=self.session.host.count_tokens)


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
    photo_tags = session.vision.tagger.tag([photo.image for photo in gathered.photos])
    seeds = seed_plan(settings.seed, settings.budget, settings.budget)
    with Journal.open(out, settings.model_dump(mode="json")) as journal:
        pace = Pace("prompt", len(gathered.photos) * settings.budget, progress)
        evaluator = Evaluator(session.host, journal, session.vision.scorer, settings.drawing, pace.step)
        file, experience = ExperienceFile(session.vision.scorer.key), Experience(settings.checkpoint)
        if settings.learn:
            experience = file.begin(journal.folder, settings.checkpoint, {photo.sha256 for photo in gathered.photos})
        learned_from = len(experience.lessons)
        run = SearchRun(session, evaluator, settings, seeds, Context(label_shares(photo_tags)), experience)
        outcomes: list[PhotoOutcome] = []
        for photo, tags in zip(gathered.photos, photo_tags, strict=True):
            outcomes.append(optimise_photo(photo, tags, run))
            if settings.learn:
                file.keep(outcomes[-1].teach(experience))
            pace.reach(len(outcomes) * settings.budget, photo.path.name)
        report = report_of(outcomes, gathered, session, settings, seeds, evaluator, learned_from)
        write_report(report, out, taxonomy=session.vision.taxonomy, describe=describe)
    return report


def optimise_photo(photo: Photo, tags: PhotoTags, run: SearchRun) -> PhotoOutcome:
    """One photo's search: prompts compete on common seeds, then the winner meets the baseline on held-out ones."""
    taxonomy, settings = run.session.vision.taxonomy, run.settings
    reference, category = Reference(photo.image, photo.sha256), category_of(tags, taxonomy)
    names = [name for name in dict.fromkeys((BASELINE, *settings.strategies)) if name != MINIMAL]
    competing = distinct_strategies(names, tags, taxonomy, run.context, run.write)
    prompts = {**distinct_strategies([MINIMAL], tags, taxonomy, run.context, run.write), **competing}
    plan = plan_budget(settings.budget, len(competing))
    images = screening_share(plan.search) if settings.refine else 0

    # strategies compete
    search = _new_search(list(competing), plan, images, photo, category, run)
    tried = _compete(search, prompts, reference, run.evaluator)

    # the winner's words are screened
    refinement = refine(
        search.winner,
        TaggedPhoto(tags, taxonomy, run.context),
        reference,
        [picture for pictures in tried.values() for picture in pictures],
        run.evaluator,
        run.session.vision.tagger,
        Screening(run.seeds.search[max(1, plan.search_seeds) :], images, search.noise, run.experience.of_words()),
        run.write,
    )
    winner = _winner_of(search, refinement, prompts)

    # winner, baseline and the bare name on seeds that nobody has seen
    counts = {MINIMAL: plan.minimal, BASELINE: plan.baseline, winner: plan.winner}
    confirmed = _confirm(counts, prompts, reference, run)
    gain = paired_gain(similarities(confirmed[winner]), similarities(confirmed[BASELINE]))
    return PhotoOutcome(
        photo=photo,
        tags=tags,
        category=category,
        prompts=prompts,
        plan=plan,
        tried=tried,
        winner=confirmed[winner],
        baseline=confirmed[BASELINE],
        minimal=confirmed[MINIMAL],
        gain=gain,
        verdict=decide(winner, BASELINE, gain),
        refinement=refinement,
    )


def _new_search(
    arms: list[str], plan: BudgetPlan, screening: int, photo: Photo, category: str, run: SearchRun
) -> SuccessiveHalving:
    """The halving over `arms`, which leaves `screening` pictures of the search's share to what follows it."""
    priors = run.experience.of_strategies().for_photo(category, run.settings.checkpoint)
    # With a single arm there is nothing to choose, and no picture is drawn for it.
    images = max(1, plan.search - screening)
    rng = Random(f"{run.settings.seed} {photo.sha256}")
    return SuccessiveHalving(arms, run.seeds.search[: max(1, plan.search_seeds)], images, priors, rng)


def _compete(
    search: SuccessiveHalving, prompts: Mapping[str, Rendered], reference: Reference, evaluator: Evaluator
) -> dict[str, list[Picture]]:
    """Draws what the search asks for until it is done; strategy → its pictures."""
    tried: dict[str, list[Picture]] = {}
    while not search.done:
        candidates = [Candidate(key.arm, prompts[key.arm], key.seed) for key in search.ask()]
        for picture in evaluator.evaluate(reference, candidates):
            strategy, seed = picture.candidate.strategy, picture.candidate.seed
            tried.setdefault(strategy, []).append(picture)
            search.tell([Trial(strategy, seed, picture.score.unclipped)])
    return tried


def _winner_of(search: SuccessiveHalving, refinement: Refinement | None, prompts: dict[str, Rendered]) -> str:
    """The arm that is confirmed: the search's, or the refined prompt, which joins `prompts` unless it has a name."""
    if not refinement or not refinement.prompt:
        return search.winner
    names = {(prompt.positive, prompt.negative): name for name, prompt in prompts.items()}
    winner = names.get((refinement.prompt.positive, refinement.prompt.negative), refinement.name)
    prompts.setdefault(winner, refinement.prompt)
    return winner


def _confirm(
    counts: Mapping[str, int], prompts: Mapping[str, Rendered], reference: Reference, run: SearchRun
) -> dict[str, list[Picture]]:
    """Arm → its pictures on the first confirm seeds, as many as `counts` says, drawn in one batch."""
    candidates = [
        Candidate(name, prompts[name], seed) for name, count in counts.items() for seed in run.seeds.confirm[:count]
    ]
    pictures = run.evaluator.evaluate(reference, candidates)
    return {name: [picture for picture in pictures if picture.candidate.strategy == name] for name in counts}


def category_of(tags: PhotoTags, taxonomy: Taxonomy) -> str:
    """What the garment is called; empty where nothing was recognised."""
    noun = tags.get(taxonomy.noun.id)
    return noun.label if noun else ""
