"""What a judgement of files draws with, and what it has drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...core.progress import Pace
    from ...models.session import Session
    from ...reports.judging import Standing
    from ...runs.journal import Journal
    from ...search.seeds import SeedPlan
    from ..compare.pairs import JudgedPicture, PhotoPair
    from .candidates import JudgedModel
    from .settings import JudgeSettings


@dataclass(frozen=True)
class JudgedArm:
    """A file at a strength; `name` is what the journal and the report call it."""

    name: str
    model: JudgedModel
    strength: float


@dataclass
class JudgeRun:
    """What one judgement draws with, and what it has drawn: arm → its pictures, block by block."""

    session: Session
    settings: JudgeSettings
    pairs: Sequence[PhotoPair]
    seeds: SeedPlan
    journal: Journal
    pace: Pace
    arms: Sequence[JudgedArm]
    drawn: dict[str, list[JudgedPicture]] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)
    proof: dict[str, list[JudgedPicture]] = field(default_factory=dict)  # role → pictures, confirm seed by confirm seed
    roles: dict[str, str] = field(default_factory=dict)  # `best`, `next`, `last` → arm
    without_effect: dict[str, str] = field(default_factory=dict)  # identity of a file that changes nothing → why

    @property
    def racing(self) -> list[JudgedArm]:
        """The arms whose files change what is drawn."""
        return [arm for arm in self.arms if arm.model.tuned.identity not in self.without_effect]

    @cached_property
    def blocks(self) -> list[tuple[int, int]]:
        """(photo, seed) in the order in which they are drawn: every photo once, then again on other seeds."""
        return [(index % len(self.pairs), seed) for index, seed in enumerate(self.seeds.search)]

    @cached_property
    def proof_blocks(self) -> list[tuple[int, int]]:
        """(photo, seed) of the proof."""
        return [(index % len(self.pairs), seed) for index, seed in enumerate(self.seeds.confirm)]

    def garments(self, blocks: Sequence[tuple[int, int]]) -> list[str]:
        """The garment of each block."""
        return [self.pairs[photo].garment for photo, _ in blocks]

    def arm(self, name: str) -> JudgedArm:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)
