"""What the prompt route found out about one photo."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...fashion.prompts.feedback import Faults
from ...fashion.prompts.strategies import YOUR_WORDS
from ...search.budget import BudgetPlan
from ...search.confirmation import Decision
from ...search.seeds import SeedPlan
from ...search.trials import Trial
from ..evaluator import Picture
from .experience import Experience

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...fashion.photos import Photo
    from ...fashion.prompts.renderers import Rendered
    from ...fashion.prompts.strategies import TaggedPhoto
    from ...fashion.tags import PhotoTags
    from ...search.confirmation import PairedGain
    from .experience import Lesson
    from .refinement import Refinement

MINIMAL, BASELINE = "minimal", "all_tags"  # the garment's name alone, and what a tagger alone gives


def arm_of_words(photo: TaggedPhoto, prompts: Mapping[str, Rendered]) -> str | None:
    """The arm of the user's own words: the plain list where they are just that; None without any."""
    if YOUR_WORDS not in photo.given:
        return None
    return YOUR_WORDS if YOUR_WORDS in prompts else BASELINE


@dataclass(frozen=True)
class WordsOutcome:
    """What the user's own words came to on the confirm seeds."""

    pictures: list[Picture]
    gain: PairedGain  # of the search's winner over them, on the seeds that both have
    judge_gain: PairedGain | None

    def keep(self, decision: Decision, winner: str) -> Decision:
        """The decision, unless the winner is proven worse than the user's own words: then these are recommended."""
        if self.gain.high >= 0 or winner == YOUR_WORDS:
            return decision
        low, high = -100 * self.gain.high, -100 * self.gain.low
        over = f"{-100 * self.gain.mean:+.1f} points ({low:+.1f} … {high:+.1f}) over {winner}"
        return Decision(YOUR_WORDS, False, f"No improvement found: your own words are better, {over}.")


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
    words: WordsOutcome | None = None  # None: the user gave none

    @property
    def generations(self) -> int:
        """Pictures that the photo took."""
        drawn = [
            *(picture for pictures in self.tried.values() for picture in pictures),
            *(self.refinement.pictures if self.refinement else ()),
            *self.winner,
            *self.baseline,
            *self.minimal,
            *(self.words.pictures if self.words else ()),
        ]
        return len({(picture.candidate.strategy, picture.candidate.seed) for picture in drawn})

    def teach(self, experience: Experience) -> Lesson:
        """Adds what this photo taught to `experience`."""
        effects = self.refinement.effects if self.refinement else None
        return experience.add(self.photo.sha256, self.category, list(self.trials), effects)

    @property
    def adopted(self) -> list[Picture]:
        """The pictures of what is recommended: the winner if it is improved, else the baseline, or better words."""
        if self.verdict.improved:
            return self.winner
        return self.words.pictures if self.words and self.verdict.arm == YOUR_WORDS else self.baseline
