"""Optimizers by name, and the learning rate of each step."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError

if TYPE_CHECKING:
    import torch

    from ..config import TrainConfig

LARGEST_SCALE, PATIENCE = 2.0**16, 200  # steps without overflow before the scale is doubled: a run has some 1,500
INSTALLED_BY = {"adamw8bit": "bitsandbytes", "prodigy": "prodigyopt"}


def new_optimizer(parameters: Mapping[str, torch.nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """The config's optimizer; text encoders have their own rate. InputError where a library is missing."""
    text_rate = config.text_learning_rate or config.learning_rate / 2
    groups = [
        {"params": [p for name, p in parameters.items() if name.startswith("unet.")], "peak": config.learning_rate},
        {"params": [p for name, p in parameters.items() if not name.startswith("unet.")], "peak": text_rate},
    ]
    groups = [{**group, "lr": group["peak"]} for group in groups if group["params"]]
    return _OPTIMIZERS[config.optimizer](groups, config)


def _adamw(groups: list[dict[str, Any]], config: TrainConfig) -> torch.optim.Optimizer:
    import torch

    return torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)


def _adamw8bit(groups: list[dict[str, Any]], config: TrainConfig) -> torch.optim.Optimizer:
    optimizer: torch.optim.Optimizer = _library("adamw8bit").optim.AdamW8bit(groups, weight_decay=config.weight_decay)
    return optimizer


def _adafactor(groups: list[dict[str, Any]], config: TrainConfig) -> torch.optim.Optimizer:
    from transformers.optimization import Adafactor

    return Adafactor(
        groups, scale_parameter=False, relative_step=False, warmup_init=False, weight_decay=config.weight_decay
    )


def _prodigy(groups: list[dict[str, Any]], config: TrainConfig) -> torch.optim.Optimizer:
    # Prodigy finds the rate itself: the config's is a factor, and 1 is its authors' (Mishchenko & Defazio, ICML 2024).
    for group in groups:
        group["lr"] = group["peak"] = 1.0
    with redirect_stdout(sys.stderr):  # it prints its settings, and standard output is for JSON
        optimizer: torch.optim.Optimizer = _library("prodigy").Prodigy(
            groups, weight_decay=config.weight_decay, decouple=True, use_bias_correction=True, safeguard_warmup=True
        )
    return optimizer


_OPTIMIZERS = {"adamw": _adamw, "adamw8bit": _adamw8bit, "adafactor": _adafactor, "prodigy": _prodigy}


def _library(optimizer: str) -> Any:
    import importlib
    from importlib.util import find_spec

    name = INSTALLED_BY[optimizer]
    if find_spec(name) is None:
        raise InputError(
            f"the optimizer {optimizer} needs {name}, which is not installed",
            to_try=f"pip install {name}, or optimizer adamw",
        )
    return importlib.import_module(name)


@dataclass
class LossScale:
    """What the loss is multiplied by so that small gradients do not vanish in float16: a power of two, thus exact.

    Micikevicius et al., "Mixed Precision Training" (ICLR 2018), §3.2: halved on overflow, doubled after long without.
    """

    value: float = 1.0  # 1: none
    since: int = 0  # steps without overflow

    @classmethod
    def of(cls, precision: str) -> LossScale:
        """Only float16 needs one: bfloat16 has float32's range."""
        return cls(LARGEST_SCALE if precision == "fp16" else 1.0)

    def update(self, finite: bool) -> bool:
        """After a step; whether it is to blame for a gradient that is not finite, and is now smaller."""
        if not finite:
            blamed = self.value > 1
            self.value, self.since = max(1.0, self.value / 2), 0
            return blamed
        self.since += 1
        if self.since >= PATIENCE and 1 < self.value < LARGEST_SCALE:
            self.value, self.since = self.value * 2, 0
        return False


def set_rates(optimizer: torch.optim.Optimizer, step: int, config: TrainConfig) -> float:
    """The rate of update `step` (from 0) into each group; returns the first group's."""
    factor = rate_factor(step, config)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return float(optimizer.param_groups[0]["lr"])


def rate_factor(step: int, config: TrainConfig) -> float:
    """0 … 1: linear warm-up, then constant, linear to 0, or half a cosine (Loshchilov & Hutter, arXiv 1608.03983)."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    if config.schedule == "constant":
        return 1.0
    return 1 - progress if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
