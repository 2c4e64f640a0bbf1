"""The Training Options node's values → fields of the trainer's config; what is left alone is not among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...models.presets import PRESETS
from ...routes.finetune.finetune import config_for, merged
from ...trainer.loop.optimizers import INSTALLED_BY
from ..missing_libraries import require

BLOCKS = {
    "all": ("down", "mid", "up"),
    "down and mid": ("down", "mid"),
    "mid and up": ("mid", "up"),
    "down": ("down",),
    "mid": ("mid",),
    "up": ("up",),
}
MIN_SNR, DEBIASED, EVEN = "min_snr", "debiased", "even"
WEIGHTINGS = (MIN_SNR, DEBIASED, EVEN)
CHOICES = ("pictures", "loss", "last")
SWITCH = {"auto": None, "on": True, "off": False}
GAMMA = 5.0
# Input → its field in TrainConfig, and the value that leaves the field to the trainer.
FIELDS: dict[str, tuple[str, Any]] = {
    "rank": ("network.rank", 0),
    "alpha": ("network.alpha", 0.0),
    "conv_rank": ("network.conv_rank", 0),
    "text_rank": ("network.text_rank", 0),
    "blocks": ("network.blocks", "all"),
    "dora": ("network.dora", False),
    "rslora": ("network.rslora", False),
    "weighting": ("loss.debiased", MIN_SNR),
    "min_snr_gamma": ("loss.min_snr_gamma", GAMMA),
    "huber": ("loss.huber", 0.0),
    "noise_offset": ("loss.noise_offset", 0.0),
    "caption_dropout": ("data.caption_dropout", 0.05),
    "shuffle_captions": ("data.shuffle_captions", False),
    "keep_tokens": ("data.keep_tokens", 0),
    "flip": ("data.flip", False),
    "repeats": ("data.repeats", 1),
    "optimizer": ("optimizer", "adamw"),
    "schedule": ("schedule", "cosine"),
    "warmup": ("warmup", 0),
    "text_learning_rate": ("text_learning_rate", 0.0),
    "weight_decay": ("weight_decay", 0.01),
    "max_grad_norm": ("max_grad_norm", 1.0),
    "ema": ("ema", 0.0),
    "batch_size": ("batch_size", 0),
    "precision": ("precision", "auto"),
    "checkpointing": ("checkpointing", "auto"),
    "clip_skip": ("clip_skip", 1),
    "pictures": ("validation.pictures", 2),
    "picture_steps": ("validation.picture_steps", 0),
    "picture_cfg": ("validation.cfg_scale", 0.0),
    "validate_every": ("validation.every", 0),
    "patience": ("validation.patience", 4),
    "save_every": ("save_every", 0),
    "choose": ("validation.choose", "pictures"),
    "files_every": ("files_every", 0),
}


def fields_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs' values as a part of a training config, nested as in TrainConfig."""
    given = {name: value for name, value in values.items() if value != FIELDS[name][1]}
    if "weighting" in given:
        given["min_snr_gamma"] = 0.0  # off: the two weightings exclude each other
        given["weighting"] = given["weighting"] == DEBIASED
    if "blocks" in given:
        given["blocks"] = list(BLOCKS[given["blocks"]])
    if "checkpointing" in given:
        given["checkpointing"] = SWITCH[given["checkpointing"]]
    if "rank" in given:
        given.setdefault("alpha", float(given["rank"]))
    fields: dict[str, Any] = {}
    for name, value in given.items():
        fields = merged(fields, _nested(FIELDS[name][0], value))
    return fields


def check_options(values: Mapping[str, Any]) -> None:
    """InputError where the values can't be trained together on any base."""
    config = config_for(PRESETS["sd15"], [Path("photos")], {"steps": 1 + values.get("warmup", 0)}, fields_of(values))
    require_optimizer(config.optimizer)


def require_optimizer(name: str) -> None:
    """InputError where the optimizer's library is not installed."""
    if name in INSTALLED_BY:
        module, package = INSTALLED_BY[name]
        require(f"The optimizer {name}", module, package=package)


def refuse_contradictions(options: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """InputError where the JSON `config` gives a field of Training Options another value."""
    json_values = dict(leaves(config))
    for path, value in leaves(options):
        if path in json_values and json_values[path] != value:
            raise InputError(
                f"{path} is {value} in Training Options and {json_values[path]} in config",
                to_try="set it in one of the two; elsewhere leave it as it came",
            )


def leaves(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(`network.rank`, value) of every field."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _nested(path: str, value: Any) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    return {first: _nested(rest, value) if rest else value}
