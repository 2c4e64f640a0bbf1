"""What the prompt route found out about one photo."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...fashion.prompts.feedback import Faults
from ...search.budget import BudgetPlan
from ...search.confirmation import Decision
from ...search.seeds import SeedPlan
from ...search.trials import Trial
from ..evaluator import Picture
from .experience import Experience

if TYPE_CHECKING:
    from ...fashion.photos import Photo
    from ...fashion.prompts.renderers import Rendered
    from ...fashion.tags import PhotoTags
    from ...search.confirmation import PairedGain
    from .experience import Lesson
    from .refinement import Refinement

MINIMAL, BASELINE = "minimal", "all_tags"  # the garment's name alone, and what a tagger alone gives


@dataclass(frozen=True)
class PhotoOutcome:
    """What the prompt route found out about one photo."""

    photo: Photo
    tags: PhotoTags
    category: str
    seeds: SeedPlan  # the photo's own
    look: int  # how often its prompts were confirmed before
    prompts: dict[str, Rendered]
    plan: BudgetPlan
    tried: dict[str, list[Picture]]  # strategy → its pictures on search seeds
    winner: list[Picture]  # on confirm seeds, as are the next two
    baseline: list[Picture]
    minimal: list[Picture]
    gain: PairedGain  # of the search's winner over the baseline, whatever is adopted then
    judge_gain: PairedGain | None  # the same pairs as the judge sees them; None without a judge
    verdict: Decision
    refinement: Refinement | None = None
    trials: tuple[Trial, ...] = ()  # what each picture of `tried` was worth to the search
    colour_change: PairedGain | None = None  # ΔE of winner − baseline, CIEDE2000; None where colours are not known
    faults: Faults = field(default_factory=Faults)  # of the first pictures, which the later arms answer

    @property
    def generations(self) -> int:
        """Pictures that the photo took."""
        drawn = [
            *(picture for pictures in self.tried.values() for picture in pictures),
            *(self.refinement.pictures if self.refinement else ()),
            *self.winner,
            *self.baseline,
            *self.minimal,
        ]
        return len({(picture.candidate.strategy, picture.candidate.seed) for picture in drawn})

    def teach(self, experience: Experience) -> Lesson:
        """Adds what this photo taught to `experience`."""
        effects = self.refinement.effects if self.refinement else None
        return experience.add(self.photo.sha256, self.category, list(self.trials), effects)

    @property
    def adopted(self) -> list[Picture]:
        """The pictures of what is recommended: the winner if it is improved, else the baseline."""
        return self.winner if self.verdict.improved else self.baseline
