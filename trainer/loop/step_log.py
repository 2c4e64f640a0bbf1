"""What steps have lost, fetched from the device now and then: a step that says nothing does not wait for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ...core.device import used_mb
from ...core.errors import Stopped

if TYPE_CHECKING:
    import torch

    from ...core.progress import Pace
    from ..run import TrainingRun

REPORT_S = 0.25  # between two reports of a card; a CPU has nothing to wait for, and reports each step
MOST_BAD_STEPS = 5  # in a row


class StepLog:
    """Losses on the device that the loop has not seen yet."""

    def __init__(self, run: TrainingRun, pace: Pace):
        self.run, self.pace = run, pace
        self._pending: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._reported_s = time.monotonic()

    def add(self, loss: torch.Tensor, finite: torch.Tensor, learning_rate: float, at_once: bool) -> None:
        """Takes a step's loss and whether it was taken; fetches and reports what is pending when that is due.

        Stopped where too many steps in a row were bad.
        """
        self._pending.append((loss, finite))
        if at_once or self._is_due():
            self._report(learning_rate)

    def _is_due(self) -> bool:
        if self.run.model.device.type == "cpu" or self.run.optimization.waits_for_device:
            return True
        if self.run.gradient.processes.world > 1:  # all at the same step: what comes of it may end the run
            return True
        return time.monotonic() - self._reported_s >= REPORT_S

    def _report(self, learning_rate: float) -> None:
        losses, optimization, pending = self.run.loop.losses, self.run.optimization, self._fetched()
        for loss, finite in pending:
            optimization.count(finite)
            if finite:
                losses.append(loss)
            elif optimization.bad_steps >= MOST_BAD_STEPS:
                raise Stopped(
                    f"{optimization.bad_steps} steps in a row had no finite gradient (step {self.run.loop.step})",
                    where=str(self.run.folder),
                    to_try='a smaller learning_rate, or precision "fp32" or "bf16"; the last checkpoint is from before',
                )
        loss = pending[-1][0]
        values = dict(loss=loss, rate=learning_rate, memory_mb=used_mb(self.run.plan.device))
        self.pace.advance(len(pending), f"loss {loss:.4f}, rate {learning_rate:.1e}", **values)
        self._reported_s = time.monotonic()

    def _fetched(self) -> list[tuple[float, bool]]:
        """All that is pending, in one transfer."""
        import torch

        rows = torch.stack([torch.stack([loss.float(), finite.float()]) for loss, finite in self._pending]).tolist()
        self._pending = []
        return [(loss, bool(finite)) for loss, finite in rows]
