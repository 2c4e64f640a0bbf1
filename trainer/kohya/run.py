"""A run of sd-scripts that is under way, and what is kept of it from one start to the next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from ...core.files import write_whole
from ..data.sample import Dataset
from ..loop.memory_plan import Plan
from ..results import writing
from .base import KohyaBase
from .engine import Engine

if TYPE_CHECKING:
    from ..config import TrainConfig

FOLDER, RECORD, LOG, FILE = "kohya", "run.json", "sd-scripts.log", "lora.safetensors"


class KohyaRecord(BaseModel):
    """What is kept from one start to the next, in run.json."""

    model_config = ConfigDict(extra="forbid")

    identity: dict[str, Any]
    starts: list[int] = []  # the step that each began at
    state: tuple[int, str] | None = None  # step, and its folder under FOLDER: the newest that is whole
    losses: dict[int, float] = {}  # step → sd-scripts' running mean
    finished: str | None = None  # sd-scripts' file, under FOLDER


@dataclass
class KohyaRun:
    """A run that is under way."""

    config: TrainConfig
    out: Path
    engine: Engine
    base: KohyaBase
    data: Dataset
    plan: Plan
    notices: list[str]
    record: KohyaRecord

    @property
    def folder(self) -> Path:
        """All that is between sd-scripts and us."""
        return self.out / FOLDER

    def keep(self) -> None:
        """Writes run.json."""
        with writing("the record of the run", self.folder):
            write_whole(self.folder / RECORD, self.record.model_dump_json(indent=1).encode())
