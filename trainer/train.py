"""The training route, from a folder of photos to a file: the page that reads like the diagram.

photos + captions → latents → x_t, t → UNet → error → gradient → optimizer → held-out look → best checkpoint → file
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.device import choose_device, used_mb
from ..core.errors import InputError, Stopped
from ..core.files import write_whole
from ..core.home import modiste_home
from ..core.library_versions import installed_versions
from ..core.progress import Pace, Progress, ProgressCallback, silent
from .data.cache import LatentCache, TextCache, vae_identity
from .data.captions import possible_captions
from .data.dataset import Dataset, load_dataset
from .data.sampler import BatchSampler, SampleVisit
from .loop.checkpoint import TrainState, load_latest, save_checkpoint, whole_checkpoints
from .loop.gradient import Gradient
from .loop.memory_plan import Plan, first_plan, kept_plan, measured_plan
from .loop.objective import Diffusion
from .loop.optimizers import LossScale, new_optimizer, set_rates
from .loop.processes import Processes
from .loop.samples import Critic, Samples
from .loop.validation import Validation, ValidationResult
from .model.adapters import trainable
from .model.base_model import StableDiffusionParts, open_base, unet_weights
from .model.text_encoding import encode
from .results import TrainResult, finish, writing
from .run import CHECKPOINTS, FREE, FREE_DATA, FREE_VALIDATION, TrainingRun, ema_weights, locked

if TYPE_CHECKING:
    import torch

    from .config import TrainConfig
    from .data.dataset import Read

BAD_STEPS = 5  # in a row
FIRST_PLAN = "plan.json"

Tag = Callable[[Sequence[Any]], list[str]]


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
) -> TrainingRun:
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
    base.release(vae=samples is None, text_encoders=texts is not None and captions is not None)

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
    run = TrainingRun(config, out, base, data, gradient, optimizer, begun, Validation(), identity, plan, samples)
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
    gradient.losses([SampleVisit(data.samples[0], 0, 0, 0)]).sum().backward()
    for parameter in gradient.parameters.values():
        parameter.grad = None


def _encoder(
    base: StableDiffusionParts, config: TrainConfig
) -> Callable[[Sequence[str]], list[dict[str, torch.Tensor]]]:
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


def _put_back(run: TrainingRun, state: TrainState) -> None:
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


def _steps(run: TrainingRun, progress: ProgressCallback, stop: Callable[[], bool]) -> None:
    config, state = run.config, run.state
    pace = Pace("train", config.steps, progress)
    pace.reach(state.step)
    if state.step == 0:
        _look(run, progress)
    order = BatchSampler(run.data.samples, run.plan.batch_size, config.seed, config.data.flip)
    batches, due = order.batches(state.consumed), False
    while state.step < config.steps and not _out_of_patience(run):
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


def _update(run: TrainingRun, loss: float) -> None:
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


def _average(run: TrainingRun) -> None:
    """EMA with a decay that begins small, so that the start is forgotten: Karras et al., arXiv 2206.00364, table 7."""
    import torch

    decay = min(run.config.ema, (1 + run.state.step) / (10 + run.state.step))
    with torch.no_grad():
        for name, parameter in run.gradient.parameters.items():
            held = run.state.ema.setdefault(name, parameter.detach().clone())
            held.lerp_(parameter.detach(), 1 - decay)


def _out_of_patience(run: TrainingRun) -> bool:
    patience = run.config.validation.patience
    return bool(patience and len(run.validation.looks) > 1 and run.validation.waited() >= patience)


def _look(run: TrainingRun, progress: ProgressCallback) -> None:
    """Judges the weights on the held-out photos, and keeps them if they are the best so far."""
    photos = run.data.held_out[: run.config.validation.most]
    best_before = run.validation.best_trained
    if photos:
        with ema_weights(run):
            losses = run.gradient.held_out_losses(photos)
        if not all(map(math.isfinite, losses)):
            raise Stopped(
                f"the loss on held-out photos is not finite at step {run.state.step}",
                where=str(run.folder),
                to_try='precision "fp32" or "bf16", or a smaller learning_rate; the last checkpoint is from before',
            )
        run.validation.looks.append(ValidationResult(run.state.step, losses))
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
        with ema_weights(run), writing("the sample pictures", run.folder):
            run.samples.take(run.gradient, run.state.step, progress)


def _save(run: TrainingRun) -> None:
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


def _out_of_memory() -> type[Exception]:
    import torch

    return torch.OutOfMemoryError
