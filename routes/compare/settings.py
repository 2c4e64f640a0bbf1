"""Everything that decides what a comparison draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..drawing_settings import CaptionedSettings
from .tuned import TunedModel

if TYPE_CHECKING:
    from ...models.session import Session


STRENGTHS = (0.4, 0.6, 0.8, 1.0, 1.2)
CHOOSING_SEEDS, CONFIRM_SEEDS = 2, 4  # pictures a photo and strength, and a photo and arm


class CompareSettings(CaptionedSettings):
    """Everything that decides what a comparison draws; its folder belongs to one of these."""

    tuned: str  # digest of its weights
    seed: int = 0
    same_seeds: bool = False  # as if nobody had looked at these photos before: for replays
    strengths: tuple[float, ...] = STRENGTHS
    choosing_seeds: int = CHOOSING_SEEDS
    confirm_seeds: int = CONFIRM_SEEDS

    @classmethod
    def for_session(cls, session: Session, tuned: TunedModel, **fields: Any) -> CompareSettings:
        """The preset's drawing defaults, overridden by `fields`; None means the default."""
        if tuned.kind == "model":
            fields["strengths"] = ()  # a whole model has none
        return cls.of_session(session, {**fields, "tuned": tuned.identity, "trigger": tuned.trigger})
