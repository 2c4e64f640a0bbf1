"""A supervised classifier of renders that marks the image model's drawings; it is not the tagger, and not shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.progress import ProgressCallback
from .catalogue import RenderedCatalogue
from .garment import GROUPS, labels
from .train_loop import as_tensor, fit

if TYPE_CHECKING:
    import torch
    from torch import nn


def new_examiner() -> nn.Module:
    """An untrained classifier: convolutions 64 → 4 px, then a linear layer to all labels, [N, sum of labels]."""
    from torch import nn

    def block(a: int, b: int) -> list[nn.Module]:
        return [
            nn.Conv2d(a, b, 3, 2, 1),
            nn.GroupNorm(8, b),
            nn.SiLU(),
            nn.Conv2d(b, b, 3, 1, 1),
            nn.GroupNorm(8, b),
            nn.SiLU(),
        ]

    return nn.Sequential(
        *block(3, 32),
        *block(32, 64),
        *block(64, 96),
        *block(96, 128),
        nn.Flatten(),
        nn.Linear(128 * 16, 256),
        nn.SiLU(),
        nn.Dropout(0.1),
        nn.Linear(256, sum(len(labels(g)) for g in GROUPS)),
    )


def heads(logits: torch.Tensor) -> list[torch.Tensor]:
    """The logits [N, labels] of each group, from those of all labels [N, sum of labels]."""
    return list(logits.split([len(labels(g)) for g in GROUPS], dim=1))


def train_examiner(
    data: RenderedCatalogue, steps: int, seed: int, progress: ProgressCallback, *, batch: int = 128, lr: float = 1e-3
) -> nn.Module:
    """Trains with cross-entropy in each group that applies, on pictures blurred and made noisy at random."""
    import torch

    torch.manual_seed(seed)
    model, rng = new_examiner(), np.random.default_rng(seed)
    noise = torch.Generator().manual_seed(seed)

    def loss_of(step: int) -> torch.Tensor:
        picks = rng.integers(len(data), size=batch)
        x = as_tensor(data.pictures[picks, 0])
        soft = torch.nn.functional.avg_pool2d(x, 3, 1, 1)  # some pictures a little soft, all a little grainy
        x = torch.lerp(x, soft, torch.rand(batch, 1, 1, 1, generator=noise) * 0.7)
        x = x + 0.03 * torch.randn(x.shape, generator=noise)
        target = torch.from_numpy(data.table[picks, : len(GROUPS)].astype(np.int64))
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x)
        return sum(
            torch.nn.functional.cross_entropy(z.float(), target[:, k], ignore_index=-1)
            for k, z in enumerate(heads(logits))
        )

    fit("examiner", loss_of, [{"params": list(model.parameters()), "lr": lr}], steps, progress)
    return model.eval()


def examine(model: nn.Module, pictures: np.ndarray) -> np.ndarray:
    """The label numbers, int [N, groups], of pictures, uint8 [N, 64, 64, 3]."""
    import torch

    with torch.inference_mode():
        parts = [
            torch.stack([z.argmax(1) for z in heads(model(as_tensor(pictures[i : i + 250])))], 1)
            for i in range(0, len(pictures), 250)
        ]
    return torch.cat(parts).numpy()


def agreement(predicted: np.ndarray, table: np.ndarray) -> dict[str, float]:
    """Each group → the share of right labels; `predicted` [N, groups], `table` [N, columns], −1 where none applies."""
    return {
        g: float((predicted[rows, k] == table[rows, k]).mean())
        for k, g in enumerate(GROUPS)
        if len(rows := np.flatnonzero(table[:, k] >= 0))
    }
