"""Keeps each LoRA module's change small: ‖ΔW‖ ≤ limit after every step, both factors made smaller alike.

As sd-scripts' `--scale_weight_norms` does it: a module that runs away takes the picture with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def norm_limit(layers: Mapping[str, Any], limit: float | None, adapter: str) -> Callable[[], None]:
    """What is to be called behind each step; nothing happens without a limit."""
    if limit is None:
        return lambda: None
    factors = [
        (layer.lora_A[adapter].weight, layer.lora_B[adapter].weight, float(layer.scaling[adapter]))
        for layer in layers.values()
    ]
    return partial(_limit_all, factors, limit)


def _limit_all(factors: list[tuple[torch.Tensor, torch.Tensor, float]], limit: float) -> None:
    import torch

    with torch.no_grad():
        for a, b, scale in factors:
            root = (limit / change_norm(a, b, scale).clamp(min=1e-12)).clamp(max=1).sqrt()
            a.mul_(root)
            b.mul_(root)


def change_norm(a: torch.Tensor, b: torch.Tensor, scale: float) -> torch.Tensor:
    """‖s · BA‖ as float32 []: √tr(BᵀB · AAᵀ), r × r in place of out × in."""
    rows, columns = a.float().flatten(1), b.float().flatten(1)
    return scale * ((columns.T @ columns) * (rows @ rows.T)).sum().clamp(min=0).sqrt()
