"""The exponential moving average of weights, in float32, with a decay that begins small.

shadow ← shadow + (1 − d) · (weights − shadow),   d = min(decay, (1 + step) / (10 + step))

The start is forgotten quickly that way: Karras et al., "EDM" (arXiv 2206.00364), table 7.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def ema_decay(decay: float, step: int) -> float:
    """d after the update `step`, counted from 0."""
    return min(decay, (1 + step) / (10 + step))


def update_ema(shadow: Iterable[torch.Tensor], weights: Iterable[torch.Tensor], decay: float, step: int) -> None:
    """Moves each tensor of `shadow` towards its weight, of the same shape, after the update `step`."""
    import torch

    with torch.no_grad():
        torch._foreach_lerp_(list(shadow), [weight.detach() for weight in weights], 1 - ema_decay(decay, step))
