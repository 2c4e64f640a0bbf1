"""One batch → one gradient, exact whatever it is cut into: micro-batches, processes, uneven ends.

    loss = Σ over the batch of (weight · error) / pictures of the whole batch

Means of means would be another gradient wherever parts differ in size (measured: 25 % for 5 and 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ..data.sampler import Batch, shard
from .denoising_loss import DenoisingLoss, VisitInputs, parts
from .processes import Processes

if TYPE_CHECKING:
    from concurrent.futures import Future

    import torch

    from ..data.sample import Sample

Key = TypeVar("Key")
Value = TypeVar("Value")


def one_ahead(rows: Iterable[tuple[Key, Callable[[], Value]]]) -> Iterator[tuple[Key, Value]]:
    """Each row with what its function gives, computed in a thread of its own while the row before is in use."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, "batches") as thread:
        waiting: tuple[Key, Future[Value]] | None = None
        for key, value in rows:
            ready, waiting = waiting, (key, thread.submit(value))
            if ready is not None:
                yield ready[0], ready[1].result()
        if waiting is not None:
            yield waiting[0], waiting[1].result()


@dataclass
class Gradient:
    """Adds up the gradients of a batch, over micro-batches and processes."""

    loss: DenoisingLoss
    processes: Processes

    def __call__(self, batch: Batch, scale: float = 1.0, inputs: Iterable[VisitInputs] | None = None) -> torch.Tensor:
        """Leaves the batch's gradient in the parameters; returns its loss, [] on the device: nobody waits for it.

        The loss is multiplied by `scale` for the backward pass alone, and the gradient divided by it. `inputs` are the
        batch's, where they are prepared already.
        """
        import torch

        model, count = self.loss.model, len(batch.visits)
        total = torch.zeros((), device=model.device)
        for part in self.inputs(batch) if inputs is None else inputs:
            with model.dropout.at(part.visits):
                loss = self.loss.of_inputs(part).sum() / count
                torch.autograd.backward(loss * scale)
            total += loss.detach()
        if self.processes.world > 1:
            self._add_up()
        if scale != 1:
            for parameter in model.parameters.values():
                if parameter.grad is not None:
                    parameter.grad /= scale
        return self.processes.total(total)

    def inputs(self, batch: Batch) -> Iterator[VisitInputs]:
        """What this process's part of a batch brings to the UNet, a micro-batch each."""
        share = shard(batch, self.processes.rank, self.processes.world).visits
        return (self.loss.inputs(visits) for visits in parts(share, self.loss.model.plan.micro_batch))

    def prepared(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, list[VisitInputs]]]:
        """Batches with their inputs, the next one's drawn while the device computes; a CPU has no time for that."""
        if self.loss.model.device.type == "cpu":
            yield from ((batch, list(self.inputs(batch))) for batch in batches)
            return
        yield from one_ahead((batch, partial(self._listed, batch)) for batch in batches)

    def _listed(self, batch: Batch) -> list[VisitInputs]:
        return list(self.inputs(batch))

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
