"""The prompt route: the page that reads like the diagram. The weights never change.

photo → tags → arms → pictures → scores → next arm → candidate → confirmed on fresh seeds → report
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.progress import Pace, ProgressCallback, silent
from ...fashion.photos import Skip
from ...fashion.prompts.arms import distinct_arms, write_arm
from ...fashion.prompts.strategies import (
    GIVEN,
    Context,
    TaggedPhoto,
    describe,
    label_shares,
    refuse_unknown_strategies,
)
from ...hosts.errors import BrokenPicture
from ...hosts.request import GenerationRequest
from ...search.budget import plan_budget, screening_share
from ...search.confirmation import decide, paired_gain
from ...search.halving import SuccessiveHalving
from ..evaluator import Candidate, Evaluator, Picture, Reference, unclipped
from ..looks import begin_looks
from .contest import Contest, SearchRun
from .criterion import Criterion
from .experience import Experience, ExperienceFile
from .outcome import BASELINE, MINIMAL, PhotoOutcome, WordsOutcome, arm_of_words
from .refinement import Refinement, Screening, refine
from .settings import PromptSettings

if TYPE_CHECKING:
    from ...fashion.photos import Gathered, Photo
    from ...fashion.prompts.renderers import Rendered
    from ...fashion.tags import PhotoTags
    from ...fashion.taxonomy import Taxonomy
    from ...models.session import Session
    from ...reports.prompt import PromptReport
    from ...runs.journal import Journal
    from ...search.budget import BudgetPlan
    from ...search.confirmation import PairedGain
    from ...search.seeds import SeedPlan


def optimise_prompts(
    gathered: Gathered,
    session: Session,
    settings: PromptSettings,
    out: Path,
    progress: ProgressCallback = silent,
    ahead: Callable[[Sequence[Photo], Sequence[PhotoTags], SearchRun], None] | None = None,
) -> PromptReport:
    """Finds and proves a prompt for each photo; leaves report, journal and pictures in `out`.

    `ahead` may fill the run's journal first, as the workers of a cluster do; what it finds there is not drawn again.
    Killed at any instant and started again with the same settings, it draws nothing twice and reports the same.
    What can't be drawn is refused before `out` is made. A photo with a picture of NaN is skipped (NOT_DRAWN),
    the others are not.
    """
    from ...reports.prompt_page import write_report
    from ...runs.journal import Journal
    from .report import report_of

    refuse_unknown_strategies(settings.strategies)
    for drawing in (settings.drawing, settings.search_drawing):
        session.host.check(GenerationRequest(prompt="", seed=0, **drawing))
    photo_tags = session.vision.tagger.tag([photo.image for photo in gathered.photos])
    photo_tags = settings.edited(photo_tags, session.vision.taxonomy)
    with Journal.open(out, settings.model_dump(mode="json")) as journal:
        pace = Pace("prompt", len(gathered.photos) * settings.budget, progress)
        evaluator, drafts = evaluators_of(session, settings, journal, pace.step, pace.known)
        file, experience = ExperienceFile(settings.criterion_key(session)), Experience(settings.checkpoint)
        if settings.learn:
            experience = file.begin(journal.folder, settings.checkpoint, {photo.sha256 for photo in gathered.photos})
        learned_from = len(experience.lessons)
        looks = begin_looks(journal.folder, [photo.sha256 for photo in gathered.photos], settings.same_seeds)
        run = SearchRun(session, evaluator, drafts, settings, looks, Context(label_shares(photo_tags)), experience)
        if ahead is not None:
            ahead(gathered.photos, photo_tags, run)
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
                file.keep(outcomes[-1].teach(Experience(settings.checkpoint) if settings.apart else experience))
            pace.reach(len(outcomes) * settings.budget, photo.path.name)
        report = report_of(outcomes, gathered, session, settings, evaluator, learned_from)
        write_report(report, out, taxonomy=session.vision.taxonomy, describe=describe)
    return report


def evaluators_of(
    session: Session,
    settings: PromptSettings,
    journal: Journal,
    on_picture: Callable[[Path], None],
    on_known: Callable[[int], None] = lambda count: None,
) -> tuple[Evaluator, Evaluator]:
    """Who draws the pictures that prove, and who those that only choose, through one journal."""
    proving, choosing = (
        Evaluator(session.host, journal, session.vision.scorer, drawing, on_picture, settings.aspect, on_known)
        for drawing in (settings.drawing, settings.search_drawing)
    )
    return proving, choosing


def optimise_photo(photo: Photo, tags: PhotoTags, run: SearchRun) -> PhotoOutcome:
    """One photo's search: arms compete on common seeds, then the candidate meets the baseline on held-out ones."""
    settings = run.settings
    tagged = TaggedPhoto(tags, run.session.vision.taxonomy, run.context, settings.given_with(photo.sha256))
    reference = Reference(photo.image, photo.sha256)
    competing, prompts = _arms_of(tagged, run)
    rival = arm_of_words(tagged, prompts)
    plan = plan_budget(settings.budget, len(competing), rival=rival not in (None, BASELINE))
    seeds = run.seeds_of(photo.sha256)
    images = screening_share(plan.search) if settings.refine else 0

    # arms compete, the later ones as answers to what the first pictures show
    criterion = Criterion.of_photo(photo.image, settings.colour_weight, run.session.vision.tagger.finder)
    contest = Contest(tagged, reference, prompts, criterion, run)
    search = contest.search_of(competing, plan, images)
    contest.compete(search)

    # the winner's words are screened
    later_seeds = seeds.search[max(1, plan.search_seeds) :]
    refinement = refine(
        search.winner,
        tagged,
        reference,
        contest.pictures,
        run.drafts,
        run.session.vision.tagger,
        Screening(later_seeds, images, search.noise, run.experience.of_words(), criterion.worth),
        run.write,
    )
    candidate = _winner_of(search, refinement, prompts)

    # candidate, baseline, the user's words and the bare name on seeds that nobody has seen
    confirmed = _confirm(_counts(plan, candidate, rival), prompts, reference, seeds, run.evaluator)
    gain = paired_gain(unclipped(confirmed[candidate]), unclipped(confirmed[BASELINE]))
    judge_gain = _judge_gain(confirmed[candidate], confirmed[BASELINE], reference, run)
    words = _against_words(confirmed[candidate], confirmed[rival], reference, run) if rival else None
    verdict = decide(candidate, BASELINE, gain, judge_gain)
    return PhotoOutcome(
        photo=photo,
        tags=tags,
        category=category_of(tags, tagged.taxonomy),
        seeds=seeds,
        look=run.looks.get(photo.sha256, 0),
        prompts=prompts,
        plan=plan,
        tried=contest.tried,
        winner=confirmed[candidate],
        baseline=confirmed[BASELINE],
        minimal=confirmed[MINIMAL],
        gain=gain,
        judge_gain=judge_gain,
        verdict=words.keep(verdict, candidate) if words else verdict,
        refinement=refinement,
        faults=contest.faults,
        trials=tuple(contest.trials),
        colour_change=criterion.change(confirmed[candidate], confirmed[BASELINE]),
        words=words,
    )


def _arms_of(photo: TaggedPhoto, run: SearchRun) -> tuple[list[str], dict[str, Rendered]]:
    """The arms that compete, and the text of each and of the garment's bare name."""
    forms = [name for name in dict.fromkeys((BASELINE, *GIVEN, *run.settings.strategies)) if name != MINIMAL]
    competing = distinct_arms(forms, photo, run.write)
    name_alone = write_arm(MINIMAL, photo)
    assert name_alone is not None  # a garment's name can always be written
    return list(competing), {MINIMAL: run.write(name_alone), **competing}


def _winner_of(search: SuccessiveHalving, refinement: Refinement | None, prompts: dict[str, Rendered]) -> str:
    """The arm that is confirmed: the search's, or the refined prompt, which joins `prompts` unless it has a name."""
    if not refinement or not refinement.prompt:
        return search.winner
    names = {(prompt.positive, prompt.negative): name for name, prompt in prompts.items()}
    winner = names.get((refinement.prompt.positive, refinement.prompt.negative), refinement.name)
    prompts.setdefault(winner, refinement.prompt)
    return winner


def _counts(plan: BudgetPlan, candidate: str, rival: str | None) -> dict[str, int]:
    """Arm → its confirm seeds; one that is two of them has as many as the more demanding."""
    counts = {MINIMAL: plan.minimal} | ({rival: plan.rival} if rival else {})
    return counts | {BASELINE: plan.baseline, candidate: plan.winner}


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


def _against_words(
    candidate: Sequence[Picture], words: Sequence[Picture], reference: Reference, run: SearchRun
) -> WordsOutcome:
    """The candidate over the user's own words, on the seeds that both have."""
    pairs = candidate[: len(words)], words[: len(candidate)]
    gain = paired_gain(*map(unclipped, pairs))
    return WordsOutcome(list(words), gain, _judge_gain(*pairs, reference, run))


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
