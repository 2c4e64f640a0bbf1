"""What the last bits of a training depend on beside config, data and versions: threads, processor, libraries, device.

Sums of many numbers are added up in parts, a part a thread: another number of threads rounds otherwise. A run that goes
on sets its own number of threads; on another processor or card its weights differ in their last bits, and it says so.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


def arithmetic_of(device: str) -> dict[str, Any]:
    """What this process computes with, as JSON."""
    import torch

    on_card = device.startswith("cuda")
    return {
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if on_card else device.partition(":")[0],
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "blas": next((line.strip() for line in torch.__config__.show().split("\n") if "BLAS_INFO" in line), "")[:80],
        "cuda": torch.version.cuda,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


@contextmanager
def threads_of(begun: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """Inside `with`, as many threads as a run was `begun` with; unchanged where that is not known."""
    import torch

    before = torch.get_num_threads()
    if begun:
        torch.set_num_threads(int(begun[0]["threads"]))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def changes(begun: Sequence[Mapping[str, Any]], now: Mapping[str, Any]) -> list[str]:
    """`name: before → now` of each that is another than at the run's last start; empty where nothing is begun."""
    if not begun:
        return []
    return [f"{name}: {begun[-1].get(name)} → {value}" for name, value in now.items() if begun[-1].get(name) != value]
