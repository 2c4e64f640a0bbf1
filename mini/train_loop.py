"""The training loop of the embedded models: AdamW, warm-up, linear decay to zero, progress."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..core.progress import Progress, ProgressCallback

if TYPE_CHECKING:
    import numpy as np
    import torch

log = logging.getLogger("modiste")


def fit(
    stage: str,
    loss_of: Callable[[int], torch.Tensor],
    groups: list[dict],
    steps: int,
    progress: ProgressCallback,
    *,
    warm_up: int = 100,
    after_step: Callable[[int], None] | None = None,
) -> list[float]:
    """Trains `groups` (AdamW parameter groups with their lr) for `steps`; returns the loss, a mean every 50 steps.

    `loss_of(step)` draws its own batch; `after_step(step)` runs after the update (an EMA, a clamp).
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    peak = [group["lr"] for group in optimizer.param_groups]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    curve, running, start = [], 0.0, time.monotonic()
    for step in range(steps):
        share = min(1.0, (step + 1) / warm_up) * (1 - step / steps)
        for group, lr in zip(optimizer.param_groups, peak, strict=True):
            group["lr"] = lr * share
        with sdpa_kernel(SDPBackend.MATH):  # on a CPU three times faster than the fused one, at these lengths
            loss = loss_of(step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if after_step:
            after_step(step)
        running += loss.item()
        if (step + 1) % 50 == 0 or step + 1 == steps:
            curve.append(running / (step % 50 + 1))
            running = 0.0
            left = (time.monotonic() - start) / (step + 1) * (steps - step - 1)
            progress(Progress(stage, step + 1, steps, f"loss {curve[-1]:.4f}", left))
    return curve


def as_tensor(pictures: np.ndarray) -> torch.Tensor:
    """Pictures, uint8 [N, 64, 64, 3], as float [N, 3, 64, 64] in −1…1."""
    import torch

    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
