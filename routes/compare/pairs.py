"""What a comparison draws with, and one of its photos with the pictures that each arm drew for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...fashion.photos import garment_of
from ..evaluator import Reference

if TYPE_CHECKING:
    from ...fashion.photos import Photo
    from ...fashion.prompts.renderers import Rendered
    from ...fashion.tags import PhotoTags
    from ...models.session import Session
    from ...runs.journal import Journal, Score
    from ...search.seeds import SeedPlan
    from ..evaluator import Picture
    from .settings import CompareSettings
    from .tuned import TunedModel

# Arm → whether the tuned model draws it; reports/comparison.py says what they are.
ARMS = {"name": False, "words": False, "base": False, "tuned": True, "tuned_words": True}


@dataclass(frozen=True)
class JudgedPicture:
    """A picture with the scorer's score, and the judge's, where there is one."""

    picture: Picture
    judge: Score | None


@dataclass
class PhotoPair:
    """One photo's pictures: arm → one a confirm seed, strength → one a choosing seed."""

    photo: Photo
    tags: PhotoTags
    prompts: dict[str, Rendered]
    arms: dict[str, list[JudgedPicture]] = field(default_factory=dict)
    by_strength: dict[float, list[JudgedPicture]] = field(default_factory=dict)

    @property
    def reference(self) -> Reference:
        """What its pictures are compared with."""
        return Reference(self.photo.image, self.photo.sha256)

    @property
    def garment(self) -> str:
        """The garment that the photo shows; pictures of one garment are one witness."""
        return garment_of(self.photo.path)

    def twin_of(self, arm: str) -> str | None:
        """The arm drawn before by the same model from the same prompt: a LoRA without a trigger has such arms."""
        text = self.prompts[arm].positive, self.prompts[arm].negative
        for other in self.arms:
            prompt = self.prompts[other]
            if other != arm and ARMS[other] == ARMS[arm] and (prompt.positive, prompt.negative) == text:
                return other
        return None


@dataclass(frozen=True)
class ComparisonRun:
    """What one comparison draws with; `seeds.search` choose the strength, `seeds.confirm` decide."""

    session: Session
    tuned: TunedModel
    settings: CompareSettings
    seeds: SeedPlan
    journal: Journal
