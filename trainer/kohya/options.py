"""TrainConfig → sd-scripts' own words: every field becomes an option, or is refused, or is said aloud as left out.

Options as in sd-scripts 48d368fa (train_network.py, library/train_util.py). It takes unknown ones without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ..config import BLOCKS, LossConfig, NetworkConfig, TrainConfig, ValidationConfig
from .engine import OURS

if TYPE_CHECKING:
    from ..loop.memory_plan import Plan
    from .base import KohyaBase

RATES = "modiste_rates.rates"  # in_sd_scripts/modiste_rates.py
PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
OPTIMIZERS: dict[str, tuple[str, dict[str, bool]]] = {
    "adamw": ("AdamW", {}),
    "adamw8bit": ("AdamW8bit", {}),
    "adafactor": ("Adafactor", {"scale_parameter": False, "relative_step": False, "warmup_init": False}),
    "prodigy": ("Prodigy", {"decouple": True, "use_bias_correction": True, "safeguard_warmup": True}),
}
SCRIPTS = {"sd1": "train_network.py", "sd2": "train_network.py", "sdxl": "sdxl_train_network.py"}


@dataclass(frozen=True)
class ResumePoint:
    """Where a run begins: at step 0, or at a state that sd-scripts has saved."""

    step: int = 0
    state: Path | None = None


@dataclass(frozen=True)
class Folders:
    """The files of one start: `datasets`, `tokenizers` are read, `out` is written."""

    datasets: Path
    tokenizers: Path
    out: Path


def refuse(config: TrainConfig, base: KohyaBase) -> None:
    """InputError that names every field which sd-scripts can't be asked for, with its value."""
    wrong = list(_impossible(config, base))
    if wrong:
        raise InputError(f"the engine kohya can't do this: {'; '.join(wrong)}", to_try=f"leave it out, or {OURS}")


def options(config: TrainConfig, base: KohyaBase, plan: Plan, start: ResumePoint, folders: Folders) -> dict[str, Any]:
    """run.toml of one start; InputError where the batch is no whole number of micro-batches."""
    if plan.batch_size % plan.micro_batch:
        raise InputError(
            f"the engine kohya repeats whole batches: micro_batch {plan.micro_batch} does not divide "
            f"batch_size {plan.batch_size}",
            to_try="a divisor of it",
        )
    return {
        **_inputs(base, folders),
        **_network(config.network),
        **_steps(config, plan, start),
        **_optimizer(config),
        **_loss(config.loss),
        **_machine(config, base, plan),
        **_outputs(config, folders),
        **({"clip_skip": config.clip_skip} if config.clip_skip > 1 else {}),
        **({"max_token_length": config.data.caption_tokens} if config.data.chunks > 1 else {}),
    }


def _inputs(base: KohyaBase, folders: Folders) -> dict[str, Any]:
    return {
        "pretrained_model_name_or_path": str(base.source),
        "v2": base.family == "sd2",
        "v_parameterization": base.prediction == "v_prediction",
        "tokenizer_cache_dir": str(folders.tokenizers),
        "dataset_config": str(folders.datasets),
    }


def _network(network: NetworkConfig) -> dict[str, Any]:
    convolutions = {"conv_dim": network.conv_rank, "conv_alpha": network.conv_alpha or float(network.conv_rank)}
    return {
        "network_module": "networks.lora",
        "network_dim": network.rank,
        "network_alpha": network.alpha,
        "network_args": _pairs(
            {
                **(convolutions if network.conv_rank else {}),
                **({"rank_dropout": network.rank_dropout} if network.rank_dropout else {}),
            }
        ),
        "network_train_unet_only": not network.text_rank,
    }


def _steps(config: TrainConfig, plan: Plan, start: ResumePoint) -> dict[str, Any]:
    """A state is gone on with for the steps that are left: sd-scripts' own count is wrong there (a run of 12 steps that
    was saved at 10 runs 16), so it is told to begin at 0."""
    return {
        "max_train_steps": config.steps - start.step,
        "train_batch_size": plan.micro_batch,
        "gradient_accumulation_steps": plan.batch_size // plan.micro_batch,
        "seed": config.seed + start.step,  # or the order of the first epochs would come again
        **({"resume": str(start.state), "initial_step": 0} if start.state is not None else {}),
    }


def _optimizer(config: TrainConfig) -> dict[str, Any]:
    optimizer, arguments = OPTIMIZERS[config.optimizer]
    learning_rate, text_rate = config.learning_rate, config.text_learning_rate or config.learning_rate / 2
    if config.optimizer == "prodigy":  # finds its own
        learning_rate = text_rate = 1.0
    return {
        "learning_rate": learning_rate,
        "unet_lr": learning_rate,
        "text_encoder_lr": [text_rate],
        "optimizer_type": optimizer,
        "optimizer_args": _pairs({**arguments, "weight_decay": config.weight_decay}),
        "lr_scheduler_type": RATES,
        "lr_scheduler_args": _pairs({"schedule": config.schedule, "steps": config.steps, "warmup": config.warmup}),
        "lr_warmup_steps": 0,
        "max_grad_norm": config.max_grad_norm,
        **({"scale_weight_norms": config.scale_weight_norms} if config.scale_weight_norms is not None else {}),
    }


def _loss(loss: LossConfig) -> dict[str, Any]:
    return {
        "loss_type": "l2" if loss.huber is None else "huber",
        "huber_schedule": "constant",
        "huber_c": 0.1 if loss.huber is None else loss.huber,
        "huber_scale": 1.0,
        "debiased_estimation_loss": loss.debiased,
        "zero_terminal_snr": loss.zero_terminal_snr,
        **({"min_snr_gamma": loss.min_snr_gamma} if loss.min_snr_gamma is not None else {}),
        **({"noise_offset": loss.noise_offset} if loss.noise_offset else {}),
        **(
            {"multires_noise_iterations": loss.multires_noise + 1, "multires_noise_discount": loss.multires_discount}
            if loss.multires_noise
            else {}
        ),
        **({"ip_noise_gamma": loss.input_perturbation} if loss.input_perturbation else {}),
        **({"min_timestep": loss.timesteps[0], "max_timestep": loss.timesteps[1] + 1} if loss.timesteps else {}),
    }


def _machine(config: TrainConfig, base: KohyaBase, plan: Plan) -> dict[str, Any]:
    return {
        "mixed_precision": PRECISIONS[plan.precision],
        "no_half_vae": base.family == "sdxl",
        "gradient_checkpointing": plan.checkpointing,
        "torch_compile": config.compile,
        "sdpa": True,
        "cache_latents": True,
        "max_data_loader_n_workers": 0,
    }


def _outputs(config: TrainConfig, folders: Folders) -> dict[str, Any]:
    return {
        "output_dir": str(folders.out),
        "output_name": "lora",
        "save_model_as": "safetensors",
        "save_precision": "float",
        "save_every_n_steps": config.save_steps,
        "save_last_n_steps": config.save_steps,  # the last two
        "save_state": True,
        "metadata_title": config.title,
        "training_comment": config.notes,
    }


def environ(device: str) -> dict[str, str]:
    """accelerate takes the device from variables."""
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return {"ACCELERATE_USE_CPU": "true"}
    return {"CUDA_VISIBLE_DEVICES": index} if index else {}


def notices_of(config: TrainConfig, base: KohyaBase) -> list[str]:
    """What this engine leaves out or does in its own way, a line each, for people and for train.json."""
    data, notices = config.data, ["validation: sd-scripts has none on photos held out; the last step is kept"]
    changed = [name for name, value in config.validation if value != getattr(ValidationConfig(), name)]
    if changed:
        notices[0] += f" ({', '.join(f'validation.{name}' for name in changed)} left out)"
    if config.checkpointing is None:
        notices.append("checkpointing: no step is measured beforehand; it is off until it is asked for")
    if data.seed:
        notices.append("data.seed: left out; `seed` decides everything random")
    if data.masks is not None:
        notices.append("data.masks: the loss is not divided by the mask's area: a small garment counts for less")
    if data.shuffle_captions and data.caption_separator.strip() != ",":
        notices.append(f"data.caption_separator: shuffled parts are joined by a comma, not {data.caption_separator!r}")
    if config.loss.multires_noise:
        notices.append("loss.multires_noise: sd-scripts draws by chance how much smaller each scale is")
    if config.log:
        notices.append(f"log: {', '.join(config.log)} get what sd-scripts says of its steps")
    if not data.original_sizes:
        notices.append("data.original_sizes: left out; sd-scripts reads the cut pictures")
    if config.loss.debiased and base.prediction == "v_prediction":
        notices.append("loss.debiased: a v-prediction is weighed by 1 / (SNR + 1)")
    if base.family == "sdxl":
        notices.append("SDXL's size conditions are those of the cut picture")
    return notices


def _impossible(config: TrainConfig, base: KohyaBase) -> Iterator[str]:
    network, data = config.network, config.data
    if config.method != "lora":
        yield f"method {config.method!r} (LoRA only)"
    if network.kind != "lora":
        yield f"network.kind {network.kind!r} (lora only)"
    for name in ("rslora", "dora"):
        if getattr(network, name):
            yield f"network.{name}"
    if network.blocks != BLOCKS:
        yield f"network.blocks {', '.join(network.blocks)} (all only)"
    if network.text_rank not in (0, network.rank):
        yield f"network.text_rank {network.text_rank} (0, or the UNet's {network.rank})"
    if network.text_rank and (network.text_alpha or network.text_rank) != network.alpha:
        yield f"network.text_alpha {network.text_alpha:g} (the UNet's {network.alpha:g})"
    for name in ("extend", "extended", "from_lora", "accept_versions", "files_every"):
        if getattr(config, name):
            yield f"{name} {getattr(config, name)}"
    if config.optimizer not in OPTIMIZERS:
        yield f"optimizer {config.optimizer!r}"
    if config.block_rates:
        yield "block_rates"
    if config.plus_ratio != 1:
        yield f"plus_ratio {config.plus_ratio:g}"
    if network.dropout:
        yield f"network.dropout {network.dropout:g} (of another place; network.rank_dropout is its own)"
    for name in ("timestep_sampling", "timestep_shift"):
        if getattr(config.loss, name) != getattr(LossConfig(), name):
            yield f"loss.{name} {getattr(config.loss, name)}"
    if config.ema:
        yield f"ema {config.ema}"
    if config.loss.background:
        yield f"loss.background {config.loss.background}"
    if config.loss.zero_terminal_snr and base.prediction != "v_prediction":
        yield "loss.zero_terminal_snr (for a base model that predicts v)"
    if data.prior_weight != 1:
        yield f"data.prior_weight {data.prior_weight} (1 only)"
    if config.clip_skip > 1 and base.family != "sd1":
        yield f"clip_skip {config.clip_skip} (for Stable Diffusion 1 only)"
    side = 64 if base.family != "sdxl" else 32
    step = data.bucket_step if data.buckets else data.resolution
    if step % side:
        yield f"data.{'bucket_step' if data.buckets else 'resolution'} {step} (a multiple of {side})"


def _pairs(values: Mapping[str, Any]) -> list[str]:
    """`name=value` with Python literals, as sd-scripts evaluates them."""
    return [f"{name}={value!r}" for name, value in values.items()]
