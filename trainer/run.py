"""A training run that is under way: its folder, its parts, and what may change from one start to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.files import make_folder
from ..core.folder_lock import FolderBusy, FolderLock
from .data.dataset import Dataset
from .loop.checkpoint import TrainState
from .loop.gradient import Gradient
from .loop.memory_plan import Plan
from .loop.samples import Samples
from .loop.validation import Validation
from .model.base_model import StableDiffusionParts

if TYPE_CHECKING:
    import torch

    from .config import TrainConfig

CHECKPOINTS = "checkpoints"
# What leaves the weights as they are: it may change from one start to the next. Where files lie may, too: the
# manifest of the data and the hash of the base model say what is in them.
FREE = {"base", "device", "title", "notes", "compile", "checkpointing", "micro_batch", "save_every"}
FREE_DATA = {"folders", "masks", "prior_folder"}
FREE_VALIDATION = {"pictures", "picture_steps", "cfg_scale"}


@dataclass
class TrainingRun:
    """A run that is under way."""

    config: TrainConfig
    folder: Path
    base: StableDiffusionParts
    data: Dataset
    gradient: Gradient
    optimizer: torch.optim.Optimizer
    state: TrainState
    validation: Validation
    identity: dict[str, Any]
    plan: Plan
    samples: Samples | None = None
    losses: list[float] = field(default_factory=list)
    bad: int = 0  # steps in a row whose gradient was not finite

    @property
    def main(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.gradient.processes.rank == 0


class ema_weights:
    """Inside `with`, the model wears the averaged weights, where there are any."""

    def __init__(self, run: TrainingRun):
        self.run = run

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *error: object) -> None:
        self._swap()

    def _swap(self) -> None:
        for name, held in self.run.state.ema.items():
            parameter = self.run.gradient.parameters[name]
            kept = parameter.data.clone()
            parameter.data.copy_(held)
            held.copy_(kept)


def locked(out: Path) -> FolderLock:
    """The run's folder, for one process; InputError where another has it."""
    try:
        make_folder(out)
        return FolderLock(out / "train.lock")
    except FolderBusy as busy:
        raise InputError(
            f"process {busy.pid or 'unknown'} is training here", where=str(out), to_try="another --out, or wait for it"
        ) from None
    except OSError as error:
        raise InputError(f"nothing can be written here: {error.strerror or error}", where=str(out)) from error
