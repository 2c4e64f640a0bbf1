"""The training route, from a folder of photos to a file: the page that reads like the diagram.

photos + captions → latents → x_t, t → UNet → error → gradient → optimizer → held-out look → best checkpoint → file
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..device import choose_device, used_mb
from ..errors import InputError, Stopped
from ..files import make_folder, write_whole
from ..home import modiste_home
from ..progress import Pace, Progress, ProgressCallback, silent
from ..runs.lock import FolderBusy, FolderLock
from ..runs.settings import installed_versions
from .adapters import trainable
from .base_model import BaseModel, open_base, unet_weights
from .cache import LatentCache, TextCache, vae_identity
from .captions import possible_captions
from .checkpoint import TrainState, load_latest, save_checkpoint, whole_checkpoints
from .dataset import Dataset, load_dataset
from .gradient import Gradient, Processes
from .objective import Diffusion
from .optimizers import LossScale, new_optimizer, set_rates
from .order import Order, Visit
from .plan import Plan, first_plan, kept_plan, measured_plan
from .results import TrainResult, finish, writing
from .samples import Critic, Samples
from .text_encoding import encode
from .validation import Look, Validation

if TYPE_CHECKING:
    import torch

    from .config import TrainConfig
    from .dataset import Read

CHECKPOINTS = "checkpoints"
BAD_STEPS = 5  # in a row
FIRST_PLAN = "plan.json"
# What leaves the weights as they are: it may change from one start to the next. Where files lie may, too: the
# manifest of the data and the hash of the base model say what is in them.
FREE = {"base", "device", "title", "notes", "compile", "checkpointing", "micro_batch", "save_every"}
FREE_DATA = {"folders", "masks", "prior_folder"}
FREE_VALIDATION = {"pictures", "picture_steps", "cfg_scale"}

Tag = Callable[[Sequence[Any]], list[str]]


@dataclass
class Run:
    """A run that is under way."""

    config: TrainConfig
    folder: Path
    base: BaseModel
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


def train(
    config: TrainConfig,
    out: Path,
    read: Read,
    tag: Tag | None = None,
    progress: ProgressCallback = silent,
    stop: Callable[[], bool] = lambda: False,
    critic: Critic | None = None,
) -> TrainResult:
    """Trains, or goes on where `out` was left; the same config gives the same weights, however often it was stopped.

    `read` opens a photo, `tag` captions those without one, `critic` looks at pictures that the model draws on the way;
    none are drawn without it. Stopped where `stop` says so: a checkpoint is kept.
    """
    processes = Processes.of_launch(choose_device(config.device))
    progress = silent if processes.rank else progress
    lock = locked(out) if processes.rank == 0 else None
    try:
        run = _begin(config, out, read, tag, progress, processes, critic)
        _steps(run, progress, stop)
        return finish(run, progress)
    except _out_of_memory() as error:
        raise Stopped(
            "the device has too little memory for this run",
            where=config.device,
            to_try="a smaller micro_batch or resolution, or checkpointing; the batch_size may stay",
        ) from error
    finally:
        if lock:
            lock.release()


# ── begin ──


def _begin(
    config: TrainConfig,
    out: Path,
    read: Read,
    tag: Tag | None,
    progress: ProgressCallback,
    processes: Processes,
    critic: Critic | None = None,
) -> Run:
    progress(Progress("data", 0, 1, "reading photos and captions"))
    data = load_dataset(config.data, read, tag, progress)
    plan = first_plan(config, unet_weights(config.base), len(data.samples))
    progress(Progress("model", 0, 1, f"opening {config.base}"))
    base = open_base(config.base, plan.dtype, plan.device)

    # latents, words: each process encodes its share
    everything, share = [*data.samples, *data.held_out], slice(processes.rank, None, processes.world)
    latents = LatentCache(vae_identity(base.vae), read)
    latents.build(base.vae, everything[share], config.data.flip, progress)
    samples = Samples.of(config, data, critic, out)
    texts, captions = None, possible_captions(everything, config.data)
    if not config.network.text_rank:
        texts = TextCache(_encoder(base, config), f"{base.sha256} {plan.precision}", config.clip_skip)
        texts.build([*(captions or []), *(samples.prompts if samples else [])][share], progress)
    processes.wait()
    base.let_go(vae=samples is None, text_encoders=texts is not None and captions is not None)

    # what learns
    parameters = trainable(base, config)
    gradient = Gradient(
        base,
        config,
        plan,
        Diffusion.of(base.scheduler_config, config.loss.zero_terminal_snr),
        latents,
        texts,
        parameters,
        processes,
        LossScale.of(plan.precision),
    )
    plan = gradient.plan = _measured(gradient, data, out)
    if plan.checkpointing:
        base.unet.enable_gradient_checkpointing()
    if plan.compile:
        base.unet.compile()
    optimizer = new_optimizer(parameters, config)

    # where it was left
    identity = {
        "config": config.model_dump(
            mode="json", exclude={**dict.fromkeys(FREE, True), "data": FREE_DATA, "validation": FREE_VALIDATION}
        ),
        "data": data.manifest_sha256,
        "base": base.sha256,
        "precision": plan.precision,
        "batch_size": plan.batch_size,
        "versions": installed_versions(),
    }
    state = load_latest(out / CHECKPOINTS, identity)
    begun = state or TrainState()
    run = Run(config, out, base, data, gradient, optimizer, begun, Validation(), identity, plan, samples)
    if state is not None:
        _put_back(run, state)
        progress(Progress("train", state.step, config.steps, f"going on at step {state.step}"))
    return run


def _measured(gradient: Gradient, data: Dataset, out: Path) -> Plan:
    """The plan after one real step; a run that goes on keeps what was measured at its start."""
    first, config, processes, file = gradient.plan, gradient.config, gradient.processes, out / FIRST_PLAN
    if processes.rank == 0:
        if file.is_file() and whole_checkpoints(out / CHECKPOINTS):
            plan = kept_plan(first, Plan.model_validate_json(file.read_text(encoding="utf-8")), config)
        else:
            plan = measured_plan(first, config, lambda: _one_picture(gradient, data))
        with writing("the plan", out):
            write_whole(file, plan.model_dump_json(indent=1).encode())
    processes.wait()
    return Plan.model_validate_json(file.read_text(encoding="utf-8"))


def _one_picture(gradient: Gradient, data: Dataset) -> None:
    gradient.losses([Visit(data.samples[0], 0, 0, 0)]).sum().backward()
    for parameter in gradient.parameters.values():
        parameter.grad = None


def _encoder(base: BaseModel, config: TrainConfig) -> Callable[[Sequence[str]], list[dict[str, torch.Tensor]]]:
    def encoded(captions: Sequence[str]) -> list[dict[str, torch.Tensor]]:
        if not base.text_encoders:
            raise InputError(
                f"the words of {captions[0]!r} are not in the cache any more",
                where=str(modiste_home()),
                to_try="start again: what is missing is encoded anew",
            )
        embeds = encode(base, captions, config.clip_skip)
        return [{name: tensor[index].float() for name, tensor in embeds.items()} for index in range(len(captions))]

    return encoded


def _put_back(run: Run, state: TrainState) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in run.gradient.parameters.items():
            parameter.copy_(state.weights[name])
    run.optimizer.load_state_dict(state.optimizer)
    run.gradient.scale = LossScale(**state.record["scale"])
    run.losses = list(state.record["losses"])
    run.bad = state.record["bad"]
    run.validation = Validation.from_json(state.record["looks"])
    if run.samples:
        run.samples.taken = list(state.record["samples"])
    run.state.ema = {name: tensor.to(run.gradient.device) for name, tensor in state.ema.items()}


# ── the loop ──


def _steps(run: Run, progress: ProgressCallback, stop: Callable[[], bool]) -> None:
    config, state = run.config, run.state
    pace = Pace("train", config.steps, progress)
    pace.reach(state.step)
    if state.step == 0:
        _look(run, progress)
    order = Order(run.data.samples, run.plan.batch_size, config.seed, config.data.flip)
    batches, due = order.batches(state.consumed), False
    while state.step < config.steps and not _waited_enough(run):
        batch = next(batches)
        rate = set_rates(run.optimizer, state.step, config)
        run.optimizer.zero_grad(set_to_none=True)
        loss = run.gradient(batch)
        _update(run, loss)
        state.step, state.consumed = state.step + 1, batch.end
        used = used_mb(run.plan.device)
        pace.step(message=f"loss {loss:.4f}, rate {rate:.1e}", loss=loss, rate=rate, memory_mb=used)
        if state.step % config.validation_steps == 0 or state.step == config.steps:
            _look(run, progress)
        stopping = run.gradient.anyone(stop()) and state.step < config.steps
        due = due or stopping or state.step % config.save_steps == 0 or state.step == config.steps
        if due and not run.bad:  # what has lost its way does not take the place of what had not
            _save(run)
            progress(Progress("checkpoint", state.step, config.steps, "kept", values={"step": state.step}))
            due = False
        if stopping:
            raise Stopped(
                f"stopped at step {state.step} of {config.steps}; a checkpoint is kept",
                where=str(run.folder),
                to_try="the same command goes on",
            )


def _update(run: Run, loss: float) -> None:
    """Clips and steps; a gradient that is not finite is thrown away, and too many of them end the run."""
    import torch

    held = list(run.gradient.parameters.values())
    norm = torch.nn.utils.clip_grad_norm_([p for p in held if p.grad is not None], run.config.max_grad_norm)
    finite = bool(torch.isfinite(norm)) and math.isfinite(loss)
    scale_is_to_blame = run.gradient.scale.update(finite)
    if not finite:
        run.bad += not scale_is_to_blame
        if run.bad >= BAD_STEPS:
            raise Stopped(
                f"{run.bad} steps in a row had no finite gradient (step {run.state.step})",
                where=str(run.folder),
                to_try='a smaller learning_rate, or precision "fp32" or "bf16"; the last checkpoint is from before',
            )
        return
    run.bad = 0
    run.losses.append(loss)
    run.optimizer.step()
    if run.config.ema:
        _average(run)


def _average(run: Run) -> None:
    """EMA with a decay that begins small, so that the start is forgotten: Karras et al., arXiv 2206.00364, table 7."""
    import torch

    decay = min(run.config.ema, (1 + run.state.step) / (10 + run.state.step))
    with torch.no_grad():
        for name, parameter in run.gradient.parameters.items():
            held = run.state.ema.setdefault(name, parameter.detach().clone())
            held.lerp_(parameter.detach(), 1 - decay)


def _waited_enough(run: Run) -> bool:
    patience = run.config.validation.patience
    return bool(patience and len(run.validation.looks) > 1 and run.validation.waited() >= patience)


def _look(run: Run, progress: ProgressCallback) -> None:
    """Judges the weights on the held-out photos, and keeps them if they are the best so far."""
    photos = run.data.held_out[: run.config.validation.most]
    best_before = run.validation.best_trained
    if photos:
        with _Averaged(run):
            losses = run.gradient.held_out_losses(photos)
        if not all(map(math.isfinite, losses)):
            raise Stopped(
                f"the loss on held-out photos is not finite at step {run.state.step}",
                where=str(run.folder),
                to_try='precision "fp32" or "bf16", or a smaller learning_rate; the last checkpoint is from before',
            )
        run.validation.looks.append(Look(run.state.step, losses))
    best = run.validation.best_trained
    if run.state.step and (best is not best_before or not photos):
        weights = run.state.ema or {name: p.detach() for name, p in run.gradient.parameters.items()}
        run.state.best = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
    if photos:
        look = run.validation.looks[-1]
        gain = run.validation.gain(look)
        said = f"held-out loss {look.mean:.5f}, {gain.mean:+.5f} ({gain.low:+.5f} … {gain.high:+.5f})"
        values = {"step": look.step, "loss": look.mean, "mean": gain.mean, "low": gain.low, "high": gain.high}
        progress(Progress("validation", look.step, run.config.steps, said, values=values))
    if run.samples and run.main:
        with _Averaged(run), writing("the sample pictures", run.folder):
            run.samples.take(run.gradient, run.state.step, progress)


class _Averaged:
    """Inside `with`, the model wears the averaged weights, where there are any."""

    def __init__(self, run: Run):
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


def _save(run: Run) -> None:
    state = run.state
    state.weights = {name: p.detach() for name, p in run.gradient.parameters.items()}
    if not all(bool(tensor.isfinite().all()) for tensor in state.weights.values()):
        raise Stopped(
            f"the weights are not finite any more at step {state.step}: they are not kept",
            where=str(run.folder),
            to_try="a smaller learning_rate; the last checkpoint is from before",
        )
    state.optimizer = run.optimizer.state_dict()
    state.record = {
        "losses": run.losses,
        "bad": run.bad,
        "scale": asdict(run.gradient.scale),
        "looks": run.validation.as_json(),
        "samples": run.samples.taken if run.samples else [],
    }
    if run.main:
        with writing(f"the checkpoint of step {state.step}", run.folder):
            save_checkpoint(run.folder / CHECKPOINTS, state, run.identity)


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


def _out_of_memory() -> type[Exception]:
    import torch

    return torch.OutOfMemoryError
