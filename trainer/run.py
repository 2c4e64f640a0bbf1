"""A training run that is under way: its folder, its parts, and what may change from one start to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.files import make_folder
from ..core.folder_lock import FolderBusy, FolderLock
from ..core.library_versions import installed_versions
from .data.sample import Dataset
from .loop.checkpoint import TrainState
from .loop.gradient import Gradient
from .loop.optimization import Optimization
from .loop.samples import Samples
from .loop.trained_model import TrainedModel
from .loop.validation import Validation

if TYPE_CHECKING:
    import torch

    from .config import TrainConfig
    from .loop.memory_plan import Plan
    from .model.base_model import StableDiffusionParts

CHECKPOINTS = "checkpoints"
# What leaves the weights as they are: it may change from one start to the next. Where files lie may, too: the
# manifest of the data and the hash of the base model say what is in them.
FREE = {"base", "device", "title", "notes", "compile", "checkpointing", "micro_batch", "save_every"}
FREE_DATA = {"folders", "masks", "prior_folder"}
FREE_VALIDATION = {"pictures", "picture_steps", "cfg_scale"}


@dataclass
class LoopState:
    """How far the loop is, and what it has seen."""

    step: int = 0  # updates done
    consumed: int = 0  # pictures, over all processes
    losses: list[float] = field(default_factory=list)  # of each update with a finite gradient
    validation: Validation = field(default_factory=Validation)
    best: dict[str, torch.Tensor] = field(default_factory=dict)  # name → weights of the best validation, on the CPU


@dataclass
class TrainingRun:
    """A run that is under way: the model's side, the optimizer's side, and the loop's state."""

    config: TrainConfig
    folder: Path
    data: Dataset
    model: TrainedModel
    gradient: Gradient
    optimization: Optimization
    identity: dict[str, Any]
    samples: Samples | None = None
    loop: LoopState = field(default_factory=LoopState)

    @property
    def plan(self) -> Plan:
        """The plan by which it computes."""
        return self.model.plan

    @property
    def main(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.gradient.processes.rank == 0

    def state(self) -> TrainState:
        """Everything that its future depends on, as a checkpoint keeps it."""
        loop = self.loop
        return TrainState(
            step=loop.step,
            consumed=loop.consumed,
            weights={name: parameter.detach() for name, parameter in self.model.parameters.items()},
            optimizer=self.optimization.optimizer.state_dict(),
            ema=self.optimization.ema,
            best=loop.best,
            record={
                "losses": loop.losses,
                **self.optimization.state(),
                "looks": loop.validation.as_json(),
                "samples": self.samples.taken if self.samples else [],
            },
        )

    def restore(self, state: TrainState) -> None:
        """The inverse of `state`: afterwards the run goes on as if it had never stopped."""
        import torch

        with torch.no_grad():
            for name, parameter in self.model.parameters.items():
                parameter.copy_(state.weights[name])
        self.optimization.load(state.optimizer, state.ema, state.record)
        validation = Validation.from_json(state.record["looks"])
        self.loop = LoopState(state.step, state.consumed, list(state.record["losses"]), validation, state.best)
        if self.samples:
            self.samples.taken = list(state.record["samples"])


def identity_of(config: TrainConfig, data: Dataset, base: StableDiffusionParts, plan: Plan) -> dict[str, Any]:
    """What a resume must find the same, as JSON."""
    free: Any = {**dict.fromkeys(FREE, True), "data": FREE_DATA, "validation": FREE_VALIDATION}
    return {
        "config": config.model_dump(mode="json", exclude=free),
        "data": data.manifest_sha256,
        "base": base.sha256,
        **({"padding": base.padding} if base.padding else {}),
        "precision": plan.precision,
        "batch_size": plan.batch_size,
        "versions": installed_versions(),
    }


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
