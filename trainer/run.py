"""A training run that is under way: its folder, its parts, and what may change from one start to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.files import remove_temporaries, sha256_of
from ..core.folder_lock import FolderLock, lock_folder
from ..core.library_versions import installed_versions
from .data.sample import Dataset
from .loop.arithmetic import arithmetic_of, changes
from .loop.checkpoint import TrainState, newest_manifest
from .loop.choice import PictureChoice
from .loop.gradient import Gradient
from .loop.optimization import Optimization
from .loop.samples import Samples
from .loop.trained_model import TrainedModel
from .loop.validation import Validation

if TYPE_CHECKING:
    import torch

    from .config import TrainConfig
    from .loop.memory_plan import Plan

CHECKPOINTS, FIRST_PLAN = "checkpoints", "plan.json"
STEP_FILES = "steps"  # folder of the LoRA files of `files_every`
LOCK = "train.lock"  # the lock is held by the process that trains here
# What leaves the weights as they are: it may change from one start to the next. Where files lie may, too: the
# manifest of the data and the hash of the base model say what is in them.
FREE = {"base", "device", "title", "notes", "compile", "checkpointing", "micro_batch", "save_every"}
FREE |= {"files_every"}
FREE |= {"log", "extend", "extended", "from_lora", "accept_versions"}
FREE_DATA = {"folders", "folder_settings", "masks", "prior_folder"}
# Fields that older versions did not have, by the value that is as they were: a run that was begun without one goes on
# with that value, and as long as it has it the run's identity does not name it.
LATER: dict[tuple[str, str], Any] = {
    ("data", "held_out_by"): "photo",
    ("data", "kohya_names"): False,
    ("data", "class_words"): False,
    ("data", "original_sizes"): False,
}
# Fields that came later and change nothing while they have their defaults: so long the identity does not name them.
ADDED: dict[str, tuple[str, ...]] = {
    "": ("prediction", "block_rates", "plus_ratio", "scale_weight_norms"),
    "network": ("blocks", "dropout", "rank_dropout"),
    "data": ("captions", "caption_tokens"),
    "validation": ("prompts_file",),
    "loss": (
        "multires_noise",
        "multires_discount",
        "input_perturbation",
        "timesteps",
        "timestep_sampling",
        "timestep_shift",
    ),
}
# Goes up where the same config computes something else than before; runs without it go on as they were (`as_before`).
FORMULAS = 2
FREE_VALIDATION = {"pictures", "prompts_file", "picture_steps", "cfg_scale"}
CHOOSING = {"choose", "choice_pictures", "choice_steps"}  # `choice` of the identity says what they come to


@dataclass
class LoopState:
    """How far the loop is, and what it has seen."""

    step: int = 0  # updates done
    consumed: int = 0  # pictures, over all processes
    losses: list[float] = field(default_factory=list)  # of each update with a finite gradient
    validation: Validation = field(default_factory=Validation)
    kept: dict[int, dict[str, torch.Tensor]] = field(default_factory=dict)  # step → its weights, on the CPU
    arithmetic: list[dict[str, Any]] = field(default_factory=list)  # what was computed with, where it changed
    versions: list[dict[str, Any]] = field(default_factory=list)  # {"step", "versions"}: libraries, where they changed
    files: list[int] = field(default_factory=list)  # steps of which a LoRA file was kept


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
    choice: PictureChoice | None = None
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
            best={f"{step}/{name}": tensor for step, kept in loop.kept.items() for name, tensor in kept.items()},
            record={
                "losses": loop.losses,
                **self.optimization.state(),
                "looks": loop.validation.as_json(),
                "chosen_by_why": loop.validation.why,
                "arithmetic": loop.arithmetic,
                "versions": loop.versions,
                "files": loop.files,
                "extended": [extension.model_dump() for extension in self.config.extended],
                "samples": self.samples.taken if self.samples else [],
                **({"scored_by": self.choice.key} if self.choice else {}),
            },
        )

    def restore(self, state: TrainState) -> None:
        """The inverse of `state`: afterwards the run goes on as if it had never stopped."""
        import torch

        with torch.no_grad():
            for name, parameter in self.model.parameters.items():
                parameter.copy_(state.weights[name])
        self.optimization.load(state.optimizer, state.ema, state.record)
        now = self.loop.validation
        validation = Validation.from_json(state.record["looks"], now.start)
        validation = replace(
            validation, by=now.by, why=state.record.get("chosen_by_why", now.why), garments=now.garments
        )
        losses, arithmetic = list(state.record["losses"]), list(state.record.get("arithmetic", []))
        versions = list(state.record.get("versions", []))
        files = list(state.record.get("files", []))
        kept = _kept_by_step(state.best, validation.best_trained.step if validation.best_trained else state.step)
        self.loop = LoopState(state.step, state.consumed, losses, validation, kept, arithmetic, versions, files)
        if self.choice:
            self.choice.key = state.record["scored_by"]
        if self.samples:
            self.samples.taken = list(state.record["samples"])

    def note_arithmetic(self) -> list[str]:
        """Notes what this start computes with; says where it is something else than before, so that bits may differ."""
        now = arithmetic_of(self.plan.device)
        changed = changes(self.loop.arithmetic, now)
        if not self.loop.arithmetic or changed:
            self.loop.arithmetic.append(now)
        if not changed:
            return []
        return [f"weights may differ in their last bits from those of one start: {'; '.join(changed)}"]

    def note_versions(self) -> list[str]:
        """Notes the library versions that this start computes with; says where they are others than before."""
        now = self.identity["versions"]
        before = self.loop.versions[-1]["versions"] if self.loop.versions else now
        if not self.loop.versions or before != now:
            self.loop.versions.append({"step": self.loop.step, "versions": now})
        changed = [f"{name}: {before.get(name)} → {now.get(name)}" for name in now if before.get(name) != now[name]]
        return [f"goes on under other library versions: {'; '.join(changed)}"] if changed else []


def _kept_by_step(best: Mapping[str, torch.Tensor], step: int) -> dict[int, dict[str, torch.Tensor]]:
    """Weights by the step that their names begin with; of an older version's checkpoint all are those of `step`."""
    kept: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in best.items():
        head, slash, rest = name.partition("/")
        place, of = (int(head), rest) if slash and head.isdigit() else (step, name)
        kept.setdefault(place, {})[of] = tensor
    return kept


def arithmetic_begun(out: Path) -> list[dict[str, Any]]:
    """What the run in `out` has computed with, first start first; empty where that is not known."""
    manifest = newest_manifest(out / CHECKPOINTS)
    return list(manifest["record"].get("arithmetic", [])) if manifest else []


def identity_of(
    config: TrainConfig, data: Dataset, model: TrainedModel, choice: PictureChoice | None = None
) -> dict[str, Any]:
    """What a resume must find the same, as JSON; `choice` where pictures choose the step."""
    plan = model.plan
    return {
        "config": config_identity(config, FREE_VALIDATION),
        "data": data.manifest_sha256,
        "base": model.base.sha256,
        **({"from_lora": sha256_of([config.from_lora])} if config.from_lora else {}),
        **({"choice": choice_identity(config, choice)} if choice or _takes_last(config, data) else {}),
        **({} if model.as_before else {"formulas": FORMULAS}),
        "precision": plan.precision,
        "batch_size": plan.batch_size,
        "versions": installed_versions(),
    }


def choice_identity(config: TrainConfig, choice: PictureChoice | None) -> dict[str, Any]:
    """What chooses the step, where that is not the loss, and all that its pictures depend on."""
    if choice is None:
        return {"by": "last"}
    validation = config.validation
    drawn = {"pictures": len(choice.requests), "steps": choice.steps}
    return {"by": "pictures", **drawn, "picture_steps": validation.picture_steps, "cfg_scale": validation.cfg_scale}


def _takes_last(config: TrainConfig, data: Dataset) -> bool:
    return config.validation.choose == "last" and bool(data.held_out)


def config_identity(config: TrainConfig, free_validation: set[str]) -> dict[str, Any]:
    """The fields that decide the weights, as JSON, without those that are as they were before there were any."""
    free: Any = {**dict.fromkeys(FREE, True), "data": FREE_DATA, "validation": free_validation | CHOOSING}
    fields = config.model_dump(mode="json", exclude=free)
    for (section, name), before in LATER.items():
        if fields[section][name] == before:
            del fields[section][name]
    for section, names in ADDED.items():
        part, values = (getattr(config, section), fields[section]) if section else (config, fields)
        for name in set(names) & set(values):
            if getattr(part, name) == type(part).model_fields[name].get_default(call_default_factory=True):
                del values[name]
    return fields


def as_begun(config: TrainConfig, identity: Mapping[str, Any] | None) -> TrainConfig:
    """`config` with what a run was begun with, where its version did not have the field yet; None: nothing is begun."""
    if identity is None:
        return config
    begun = identity["config"]
    for (section, name), before in LATER.items():
        if name not in begun.get(section, {}):
            part = getattr(config, section).model_copy(update={name: before})
            config = config.model_copy(update={section: part})
    if "choose" not in config.validation.model_fields_set and identity.get("choice", {}).get("by") == "last":
        config = config.model_copy(update={"validation": config.validation.model_copy(update={"choose": "last"})})
    return config


def locked(out: Path) -> FolderLock:
    """The run's folder, for one process; InputError where another has it."""
    lock = lock_folder(out, LOCK, "training here")
    if lock.left_by is not None:
        remove_temporaries(out / STEP_FILES, lock.left_by)
    return lock
