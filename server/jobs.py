"""One drawing after another on one thread, in the order they came; how far the running one is; stopping it.

The event loop is free meanwhile: progress and interrupt are answered at once, however many jobs wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import BUSY, STOPPING, Refusal

if TYPE_CHECKING:
    from ..hosts.local import LocalHost
    from ..hosts.request import GenerationResult


Result = TypeVar("Result")
MOST_WAITING = 64  # jobs, the running one included


class JobInterrupted(Exception):
    """The running job was asked to stop."""


@dataclass
class DrawingJob:
    """A job's state as A1111 tells it; `job_count` is 0 where none runs."""

    job: str = ""
    job_count: int = 0
    job_no: int = 0
    job_timestamp: str = "0"
    sampling_step: int = 0
    sampling_steps: int = 0
    pictures: int = 1  # that share the running steps
    interrupted: bool = False
    began: float = field(default_factory=time.monotonic)
    results: list[GenerationResult] = field(default_factory=list)

    @property
    def share(self) -> float:
        """0 … 1 of the job that is done."""
        if self.job_count == 0:
            return 0.0
        running = self.pictures * self.sampling_step / self.sampling_steps if self.sampling_steps else 0.0
        return min(1.0, (self.job_no + running) / self.job_count)

    @property
    def left_s(self) -> float:
        """Seconds to the end at the pace so far."""
        return (time.monotonic() - self.began) * (1 / self.share - 1) if self.share else 0.0

    def as_state(self) -> dict[str, Any]:
        """`state` of /sdapi/v1/progress."""
        return {
            "skipped": False,
            "interrupted": self.interrupted,
            "stopping_generation": False,
            "job": self.job,
            "job_count": self.job_count,
            "job_timestamp": self.job_timestamp,
            "job_no": self.job_no,
            "sampling_step": self.sampling_step,
            "sampling_steps": self.sampling_steps,
        }


class JobQueue:
    """The host's only user: one thread that draws, and how many may wait for it."""

    def __init__(self, host: LocalHost):
        self.running = DrawingJob()
        self._thread = ThreadPoolExecutor(1, "modiste-draw")
        self._waiting = 0  # the running job included
        self._stopping = False
        host.on_step = self._step

    async def draw(self, kind: str, count: int, drawing: Callable[[], Iterator[GenerationResult]]) -> DrawingJob:
        """Waits for its turn, draws, and returns the job; an interrupted one holds the pictures finished by then."""
        return await self.run(lambda: self._draw(kind, count, drawing))

    async def run(self, call: Callable[[], Result]) -> Result:
        """The call on the drawing thread, after the jobs that wait; Refusal (429) where too many do."""
        if self._stopping:
            raise Refusal(STOPPING, "the server is being stopped")
        if self._waiting >= MOST_WAITING:
            raise Refusal(BUSY, f"{self._waiting} jobs wait already; ask again later")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._unless_stopping, call)
        finally:
            self._waiting -= 1

    def interrupt(self) -> None:
        """Stops the running job at its next step; the waiting ones stay."""
        self.running.interrupted = self.running.job_count > 0

    def stop(self) -> None:
        """Stops the running job at its next step, and refuses the waiting ones and all that come."""
        self._stopping = True
        self.interrupt()

    def _unless_stopping(self, call: Callable[[], Result]) -> Result:
        if self._stopping:
            raise Refusal(STOPPING, "the server is being stopped")
        return call()

    def _draw(self, kind: str, count: int, drawing: Callable[[], Iterator[GenerationResult]]) -> DrawingJob:
        stamp = datetime.now().strftime("%Y%m%d%H%M%S")
        job = self.running = DrawingJob(job=kind, job_count=count, job_timestamp=stamp)
        try:
            for result in drawing():
                job.results.append(result)
                job.job_no, job.sampling_step = len(job.results), 0
                if job.interrupted or self._stopping:
                    break
        except JobInterrupted:
            pass
        finally:
            self.running = DrawingJob(job_timestamp=stamp, job_no=job.job_no, interrupted=job.interrupted)
        return job

    def _step(self, step: int, steps: int, pictures: int) -> None:
        job = self.running
        job.sampling_step, job.sampling_steps, job.pictures = step, steps, pictures
        if job.interrupted or self._stopping:
            raise JobInterrupted
