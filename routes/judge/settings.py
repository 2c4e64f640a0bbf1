"""Everything that decides what a judgement draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..drawing_settings import CaptionedSettings

if TYPE_CHECKING:
    from ...models.session import Session
    from .candidates import JudgedModel

CHOOSING_SEEDS, CONFIRM_SEEDS = 4, 4  # pictures a photo: of each finalist, and of each arm of the proof


class JudgeSettings(CaptionedSettings):
    """Everything that decides what a judgement draws; its folder belongs to one of these."""

    candidates: dict[str, str]  # label → digest of its weights
    seed: int = 0
    strengths: tuple[float, ...] = (1.0,)
    choosing_seeds: int = CHOOSING_SEEDS
    confirm_seeds: int = CONFIRM_SEEDS

    @classmethod
    def for_session(cls, session: Session, models: Sequence[JudgedModel], **fields: Any) -> JudgeSettings:
        """The preset's drawing defaults, overridden by `fields`; None means the default."""
        digests = {model.label: model.tuned.identity for model in models}
        trigger = next((model.tuned.trigger for model in models if model.tuned.trigger), "")
        return cls.of_session(session, {"trigger": trigger, **fields, "candidates": digests})
