"""Everything that decides what a comparison draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from .tuned import TunedModel

if TYPE_CHECKING:
    from ...models.session import Session


STRENGTHS = (0.4, 0.6, 0.8, 1.0, 1.2)
CHOOSING_SEEDS, CONFIRM_SEEDS = 2, 4  # pictures a photo and strength, and a photo and arm


class CompareSettings(BaseModel):
    """Everything that decides what a comparison draws; its folder belongs to one of these."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str
    host: str
    checkpoint: str
    checkpoint_hash: str | None = None
    tuned: str  # digest of its weights
    trigger: str
    strategy: str = "sentence"  # the form of prompts and captions
    bound: tuple[str, ...] | None = None  # groups left to the trigger; None: those that the vocabulary binds
    seed: int = 0
    strengths: tuple[float, ...] = STRENGTHS
    choosing_seeds: int = CHOOSING_SEEDS
    confirm_seeds: int = CONFIRM_SEEDS
    steps: int
    cfg_scale: float
    sampler: str
    width: int  # pixels
    height: int

    @classmethod
    def for_session(cls, session: Session, tuned: TunedModel, **asked: Any) -> CompareSettings:
        """The preset's drawing defaults, overridden by what was asked; None means the default."""
        preset, host = session.preset, session.host.describe()
        defaults = {name: getattr(preset, name) for name in ("steps", "cfg_scale", "sampler", "width", "height")}
        given = {name: value for name, value in asked.items() if value is not None}
        drawer = dict(host=host.kind, checkpoint=host.checkpoint, checkpoint_hash=host.checkpoint_hash)
        if tuned.kind == "model":
            given["strengths"] = ()  # a whole model has none
        return cls(preset=preset.name, **drawer, tuned=tuned.identity, trigger=tuned.trigger, **{**defaults, **given})

    @property
    def drawing(self) -> dict[str, Any]:
        """What every request of the run has in common."""
        return self.model_dump(include={"steps", "cfg_scale", "sampler", "width", "height"})
