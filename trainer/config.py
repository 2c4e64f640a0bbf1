"""What a training run is: everything that decides its weights, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..checkpoints.families.configs import Prediction
from ..core.errors import InputError
from ..core.suggestions import did_you_mean
from .data.config import DataConfig

Precision = Literal["auto", "fp32", "bf16", "fp16"]
BLOCKS: tuple[Literal["down", "mid", "up"], ...] = ("down", "mid", "up")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NetworkConfig(_Part):
    """The adapter: h = W x + (alpha / rank) · B A x, Hu et al., "LoRA" (ICLR 2022), §4.1.

    A (rank × in) starts random and B (out × rank) at 0, so that training starts at the base model.
    """

    kind: Literal["lora", "loha", "lokr"] = "lora"
    rank: int = Field(default=16, ge=1, le=512)
    alpha: float = Field(default=16.0, gt=0)
    conv_rank: int = Field(default=0, ge=0, le=256)  # of 3×3 convolutions; 0: they stay as they are
    conv_alpha: float = Field(default=0.0, ge=0)  # 0: as conv_rank
    text_rank: int = Field(default=0, ge=0, le=256)  # of the text encoders; 0: they stay as they are
    text_alpha: float = Field(default=0.0, ge=0)  # 0: as text_rank
    blocks: tuple[Literal["down", "mid", "up"], ...] = Field(default=BLOCKS, min_length=1)  # of the UNet, that learn
    rslora: bool = False  # scale alpha / √rank: Kalajdzievski, arXiv 2312.03732
    dora: bool = False  # direction and magnitude apart: Liu et al., "DoRA" (ICML 2024)
    dropout: float = Field(default=0.0, ge=0, lt=1)  # share of the adapter's inputs left out at each step
    rank_dropout: float = Field(default=0.0, ge=0, lt=1)  # share of its ranks, LoRA only: each picture other ones

    @model_validator(mode="after")
    def _fits(self) -> NetworkConfig:
        if self.kind != "lora" and (self.dora or self.rslora):
            both = " and ".join(name for name in ("dora", "rslora") if getattr(self, name))
            raise ValueError(f"kind {self.kind!r} has no {both}: they belong to kind 'lora'")
        if self.kind != "lora" and (self.dropout or self.rank_dropout):
            raise ValueError(f"kind {self.kind!r} has no dropout: it belongs to kind 'lora'")
        if self.dora and self.rank_dropout:
            raise ValueError("dora has no rank_dropout")
        return self


class LossConfig(_Part):
    """How the error of a prediction becomes one number."""

    # Hang et al., arXiv 2303.09556, §3.4; None, or 0: every t alike
    min_snr_gamma: Annotated[float | None, AfterValidator(lambda gamma: gamma or None)] = Field(default=5.0, ge=0)
    debiased: bool = False  # 1 / √SNR, Yu et al., arXiv 2310.08442
    huber: float | None = Field(default=None, gt=0)  # δ of the pseudo-Huber loss; None: squared error
    noise_offset: float = Field(default=0.0, ge=0, le=1)  # of each channel's mean, for very dark and bright pictures
    multires_noise: int = Field(default=0, ge=0, le=12)  # scales of noise added to it, each half as large; 0: none
    multires_discount: float = Field(
        default=0.3, gt=0, lt=1
    )  # of each coarser scale: Whitaker, "Multires noise" (2023)
    input_perturbation: float = Field(default=0.0, ge=0, le=1)  # γ: Ning et al., arXiv 2301.11706, §4
    timesteps: tuple[int, int] | None = None  # first and last that are trained, of 0 … 999; None: all
    timestep_sampling: Literal["uniform", "sigmoid", "shift"] = (
        "uniform"  # sigmoid, shift: Esser et al., 2403.03206, §3
    )
    timestep_shift: float = Field(default=3.0, gt=0)  # of "shift": above 1 noisier timesteps come more often
    zero_terminal_snr: bool = False  # Lin et al., arXiv 2305.08891, §3.1; for v-prediction only
    background: float = Field(
        default=0.0, ge=0
    )  # with masks: weight that holds what is outside at the base's prediction

    @model_validator(mode="after")
    def _fits(self) -> LossConfig:
        if self.debiased and self.min_snr_gamma is not None:
            raise ValueError(f"debiased and min_snr_gamma {self.min_snr_gamma} are two weightings: set one to off")
        if self.timesteps is not None and not 0 <= self.timesteps[0] <= self.timesteps[1]:
            raise ValueError(f"timesteps {self.timesteps[0]} to {self.timesteps[1]} is no range")
        return self


class ValidationConfig(_Part):
    """How the best checkpoint is found (loop/choice.py), and what is drawn on the way."""

    every: int = Field(default=0, ge=0)  # steps; 0: a twelfth of the run
    timesteps: int = Field(default=8, ge=1)  # strata of the noise schedule, each with its own fixed noise
    most: int = Field(default=24, ge=1)  # held-out pictures that are looked at
    patience: int = Field(default=4, ge=0)  # validations without a better one before training stops; 0: never
    choose: Literal["pictures", "loss", "last"] = "pictures"  # of held-out garments, where a critic and 4 of them are
    choice_pictures: int = Field(default=16, ge=4)  # of held-out garments at each validation, to choose by
    choice_steps: int = Field(default=8, ge=1, le=150)  # of the sampler, for those; the last few are drawn in full
    pictures: int = Field(default=2, ge=0)  # drawn at each validation where a critic is given; 0: none, no signs either
    prompts_file: Path | None = None  # further pictures at each validation, a prompt a line; nobody scores them
    picture_steps: int = Field(default=20, ge=1, le=150)  # of the sampler
    cfg_scale: float = Field(default=7.0, ge=1, le=30)  # of those pictures


class Extension(_Part):
    """Steps that were added to a run; their learning rate goes through its schedule once more, without a warm-up.

    A warm restart: Loshchilov & Hutter, "SGDR" (ICLR 2017), §3.
    """

    at: int = Field(ge=1)  # the step behind which they come
    steps: int = Field(ge=1)


class TrainConfig(_Part):
    """A run. `None` and "auto" are decided by the plan (trainer/loop/memory_plan.py) and written into train.json."""

    base: str  # diffusers folder, hub id, or a host's .safetensors checkpoint
    prediction: Prediction | None = None  # what the base's UNet predicts; None: as its files say
    method: Literal["lora", "full"] = "lora"
    network: NetworkConfig = NetworkConfig()
    data: DataConfig
    loss: LossConfig = LossConfig()
    validation: ValidationConfig = ValidationConfig()
    steps: int = Field(default=1500, ge=1)  # optimizer updates
    extend: int = Field(default=0, ge=0)  # steps to add to the run that is in the folder; 0: none
    extended: tuple[Extension, ...] = ()  # what was added so, for the record
    from_lora: Path | None = None  # a LoRA that training begins with; its rank and kind, unless `network` says others
    accept_versions: bool = False  # goes on under other library versions; weights may then differ from one start's
    batch_size: int | None = Field(default=None, ge=1)  # pictures an update, over all processes
    micro_batch: int | None = Field(default=None, ge=1)  # pictures at once; the rest is accumulated
    learning_rate: float = Field(default=1e-4, gt=0)
    text_learning_rate: float | None = Field(default=None, gt=0)  # None: half of learning_rate
    optimizer: Literal["adamw", "adamw8bit", "adafactor", "prodigy", "lion", "schedulefree", "came"] = "adamw"
    weight_decay: float = Field(default=0.01, ge=0)
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    warmup: int = Field(default=0, ge=0)  # steps
    block_rates: dict[str, float] = {}  # module path or its beginning, such as "up_blocks.1" → factor of its rate
    plus_ratio: float = Field(default=1.0, gt=0)  # of B's rate to A's: Hayou et al., "LoRA+" (ICML 2024), §4
    scale_weight_norms: float | None = Field(default=None, gt=0)  # most that a module's ‖ΔW‖ may be, LoRA only
    max_grad_norm: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.0, ge=0, lt=1)  # decay; 0: none
    precision: Precision = "auto"
    checkpointing: bool | None = None  # of activations; None: only when memory asks for it
    compile: bool = False
    device: str = "auto"
    clip_skip: int = Field(default=1, ge=1, le=4)
    save_every: int = Field(default=0, ge=0)  # steps between checkpoints; 0: a tenth of the run
    files_every: int = Field(default=0, ge=0)  # steps between LoRA files that are kept beside the result; 0: none
    seed: int = Field(default=0, ge=0)
    log: tuple[str, ...] = ()  # trackers by accelerate's names, such as tensorboard, wandb
    title: str = "fashion_lora"
    notes: str = ""

    @model_validator(mode="after")
    def _fits(self) -> TrainConfig:
        if self.warmup >= self.steps:
            raise ValueError(f"a warmup of {self.warmup} steps leaves nothing of {self.steps}")
        if self.micro_batch and self.batch_size and self.micro_batch > self.batch_size:
            raise ValueError(f"micro_batch {self.micro_batch} is more than batch_size {self.batch_size}")
        if self.method == "full" and self.network != NetworkConfig():
            raise ValueError("method 'full' trains all of the UNet and has no network: leave it out")
        if self.method == "full" and self.files_every:
            raise ValueError(f"files_every {self.files_every} is for LoRA: method 'full' would keep a model each time")
        if self.method == "full" and self.loss.background:
            raise ValueError(f"background {self.loss.background} asks the base model, which method 'full' overwrites")
        return self

    @model_validator(mode="after")
    def _begins_somewhere(self) -> TrainConfig:
        if self.method == "full" and self.from_lora is not None:
            raise ValueError("method 'full' trains all of the UNet and begins with no LoRA: merge from_lora into base")
        last = 0
        for extension in self.extended:
            if extension.at <= last:
                raise ValueError(f"extended: steps at {extension.at} do not come behind {last}")
            last = extension.at
        return self

    @model_validator(mode="after")
    def _rates_fit(self) -> TrainConfig:
        for path, factor in self.block_rates.items():
            if factor < 0 or not path:
                raise ValueError(f"block_rates {path!r}: {factor:g} is no factor of a rate")
        adapter = self.plus_ratio != 1 or self.scale_weight_norms is not None
        if adapter and (self.method == "full" or self.network.kind != "lora"):
            raise ValueError("plus_ratio and scale_weight_norms are for LoRA: they know its two factors")
        if self.optimizer == "schedulefree" and (self.schedule != "constant" or self.ema):
            raise ValueError("optimizer 'schedulefree' averages by itself: it needs schedule 'constant' and ema 0")
        return self

    @property
    def last_step(self) -> int:
        """The step at which the run ends, extensions counted."""
        return self.extended[-1].at + self.extended[-1].steps if self.extended else self.steps

    @property
    def ends(self) -> frozenset[int]:
        """The steps at which a schedule ends: there is a validation and a checkpoint, whatever comes behind."""
        return frozenset((*(extension.at for extension in self.extended), self.last_step))

    @property
    def save_steps(self) -> int:
        """Steps between checkpoints."""
        return self.save_every or max(1, self.steps // 10)

    @property
    def validation_steps(self) -> int:
        """Steps between validations."""
        return self.validation.every or max(1, self.steps // 12)


def read_config(data: dict[str, Any] | Path) -> TrainConfig:
    """A config from JSON; InputError names each field that is wrong."""
    where = str(data) if isinstance(data, Path) else ""
    try:
        return TrainConfig.model_validate(read_fields(data) if isinstance(data, Path) else data)
    except ValidationError as error:
        raise InputError(f"the config can't be used: {problems(error)}", where=where) from error


def read_fields(file: Path) -> dict[str, Any]:
    """Some or all fields of a config, nested as in TrainConfig; InputError for a file that holds none."""
    try:
        fields = json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError("there is no such config", where=str(file), to_try="check the path") from None
    except OSError as error:
        why = error.strerror or error
        raise InputError(f"the config can't be read: {why}", where=str(file), to_try="check the path") from error
    except (ValueError, RecursionError) as error:  # of JSON, or of UTF-8
        raise InputError(f"the config is no JSON: {error}", where=str(file)) from error
    if not isinstance(fields, dict):
        raise InputError("the config is no JSON object", where=str(file), to_try='{"network": {"rank": 32}}')
    return fields


def problems(error: ValidationError) -> str:
    """`data.resolution: input should be …; …`: every field that is wrong, in words."""
    return "; ".join(
        _unknown_field([str(part) for part in problem["loc"]])
        if problem["type"] == "extra_forbidden"
        else f"{'.'.join(map(str, problem['loc'])) or 'config'}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors()
    )


def _unknown_field(path: list[str]) -> str:
    """`rank: no such field; did you mean 'network.rank'? there are …`, the fields beside it named."""
    name = ".".join(path)
    everywhere = field_names(TrainConfig)
    elsewhere = [each for each in everywhere if each.rpartition(".")[2] == path[-1]]
    if elsewhere:
        return f"{name}: no such field; did you mean {elsewhere[0]!r}?"
    part = name.rpartition(".")[0]
    beside = [each.rpartition(".")[2] for each in everywhere if each.rpartition(".")[0] == part]
    return f"{name}: no such field; {did_you_mean(path[-1], beside, len(beside))}"


def field_names(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every field of a config by its path, parts among them: `steps`, `network`, `network.rank`, …"""
    names = []
    for name, field in model.model_fields.items():
        names.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += field_names(field.annotation, f"{prefix}{name}.")
    return names
