"""The training route, from a folder of photos to a file: the page that reads like the diagram.

photos + captions → latents → noisy latents, timesteps → UNet → loss → gradient → optimizer → validation → file
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.device import choose_device
from ..core.errors import Stopped
from ..core.files import write_whole
from ..core.progress import Pace, Progress, ProgressCallback, silent
from ..core.state_files import read_state
from .choosing import keep_candidates
from .data.dataset import load_dataset
from .data.sampler import BatchSampler, SampleVisit
from .going_on import as_extended, begin_with, with_lora_network
from .loop.arithmetic import threads_of
from .loop.checkpoint import load_latest, newest_manifest, save_checkpoint, whole_checkpoints
from .loop.choice import PictureChoice, criterion_of
from .loop.denoising_loss import DenoisingLoss
from .loop.gradient import Gradient
from .loop.memory_plan import Plan, first_plan, kept_plan, measured_plan, too_little_memory
from .loop.objective import Diffusion
from .loop.optimization import Optimization
from .loop.processes import Processes
from .loop.samples import Critic, Samples
from .loop.step_log import StepLog
from .loop.trained_model import open_model
from .loop.validation import Validation, ValidationResult, gain_text
from .lora.peft_layers import adapters_of
from .model.adapters import ADAPTER
from .model.base_model import unet_weights
from .model.weight_norms import norm_limit
from .results import TrainResult, finish, keep_step_file, writing
from .run import CHECKPOINTS, FIRST_PLAN, TrainingRun, arithmetic_begun, as_begun, identity_of, locked

if TYPE_CHECKING:
    from .config import TrainConfig
    from .data.held_out import Garment
    from .data.sample import Dataset, Read, Sample, Tag

MEASURE_AGAIN = "delete the file: a step is measured again"


def train(
    config: TrainConfig,
    out: Path,
    read: Read,
    tag: Tag | None = None,
    progress: ProgressCallback = silent,
    stop: Callable[[], bool] = lambda: False,
    critic: Critic | None = None,
    garment: Garment | None = None,
) -> TrainResult:
    """Trains, or goes on where `out` was left; the same config gives the same weights, however often it was stopped.

    `read` opens a photo, `tag` captions those without one, `critic` looks at pictures that the model draws on the way;
    none are drawn without it. `garment` names what a photo shows: validation holds out whole garments. Stopped where
    `stop` says so: a checkpoint is kept.
    """
    processes = Processes.of_launch(choose_device(config.device))
    progress = silent if processes.rank else progress
    lock = locked(out) if processes.rank == 0 else None
    run = None
    try:
        with threads_of(arithmetic_begun(out)):
            run = begin_run(config, out, read, tag, progress, processes, critic, garment)
            take_steps(run, progress, stop)
            return finish(run, progress)
    except _out_of_memory() as error:
        raise too_little_memory(config, run.plan if run else None) from error
    finally:
        if lock:
            lock.release()


# ── begin ──


def begin_run(
    config: TrainConfig,
    out: Path,
    read: Read,
    tag: Tag | None,
    progress: ProgressCallback,
    processes: Processes,
    critic: Critic | None = None,
    garment: Garment | None = None,
) -> TrainingRun:
    """The run before its next step: at its start, or where it was left."""
    # Read photos and captions.
    manifest = newest_manifest(out / CHECKPOINTS)
    begun = manifest["identity"] if manifest else None
    config, as_before = as_begun(config, begun), begun is not None and "formulas" not in begun
    config = as_extended(with_lora_network(config), out, manifest)
    progress(Progress("data", 0, 1, "reading photos and captions"))
    data = load_dataset(config.data, read, tag, progress, garment)
    samples = Samples.of(config, data, critic, out)
    by, why, choice = _chooser(config, data, critic, garment or str, begun)

    # Open the model, cache what its frozen parts make of the data, put the adapters on.
    plan = first_plan(config, unet_weights(config.base), len(data.samples))
    drawing = [part.prompts for part in (samples, choice) if part is not None]
    prompts = [prompt for part in drawing for prompt in part] if drawing else None
    model = open_model(config, plan, data, prompts, read, processes, progress, as_before)

    # Measure one real step, and compute by what it cost.
    diffusion = Diffusion.of(model.base.scheduler_config, config.loss.zero_terminal_snr)
    diffusion = replace(diffusion, debiased_as_epsilon=as_before)
    for notice in diffusion.notices(config.loss):
        progress(Progress("model", 1, 1, notice))
    gradient = Gradient(DenoisingLoss(model, diffusion), processes)
    model.plan = _measured(gradient, data, out)
    if model.plan.checkpointing:
        model.recompute_activations()
    if model.plan.compile:
        model.base.unet.compile()

    # Go on where it was left.
    optimization = Optimization.of(config, model.parameters, plan.precision)
    if config.scale_weight_norms is not None:
        optimization.after_step = norm_limit(adapters_of(model.base.parts), config.scale_weight_norms, ADAPTER)
    identity = identity_of(config, data, model, choice)
    run = TrainingRun(config, out, data, model, gradient, optimization, identity, samples, choice)
    run.loop.validation = Validation(by=by, why=why, garments=choice.garments if choice else ())
    if config.from_lora is not None:
        run.loop.validation.start = "the starting LoRA"
    state = load_latest(out / CHECKPOINTS, identity, config.accept_versions)
    if state is not None:
        run.restore(state)
        progress(Progress("train", state.step, config.last_step, f"going on at step {state.step}"))
    elif config.from_lora is not None:
        begin_with(model, config, progress)
    for message in (*run.note_arithmetic(), *run.note_versions()):
        progress(Progress("train", run.loop.step, config.last_step, message))
    return run


def _chooser(
    config: TrainConfig, data: Dataset, critic: Critic | None, garment: Garment, begun: Mapping[str, Any] | None
) -> tuple[str, str, PictureChoice | None]:
    """What chooses the step, why where that is not what the config says, and the pictures that it takes.

    A run that was begun by the loss goes on by it, unless another rule is asked for, which `begun` refuses then.
    """
    garments = len({garment(photo.path) for photo in data.held_out})
    by, why = criterion_of(config, data, critic, garments)
    if begun is not None and "choice" not in begun and "choose" not in config.validation.model_fields_set:
        by, why = "loss" if by == "pictures" else by, why
    if by != "pictures" or critic is None:
        return by, why, None
    return by, why, PictureChoice.of(config, data, critic, garment)


def _measured(gradient: Gradient, data: Dataset, out: Path) -> Plan:
    """The plan after one real step; a run that goes on keeps what was measured at its start."""
    model, file = gradient.loss.model, out / FIRST_PLAN
    if gradient.processes.rank == 0:
        if file.is_file() and whole_checkpoints(out / CHECKPOINTS):
            measured = read_state(file, Plan.model_validate, MEASURE_AGAIN)
            plan = kept_plan(model.plan, measured, model.config)
        else:
            step = partial(_measure, gradient.loss, data.samples[0])
            weights = sum(parameter.numel() for parameter in model.parameters.values())
            plan = measured_plan(model.plan, model.config, step, model.recompute_activations, weights)
        with writing("the plan", out):
            write_whole(file, plan.model_dump_json(indent=1).encode())
    gradient.processes.wait()
    return read_state(file, Plan.model_validate, MEASURE_AGAIN)


def _measure(loss: DenoisingLoss, sample: Sample) -> None:
    """One picture forward and backward; its gradient is thrown away."""
    import torch

    torch.autograd.backward(loss.of_visits([SampleVisit(sample, 0, 0, 0)]).sum())
    for parameter in loss.model.parameters.values():
        parameter.grad = None


# ── the loop ──


def take_steps(run: TrainingRun, progress: ProgressCallback, stop: Callable[[], bool]) -> None:
    """Trains to the last step, or until validation gets no better; Stopped where `stop` says so."""
    config, loop = run.config, run.loop
    pace = Pace("train", config.last_step, progress)
    pace.reach(loop.step)
    if loop.step == 0:
        validate(run, progress)
    sampler = BatchSampler(run.data.samples, run.plan.batch_size, config.seed, config.data.flip)
    batches, log, save_due = run.gradient.prepared(sampler.batches(loop.consumed)), StepLog(run, pace), False
    while loop.step < config.last_step and not _out_of_patience(run):
        # Accumulate gradients.
        batch, inputs = next(batches)
        learning_rate = run.optimization.begin_step(loop.step)
        loss = run.gradient(batch, run.optimization.scale.value, inputs)

        # Update weights and moving average; the device is waited for only where something is said or done with it.
        finite = run.optimization.update(loop.step, loss)
        loop.step, loop.consumed = loop.step + 1, batch.end
        stopping = run.gradient.processes.any_process(stop(), run.model.device) and loop.step < config.last_step
        validating = loop.step % config.validation_steps == 0 or loop.step in config.ends
        saving = stopping or loop.step % config.save_steps == 0 or loop.step in config.ends
        filing = bool(config.files_every) and loop.step % config.files_every == 0
        log.add(loss, finite, learning_rate, at_once=validating or filing or saving or save_due)

        # Validate.
        if validating:
            validate(run, progress)

        # Keep a file of these weights.
        if filing:
            keep_step_file(run)

        # Save a checkpoint, an early end's too; weights that have run away do not take the place of good ones.
        save_due = save_due or saving or _out_of_patience(run)
        if save_due and not run.optimization.bad_steps:
            _save(run)
            progress(Progress("checkpoint", loop.step, config.last_step, "kept", values={"step": loop.step}))
            save_due = False

        # Stop where that is asked for.
        if stopping:
            raise Stopped(
                f"stopped at step {loop.step} of {config.last_step}; a checkpoint is kept",
                where=str(run.folder),
                to_try="the same command goes on",
            )


def validate(run: TrainingRun, progress: ProgressCallback) -> None:
    """Judges the weights on the held-out photos, keeps them while they may be chosen, and draws the samples."""
    loop, photos = run.loop, run.data.held_out[: run.config.validation.most]
    if photos:
        with run.optimization.ema_weights():
            loop.validation.results.append(_validation_result(run, photos, progress))
        progress(_validation_progress(run))
    keep_candidates(run)
    if run.samples and run.main:
        with run.optimization.ema_weights(), writing("the sample pictures", run.folder):
            run.samples.take(run.model, loop.step, progress)


def _validation_result(run: TrainingRun, photos: tuple[Sample, ...], progress: ProgressCallback) -> ValidationResult:
    losses = run.gradient.validation_losses(photos)
    if not all(map(math.isfinite, losses)):
        raise Stopped(
            f"the loss on held-out photos is not finite at step {run.loop.step}",
            where=str(run.folder),
            to_try='precision "fp32" or "bf16", or a smaller learning_rate; the last checkpoint is from before',
        )
    pictures = run.choice.at_validation(run.model, run.gradient.processes, progress) if run.choice else None
    return ValidationResult(run.loop.step, losses, pictures)


def _validation_progress(run: TrainingRun) -> Progress:
    result = run.loop.validation.results[-1]
    gain = run.loop.validation.gain(result)
    message = f"held-out loss {result.mean:.5f}, {gain_text(gain, len(result.losses))}"
    values = {"step": result.step, "loss": result.mean, "mean": gain.mean, "low": gain.low, "high": gain.high}
    if result.pictures:
        message = f"pictures {100 * result.pictures.mean:.0f} of 100; {message}"
        values |= {"similarity": result.pictures.mean, **result.pictures.means}
        if result.pictures.judge_mean is not None:
            values["judge"] = result.pictures.judge_mean
    return Progress("validation", result.step, run.config.last_step, message, values=values)


def _out_of_patience(run: TrainingRun) -> bool:
    """Whether validation has not been better for long, counted anew behind an extension's first step."""
    patience, validation = run.config.validation.patience, run.loop.validation
    if validation.by == "last":
        return False
    since = run.config.extended[-1].at if run.config.extended else 0
    return bool(patience and run.loop.step > since and validation.since_best(since) >= patience)


def _save(run: TrainingRun) -> None:
    step, state = run.loop.step, run.state()
    if broken := state.not_finite():
        raise Stopped(
            f"the {broken} are not finite any more at step {step}: they are not kept",
            where=str(run.folder),
            to_try="a smaller learning_rate; the last checkpoint is from before",
        )
    if run.main:
        with writing(f"the checkpoint of step {step}", run.folder):
            save_checkpoint(run.folder / CHECKPOINTS, state, run.identity)


def _out_of_memory() -> type[Exception]:
    import torch

    return torch.OutOfMemoryError
