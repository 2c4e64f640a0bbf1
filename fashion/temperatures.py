"""The temperature of a group's confidences, fitted on labelled photos (Guo et al., ICML 2017, §4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

LOWEST, HIGHEST, STEPS = 0.2, 20.0, 200


def fitted_temperature(logits: torch.Tensor, labels: Sequence[int]) -> float:
    """The T in 0.2 … 20 with the least negative log-likelihood of softmax(logits / T); logits [N, labels]."""
    import math

    import torch

    grid = torch.logspace(math.log10(LOWEST), math.log10(HIGHEST), STEPS)
    target = torch.tensor(labels)
    losses = torch.stack([torch.nn.functional.cross_entropy(logits / t, target) for t in grid])
    return round(float(grid[losses.argmin()]), 4)
