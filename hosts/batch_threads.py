"""Batches of small pictures on a CPU, side by side: a thread each, and a processor for each thread.

The sums of such a batch are too small to divide: a second processor makes one batch hardly faster, and two batches
almost twice as fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cached_property
from typing import TypeVar

Result = TypeVar("Result")

MOST_THREADS = 8  # more wait for each other in Python


class BatchThreads:
    """Threads that stay; as many as torch has processors when the first batch is drawn."""

    @cached_property
    def count(self) -> int:
        """How many batches are drawn at once."""
        import torch

        return min(torch.get_num_threads(), MOST_THREADS)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        import torch

        return ThreadPoolExecutor(self.count, "modiste-batch", initializer=torch.set_num_threads, initargs=(1,))

    def run(self, calls: Sequence[Callable[[], Result]]) -> list[Result]:
        """The results of the calls; where some fail, the first one's error, when all have ended."""
        import torch

        processors = torch.get_num_threads()
        futures = [self._pool.submit(call) for call in calls]
        wait(futures)
        torch.set_num_threads(processors)  # the pool's threads have set it for all that begin later
        return [future.result() for future in futures]
