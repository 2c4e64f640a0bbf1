"""One batch → one gradient, exact whatever it is cut into: micro-batches, processes, uneven ends.

    loss = Σ over the batch of (weight · error) / pictures of the whole batch

Means of means would be another gradient wherever parts differ in size (measured: 25 % for 5 and 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..data.sampler import Batch, shard
from .denoising_loss import DenoisingLoss, parts
from .processes import Processes

if TYPE_CHECKING:
    from ..data.sample import Sample


@dataclass
class Gradient:
    """Adds up the gradients of a batch, over micro-batches and processes."""

    loss: DenoisingLoss
    processes: Processes

    def __call__(self, batch: Batch, scale: float = 1.0) -> float:
        """Leaves the batch's gradient in the parameters; returns its loss.

        The loss is multiplied by `scale` for the backward pass alone, and the gradient divided by it.
        """
        import torch

        model, count = self.loss.model, len(batch.visits)
        share = shard(batch, self.processes.rank, self.processes.world).visits
        total = torch.zeros((), device=model.device)
        for visits in parts(share, model.plan.micro_batch):
            loss = self.loss.of_visits(visits).sum() / count
            torch.autograd.backward(loss * scale)
            total += loss.detach()
        if self.processes.world > 1:
            self._add_up()
        if scale != 1:
            for parameter in model.parameters.values():
                if parameter.grad is not None:
                    parameter.grad /= scale
        return float(self.processes.total(total))

    def validation_losses(self, photos: Sequence[Sample]) -> tuple[float, ...]:
        """Mean weighted loss of each photo, the same on every process; processes share the work."""
        import torch

        losses = torch.zeros(len(photos), device=self.loss.model.device)
        for index in range(self.processes.rank, len(photos), self.processes.world):
            losses[index] = self.loss.of_photo(photos[index])
        return tuple(self.processes.total(losses).tolist())

    def _add_up(self) -> None:
        """Each gradient becomes the sum over processes, in one message."""
        import torch

        parameters = list(self.loss.model.parameters.values())
        flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in parameters])
        flat = self.processes.total(flat)
        for parameter, part in zip(parameters, torch.split(flat, [p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter).clone()
