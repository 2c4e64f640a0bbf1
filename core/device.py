"""Where models compute, and in which number format: chosen here once, never by a file's own dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float16", "bfloat16")
GIB, MIB = 2**30, 2**20


def choose_device(asked: str = "auto") -> str:
    """`auto` is CUDA, else Apple's MPS, else the CPU; InputError for one that torch does not see."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == "auto":
        return next(name for name, found in there.items() if found)
    kind, _, index = asked.partition(":")
    counted = not index or (index.isdigit() and kind == "cuda" and int(index) < torch.cuda.device_count())
    if not there.get(kind, False) or not counted:
        raise InputError(
            f"there is no device {asked!r} here",
            to_try=f"choose one of auto, {', '.join(name for name, found in there.items() if found)}",
        )
    return asked


def choose_dtype(device: str, asked: str = "auto") -> torch.dtype:
    """`auto` is float32 on a CPU and float16 elsewhere: ten bits of mantissa, where bfloat16 has seven."""
    import torch

    if asked == "auto":
        return torch.float32 if device == "cpu" else torch.float16
    if asked not in DTYPES:
        raise InputError(f"there is no dtype {asked!r}", to_try=f"choose one of auto, {', '.join(DTYPES)}")
    return getattr(torch, asked)


def memory_bytes(device: str) -> int | None:
    """Memory of a CUDA device, whoever uses it; None elsewhere."""
    import torch

    return torch.cuda.get_device_properties(device).total_memory if device.startswith("cuda") else None


def used_mb(device: str) -> float:
    """MiB that this process has needed: of a CUDA device its largest so far, elsewhere of the machine just now."""
    import psutil
    import torch

    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / MIB
    return psutil.Process().memory_info().rss / MIB
