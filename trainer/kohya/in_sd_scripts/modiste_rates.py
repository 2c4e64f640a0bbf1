"""The learning rate of each step, as `lr_scheduler_type` of sd-scripts: the run's own, wherever it goes on.

sd-scripts' schedules end where `max_train_steps` does, which for a run that goes on is only what is left of it.
"""

from __future__ import annotations

import math
from typing import Any


def rates(optimizer: Any, schedule: str, steps: int, warmup: int) -> Any:
    """torch's LambdaLR of `factor`."""
    from torch.optim.lr_scheduler import LambdaLR

    return LambdaLR(optimizer, lambda step: factor(step, schedule, steps, warmup))


def factor(step: int, schedule: str, steps: int, warmup: int) -> float:
    """0 … 1, the same as trainer/loop/optimizers.py's `rate_factor`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    if schedule == "constant":
        return 1.0
    return 1 - progress if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
