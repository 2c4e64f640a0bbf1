"""The prompt route: the page that reads like the diagram. The weights never change.

photo → tags → arms → pictures → scores → next arm → candidate → confirmed on fresh seeds → report
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from ...core.progress import Pace, ProgressCallback, silent
from ...fashion.photos import Skip
from ...fashion.prompts.arms import distinct_arms, factors_of, write_arm
from ...fashion.prompts.renderers import render
from ...fashion.prompts.strategies import Context, TaggedPhoto, describe, label_shares, refuse_unknown_strategies
from ...hosts.errors import BrokenPicture
from ...hosts.request import GenerationRequest
from ...search.arm_model import ArmModel
from ...search.budget import plan_budget, screening_share
from ...search.confirmation import decide, paired_gain
from ...search.halving import SuccessiveHalving
from ...search.seeds import photo_seed_plan
from ...search.trials import Trial
from ..evaluator import Candidate, Evaluator, Picture, Reference, unclipped
from .experience import Experience, ExperienceFile
from .looks import begin_looks
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
    from ...search.confirmation import PairedGain
    from ...search.seeds import SeedPlan


@dataclass(frozen=True)
class SearchRun:
    """What every photo of a run is searched with. `looks`: photo (sha256) → how often it was confirmed before;
    `experience` grows with each photo."""

    session: Session
    evaluator: Evaluator
    settings: PromptSettings
    looks: Mapping[str, int]
    context: Context
    experience: Experience

    def seeds_of(self, photo: Photo) -> SeedPlan:
        """The photo's own seeds, more than any search of the run's budget can use."""
        budget = self.settings.budget
        return photo_seed_plan(self.settings.seed, photo.sha256, self.looks.get(photo.sha256, 0), budget, budget)

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
    What can't be drawn is refused before `out` is made. A photo with a picture of NaN is skipped (NOT_DRAWN),
    the others are not.
    """
    from ...reports.prompt_page import write_report
    from ...runs.journal import Journal
    from .report import report_of

    refuse_unknown_strategies(settings.strategies)
    session.host.check(GenerationRequest(prompt="", seed=0, **settings.drawing))
    photo_tags = session.vision.tagger.tag([photo.image for photo in gathered.photos])
    with Journal.open(out, settings.model_dump(mode="json")) as journal:
        pace = Pace("prompt", len(gathered.photos) * settings.budget, progress)
        scorer, aspect = session.vision.scorer, settings.aspect
        evaluator = Evaluator(session.host, journal, scorer, settings.drawing, pace.step, aspect)
        file, experience = ExperienceFile(scorer.key), Experience(settings.checkpoint)
        if settings.learn:
            experience = file.begin(journal.folder, settings.checkpoint, {photo.sha256 for photo in gathered.photos})
        learned_from = len(experience.lessons)
        looks = begin_looks(journal.folder, [photo.sha256 for photo in gathered.photos], settings.same_seeds)
        run = SearchRun(session, evaluator, settings, looks, Context(label_shares(photo_tags)), experience)
        outcomes: list[PhotoOutcome] = []
        for photo, tags in zip(gathered.photos, photo_tags, strict=True):
            try:
                outcomes.append(optimise_photo(photo, tags, run))
            except BrokenPicture as error:
                if photo is gathered.photos[-1] and not outcomes:
                    raise
                gathered.skipped.append(Skip(photo.path, "NOT_DRAWN", str(error)))
                continue
            if settings.learn:
                file.keep(outcomes[-1].teach(experience))
            pace.reach(len(outcomes) * settings.budget, photo.path.name)
        report = report_of(outcomes, gathered, session, settings, evaluator, learned_from)
        write_report(report, out, taxonomy=session.vision.taxonomy, describe=describe)
    return report


def optimise_photo(photo: Photo, tags: PhotoTags, run: SearchRun) -> PhotoOutcome:
    """One photo's search: arms compete on common seeds, then the candidate meets the baseline on held-out ones."""
    taxonomy, settings = run.session.vision.taxonomy, run.settings
    tagged, reference = TaggedPhoto(tags, taxonomy, run.context), Reference(photo.image, photo.sha256)
    forms = [name for name in dict.fromkeys((BASELINE, *settings.strategies)) if name != MINIMAL]
    competing = distinct_arms(forms, tagged, run.write)
    name_alone = write_arm(MINIMAL, tagged)
    assert name_alone is not None  # a garment's name can always be written
    prompts = {MINIMAL: run.write(name_alone), **competing}
    plan, seeds = plan_budget(settings.budget, len(competing)), run.seeds_of(photo)
    images = screening_share(plan.search) if settings.refine else 0

    # arms compete
    search = _new_search(list(competing), plan, images, photo, run)
    tried = _compete(search, prompts, reference, run.evaluator)

    # the winner's words are screened
    refinement = refine(
        search.winner,
        tagged,
        reference,
        [picture for pictures in tried.values() for picture in pictures],
        run.evaluator,
        run.session.vision.tagger,
        Screening(seeds.search[max(1, plan.search_seeds) :], images, search.noise, run.experience.of_words()),
        run.write,
    )
    candidate = _winner_of(search, refinement, prompts)

    # candidate, baseline and the bare name on seeds that nobody has seen
    counts = {MINIMAL: plan.minimal, BASELINE: plan.baseline, candidate: plan.winner}
    confirmed = _confirm(counts, prompts, reference, seeds, run.evaluator)
    gain = paired_gain(unclipped(confirmed[candidate]), unclipped(confirmed[BASELINE]))
    judge_gain = _judge_gain(confirmed[candidate], confirmed[BASELINE], reference, run)
    return PhotoOutcome(
        photo=photo,
        tags=tags,
        category=category_of(tags, taxonomy),
        seeds=seeds,
        look=run.looks.get(photo.sha256, 0),
        prompts=prompts,
        plan=plan,
        tried=tried,
        winner=confirmed[candidate],
        baseline=confirmed[BASELINE],
        minimal=confirmed[MINIMAL],
        gain=gain,
        judge_gain=judge_gain,
        verdict=decide(candidate, BASELINE, gain, judge_gain),
        refinement=refinement,
    )


def _new_search(arms: list[str], plan: BudgetPlan, screening: int, photo: Photo, run: SearchRun) -> SuccessiveHalving:
    """The halving over `arms`, which leaves `screening` pictures of the search's share to what follows it."""
    # With a single arm there is nothing to choose, and no picture is drawn for it.
    images = max(1, plan.search - screening)
    model = ArmModel.of_factors({arm: factors_of(arm) for arm in arms}, run.experience.of_factors())
    seeds = run.seeds_of(photo).search[: max(1, plan.search_seeds)]
    rng = Random(f"{run.settings.seed} {photo.sha256}")
    return SuccessiveHalving(arms, seeds, images, rng=rng, model=model)


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
    counts: Mapping[str, int],
    prompts: Mapping[str, Rendered],
    reference: Reference,
    seeds: SeedPlan,
    evaluator: Evaluator,
) -> dict[str, list[Picture]]:
    """Arm → its pictures on the first confirm seeds, as many as `counts` says, drawn in one batch."""
    candidates = [
        Candidate(name, prompts[name], seed) for name, count in counts.items() for seed in seeds.confirm[:count]
    ]
    pictures = evaluator.evaluate(reference, candidates)
    return {name: [picture for picture in pictures if picture.candidate.strategy == name] for name in counts}


def _judge_gain(
    candidate: Sequence[Picture], baseline: Sequence[Picture], reference: Reference, run: SearchRun
) -> PairedGain | None:
    """The same pairs as the judge sees them; None without a judge."""
    judge = run.session.vision.judge
    if judge is None:
        return None
    ours, theirs = (
        [score.unclipped for score in run.evaluator.judge(reference, pictures, judge)]
        for pictures in (candidate, baseline)
    )
    return paired_gain(ours, theirs)


def category_of(tags: PhotoTags, taxonomy: Taxonomy) -> str:
    """What the garment is called; empty where nothing was recognised."""
    noun = tags.get(taxonomy.noun.id)
    return noun.label if noun else ""
