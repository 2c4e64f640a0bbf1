"""Everything that decides what a prompt run draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from ...fashion.prompts.strategies import (
    DEFAULT_STRATEGIES,
)

if TYPE_CHECKING:
    from ...models.session import Session


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
    def for_session(cls, session: Session, **asked: Any) -> PromptSettings:
        """The preset's drawing defaults, overridden by what was asked; None and empty mean the default."""
        preset, host = session.preset, session.host.describe()
        defaults = {name: getattr(preset, name) for name in ("steps", "cfg_scale", "sampler", "width", "height")}
        given = {name: value for name, value in asked.items() if value is not None and value != ()}
        drawer = dict(host=host.kind, checkpoint=host.checkpoint, checkpoint_hash=host.checkpoint_hash)
        return cls(preset=preset.name, **drawer, **{**defaults, **given})

    @property
    def drawing(self) -> dict[str, Any]:
        """What every request of the run has in common."""
        return self.model_dump(include={"steps", "cfg_scale", "sampler", "width", "height"})
