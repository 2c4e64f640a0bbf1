"""The prompt route: the page that reads like the diagram. The weights never change.

photo → tags → prompts → pictures → scores → next strategy → confirmed winner → report
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from .easel import Easel, Picture, Reference, Shot
from .experience import Experience, ExperienceFile
from .fashion.renderers import render
from .hosts.request import GenerationRequest
from .progress import Pace, ProgressCallback, silent
from .refinement import refine
from .search.budget import BudgetPlan, plan_budget, screening_share
from .search.confirmation import Verdict, decide, paired_gain
from .search.halving import SuccessiveHalving
from .search.seeds import SeedPlan, seed_plan
from .search.strategies import (
    DEFAULT_STRATEGIES,
    Context,
    Wardrobe,
    describe,
    distinct_strategies,
    refuse_unknown_strategies,
)
from .search.trials import Trial

if TYPE_CHECKING:
    from .experience import Lesson
    from .fashion.photos import Gathered, Photo
    from .fashion.renderers import Rendered
    from .fashion.tags import PhotoTags
    from .fashion.taxonomy import Taxonomy
    from .refinement import Refinement
    from .runs.report import PromptReport
    from .search.confirmation import PairedGain
    from .studio import Studio

MINIMAL, BASELINE = "minimal", "all_tags"  # the garment's name alone, and what a tagger alone gives


class PromptSettings(BaseModel):
    """Everything that decides what a prompt run draws; a run folder belongs to one of these."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str
    host: str  # its kind: local
    checkpoint: str
    checkpoint_hash: str | None = None
    budget: int  # pictures a photo, confirmation included
    seed: int
    strategies: tuple[str, ...] = DEFAULT_STRATEGIES
    steps: int
    cfg_scale: float
    sampler: str
    width: int  # pixels
    height: int
    refine: bool = True  # screen the winner's words where the budget allows it
    learn: bool = True  # from photos before, of this run and earlier ones, so that later ones begin with what worked

    @classmethod
    def for_studio(cls, studio: Studio, **asked: Any) -> PromptSettings:
        """The preset's drawing defaults, overridden by what was asked; None and empty mean the default."""
        preset, host = studio.preset, studio.host.describe()
        defaults = {name: getattr(preset, name) for name in ("steps", "cfg_scale", "sampler", "width", "height")}
        given = {name: value for name, value in asked.items() if value is not None and value != ()}
        drawer = dict(host=host.kind, checkpoint=host.checkpoint, checkpoint_hash=host.checkpoint_hash)
        return cls(preset=preset.name, **drawer, **{**defaults, **given})

    @property
    def drawing(self) -> dict[str, Any]:
        """What every request of the run has in common."""
        return self.model_dump(include={"steps", "cfg_scale", "sampler", "width", "height"})


@dataclass(frozen=True)
class PhotoOutcome:
    """What the prompt route found out about one photo."""

    photo: Photo
    tags: PhotoTags
    category: str
    prompts: dict[str, Rendered]
    plan: BudgetPlan
    tried: dict[str, list[Picture]]  # strategy → its pictures on search seeds
    winner: list[Picture]  # on confirm seeds, as are the next two
    baseline: list[Picture]
    minimal: list[Picture]
    gain: PairedGain  # of the search's winner over the baseline
    verdict: Verdict
    refinement: Refinement | None = None

    @property
    def generations(self) -> int:
        """Pictures that the photo took."""
        shots = [
            *(picture for pictures in self.tried.values() for picture in pictures),
            *(self.refinement.pictures if self.refinement else ()),
            *self.winner,
            *self.baseline,
            *self.minimal,
        ]
        return len({(picture.shot.strategy, picture.shot.seed) for picture in shots})

    def teach(self, experience: Experience) -> Lesson:
        """Adds what this photo taught to `experience`."""
        trials = [
            Trial(name, picture.shot.seed, picture.score.unclipped)
            for name, pictures in self.tried.items()
            for picture in pictures
        ]
        found = self.refinement.found if self.refinement else None
        return experience.add(self.photo.sha256, self.category, trials, found)

    @property
    def adopted(self) -> list[Picture]:
        """The pictures of what is recommended: the winner if it is proven better, else the baseline."""
        return self.winner if self.verdict.improved else self.baseline


def optimise_prompts(
    gathered: Gathered,
    studio: Studio,
    settings: PromptSettings,
    out: Path,
    progress: ProgressCallback = silent,
) -> PromptReport:
    """Finds and proves a prompt for each photo; leaves report, journal and pictures in `out`.

    Killed at any instant and started again with the same settings, it draws nothing twice and reports the same.
    What can't be drawn is refused before `out` is made.
    """
    from .prompt_report import report_of
    from .runs.journal import Journal
    from .runs.report import write_report

    refuse_unknown_strategies(settings.strategies)
    studio.host.check(GenerationRequest(prompt="", seed=0, **settings.drawing))
    tags = studio.eyes.tagger.tag([photo.image for photo in gathered.photos])
    context = Context(share=label_shares(tags))
    seeds = seed_plan(settings.seed, settings.budget, settings.budget)
    with Journal.open(out, settings.model_dump(mode="json")) as journal:
        pace = Pace("prompt", len(gathered.photos) * settings.budget, progress)
        easel = Easel(studio.host, journal, studio.eyes.scorer, settings.drawing, pace.step)
        outcomes: list[PhotoOutcome] = []
        file = ExperienceFile(studio.eyes.scorer.key)
        experience = Experience(settings.checkpoint)
        if settings.learn:
            experience = file.begin(journal.folder, settings.checkpoint, {photo.sha256 for photo in gathered.photos})
        learned_from = len(experience.lessons)
        for photo, seen in zip(gathered.photos, tags, strict=True):
            outcomes.append(optimise_photo(photo, seen, studio, easel, settings, seeds, context, experience))
            if settings.learn:
                file.keep(outcomes[-1].teach(experience))
            pace.reach(len(outcomes) * settings.budget, photo.path.name)
        report = report_of(outcomes, gathered, studio, settings, seeds, easel, learned_from)
        write_report(report, out, taxonomy=studio.eyes.taxonomy, describe=describe)
    return report


def optimise_photo(
    photo: Photo,
    tags: PhotoTags,
    studio: Studio,
    easel: Easel,
    settings: PromptSettings,
    seeds: SeedPlan,
    context: Context,
    experience: Experience,
) -> PhotoOutcome:
    """One photo's search: prompts compete on common seeds, then the winner meets the baseline on held-out ones."""
    reference, taxonomy = Reference(photo.image, photo.sha256), studio.eyes.taxonomy
    write = partial(render, dialect=studio.host.dialect, count=studio.host.count_tokens)
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
        shots = [Shot(shot.arm, prompts[shot.arm], shot.seed) for shot in search.ask()]
        for picture in easel.paint(reference, shots):
            tried.setdefault(picture.shot.strategy, []).append(picture)
            search.tell([Trial(picture.shot.strategy, picture.shot.seed, picture.score.unclipped)])

    # the winner's words are screened
    refinement = refine(
        search.winner,
        Wardrobe(tags, taxonomy, context),
        reference,
        [picture for pictures in tried.values() for picture in pictures],
        easel,
        studio.eyes.tagger,
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
    shots = [Shot(name, prompts[name], seed) for name, count in shown.items() for seed in seeds.confirm[:count]]
    pictures = easel.paint(reference, shots)
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


def similarities(pictures: Sequence[Picture]) -> list[float]:
    """Calibrated similarities 0 … 1, in the order of the seeds."""
    return [picture.score.similarity for picture in pictures]


def label_shares(tags: Sequence[PhotoTags]) -> dict[tuple[str, str], float]:
    """(group, label) → share of the run's photos that have it; empty for a single photo, which is no catalogue."""
    if len(tags) < 2:
        return {}
    counts = Counter((tag.group, tag.label) for seen in tags for tag in seen.tags)
    return {label: count / len(tags) for label, count in counts.items()}
