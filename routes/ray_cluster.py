"""What every command that works on a Ray cluster has in common: reaching it, its workers' share, and a watchdog.

Ray is an extra. Its usage statistics are off unless the user turns them on; no dashboard is started on this machine.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeVar

from ..core.errors import InputError, ModisteError

PATIENCE_S = 600.0  # without any news, opening the workers' models included
WAITING = 128  # news that wait for whoever takes them, at most
USAGE_STATISTICS = "RAY_USAGE_STATS_ENABLED"

News = TypeVar("News")


class ClusterError(ModisteError):
    """The cluster is not there, or does nothing any more; what is written stays."""

    exit_code = 4


@dataclass(frozen=True)
class ClusterOptions:
    """Where the work is done: a cluster's address, None for this machine; workers, None for one a processor or card."""

    address: str | None = None
    workers: int | None = None


@dataclass(frozen=True)
class WorkerPool:
    """How many workers there are, and what each of them reserves."""

    kind: str  # CPU | GPU
    size: int
    processors: int = 1  # of a worker without a card, and as many threads: Ray sets OMP_NUM_THREADS to them

    @classmethod
    def of_cluster(
        cls, ray: Any, device: str, workers: int | None, tasks: int, *, shared_out: bool = False
    ) -> WorkerPool:
        """As many workers as were asked for, never more than processors (or cards) or `tasks`, and at least one.

        With `shared_out` they have all processors between them, as far as these divide; else one each.
        """
        resources = ray.cluster_resources()
        kind = "CPU" if device == "cpu" or not resources.get("GPU") else "GPU"
        most = int(resources.get(kind, 1))
        size = max(1, min(workers or most, most, tasks))
        machines = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        return cls(kind, size, share_of_processors(machines, size) if shared_out else 1)

    @property
    def reserved(self) -> dict[str, int]:
        """Ray's options of one worker: a card of its own, or processors."""
        return {"num_gpus": 1} if self.kind == "GPU" else {"num_cpus": self.processors}


def share_of_processors(machines: Sequence[int], workers: int) -> int:
    """The most processors that each of the workers can have where no worker spans two machines; at least one."""
    shares = range(max(machines, default=1), 1, -1)
    return next((share for share in shares if sum(count // share for count in machines) >= workers), 1)


def require_ray() -> None:
    """InputError, with the extra's name, where Ray is not installed."""
    if find_spec("ray") is None:
        raise InputError("--engine ray needs Ray, the extra `ray`", to_try='pip install "ray[data]>=2.52"')


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray inside `with`, on this machine or at a cluster.

    Raises InputError where it is not installed, ClusterError where nobody answers.
    """
    require_ray()
    os.environ.setdefault(USAGE_STATISTICS, "0")
    import ray

    there = ray.is_initialized()
    try:
        if not there:
            here = {"include_dashboard": False} if address is None else {}
            ray.init(address=address or "local", log_to_driver=False, logging_level="warning", **here)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"no Ray cluster answers: {last_line(error)}",
            where=address or "this machine",
            to_try="--address HOST:6379",
        ) from None
    try:
        yield ray
    finally:
        if not there:
            ray.shutdown()


def watched(news: Iterator[News], awaited: str) -> Iterator[News]:
    """The news; ClusterError where none comes for PATIENCE_S (`awaited` did not happen), or the cluster gives up."""
    arrived: queue.Queue[News | BaseException | None] = queue.Queue(WAITING)

    def pull() -> None:
        try:
            for item in news:
                arrived.put(item)
            arrived.put(None)
        except BaseException as error:
            arrived.put(error)

    threading.Thread(target=pull, daemon=True).start()
    while True:
        try:
            item = arrived.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise ClusterError(
                f"{awaited} for {PATIENCE_S / 60:.0f} minutes",
                to_try="`ray status` says why; the same command goes on",
            ) from None
        if item is None:
            return
        if isinstance(item, ModisteError):
            raise item
        if isinstance(item, BaseException):
            raise ClusterError(f"the cluster gave up: {last_line(item)}", to_try="the same command goes on") from None
        yield item


def last_line(error: BaseException) -> str:
    """What a cluster's error comes to; the lines before it are a traceback, or advice."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
