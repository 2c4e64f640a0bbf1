"""Optimizers by name, and the learning rate of each step."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError

if TYPE_CHECKING:
    import torch

    from ..config import TrainConfig

LARGEST_SCALE, PATIENCE = 2.0**16, 200  # steps without overflow before the scale is doubled: a run has some 1,500
# Optimizer → its library's module, and the name under which pip has it.
INSTALLED_BY = {
    "adamw8bit": ("bitsandbytes", "bitsandbytes"),
    "prodigy": ("prodigyopt", "prodigyopt"),
    "lion": ("lion_pytorch", "lion-pytorch"),
    "schedulefree": ("schedulefree", "schedulefree"),
    "came": ("came_pytorch", "came-pytorch"),
}


def new_optimizer(parameters: Mapping[str, torch.nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """The config's optimizer; text encoders have their own rate, and so have blocks and the factor B where asked.

    InputError where a library is missing, and for `block_rates` of a block that trains nothing.
    """
    groups: dict[tuple[bool, float], list[Any]] = {}
    matched: set[str] = set()
    for name, parameter in parameters.items():
        block = block_of(name, config.block_rates)
        matched |= {block} if block is not None else set()
        factor = config.block_rates[block] if block is not None else 1.0
        if ".lora_B." in name:
            factor *= config.plus_ratio
        groups.setdefault((not name.startswith("unet."), factor), []).append(parameter)
    if unmatched := sorted(config.block_rates.keys() - matched):
        raise InputError(
            f"block_rates {', '.join(map(repr, unmatched))}: nothing is trained there",
            to_try="the beginning of a module's path, such as down_blocks, mid_block, up_blocks.1 or text_encoder",
        )
    rates = {False: config.learning_rate, True: config.text_learning_rate or config.learning_rate / 2}
    if config.optimizer == "prodigy":
        # It finds the rate itself: the config's is a factor, and 1 is its authors' (Mishchenko & Defazio, ICML 2024).
        rates = dict.fromkeys(rates, 1.0)
    rows: list[dict[str, Any]] = [
        {"params": inside, "peak": rates[text] * factor}
        for (text, factor), inside in sorted(groups.items(), key=_plain_first)
    ]
    return _OPTIMIZERS[config.optimizer]([{**row, "lr": row["peak"]} for row in rows], config)


def block_of(name: str, blocks: Iterable[str]) -> str | None:
    """The longest of `blocks` that a parameter `unet.down_blocks.0…` or `text_encoder…` is in; None without one."""
    path = name.removeprefix("unet.")
    inside = [block for block in blocks if path.startswith(f"{block}.")]
    return max(inside, key=len, default=None)


def _plain_first(group: tuple[tuple[bool, float], Any]) -> tuple[bool, bool, float]:
    """The UNet before the text encoders, and what has no factor before the rest: its rate is the one that is told."""
    (text, factor), _ = group
    return text, factor != 1, factor


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
    with redirect_stdout(sys.stderr):  # it prints its settings, and standard output is for JSON
        optimizer: torch.optim.Optimizer = _library("prodigy").Prodigy(
            groups, weight_decay=config.weight_decay, decouple=True, use_bias_correction=True, safeguard_warmup=True
        )
    return optimizer


def _lion(groups: list[dict[str, Any]], config: TrainConfig) -> torch.optim.Optimizer:
    """Chen et al., "Symbolic Discovery of Optimization Algorithms" (NeurIPS 2023); a third of Adam's rate."""
    optimizer: torch.optim.Optimizer = _library("lion").Lion(groups, weight_decay=config.weight_decay)
    return optimizer


def _schedulefree(groups: list[dict[str, Any]], config: TrainConfig) -> torch.optim.Optimizer:
    """Defazio et al., "The Road Less Scheduled" (NeurIPS 2024): `Optimization.result` takes the average of weights."""
    optimizer: Any = _library("schedulefree").AdamWScheduleFree(groups, weight_decay=config.weight_decay)
    optimizer.train()
    trained: torch.optim.Optimizer = optimizer
    return trained


def _came(groups: list[dict[str, Any]], config: TrainConfig) -> torch.optim.Optimizer:
    """Luo et al., "CAME" (ACL 2023), Adafactor guided by its own confidence."""
    # Its constructor compares the default rate, which it does not have, though each group brings its own.
    options = dict(lr=config.learning_rate, weight_decay=config.weight_decay)
    optimizer: torch.optim.Optimizer = _library("came").CAME(groups, **options)
    return optimizer


_OPTIMIZERS = {
    "adamw": _adamw,
    "adamw8bit": _adamw8bit,
    "adafactor": _adafactor,
    "prodigy": _prodigy,
    "lion": _lion,
    "schedulefree": _schedulefree,
    "came": _came,
}


def _library(optimizer: str) -> Any:
    import importlib
    from importlib.util import find_spec

    name, package = INSTALLED_BY[optimizer]
    if find_spec(name) is None:
        raise InputError(
            f"the optimizer {optimizer} needs {package}, which is not installed",
            to_try=f"pip install {package}, or optimizer adamw",
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
    """0 … 1: linear warm-up, then constant, linear to 0, or half a cosine (Loshchilov & Hutter, arXiv 1608.03983).

    An extension goes through the schedule once more.
    """
    extension = next((part for part in reversed(config.extended) if part.at <= step), None)
    if extension is not None:
        progress = (step - extension.at) / extension.steps
    elif step < config.warmup:
        return (step + 1) / config.warmup
    else:
        progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    if config.schedule == "constant":
        return 1.0
    return 1 - progress if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
