"""The device and the number format that models compute with; a weight file's own dtype never decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float16", "bfloat16")
GIB, MIB = 2**30, 2**20


def choose_device(name: str = "auto") -> str:
    """The device of that name; `auto` is CUDA, else Apple's MPS, else the CPU. InputError if torch does not see it."""
    import torch

    kinds = [*["cuda"] * torch.cuda.is_available(), *["mps"] * torch.backends.mps.is_available(), "cpu"]
    if name == "auto":
        return kinds[0]
    kind, _, index = name.partition(":")
    index_exists = not index or (index.isdigit() and kind == "cuda" and int(index) < torch.cuda.device_count())
    if kind not in kinds or not index_exists:
        raise InputError(f"there is no device {name!r} here", to_try=f"choose one of auto, {', '.join(kinds)}")
    return name


def choose_dtype(device: str, name: str = "auto") -> torch.dtype:
    """The number format of that name.

    `auto` is float32 on a CPU and float16 elsewhere: ten bits of mantissa, where bfloat16 has seven.
    """
    import torch

    if name == "auto":
        return torch.float32 if device == "cpu" else torch.float16
    if name not in DTYPES:
        raise InputError(f"there is no dtype {name!r}", to_try=f"choose one of auto, {', '.join(DTYPES)}")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def memory_bytes(device: str) -> int | None:
    """The whole memory of a CUDA device, used or free, in bytes; None for another device."""
    import torch

    return torch.cuda.get_device_properties(device).total_memory if device.startswith("cuda") else None


def free_bytes(device: str) -> int:
    """What this process could still have of a CUDA device: the driver's free memory, and its own that holds nothing."""
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that a device, or this machine, has too little memory."""
    import torch

    words = str(error).lower()
    said = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, (RuntimeError, MemoryError)) and any(part in words for part in said)
    )


def has_native_bf16() -> bool:
    """Whether this machine's CPU multiplies bfloat16 itself."""
    import torch

    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def used_mb(device: str) -> float:
    """Memory of this process in MiB: its peak so far on a CUDA device, its resident memory now on any other."""
    import psutil
    import torch

    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / MIB
    return float(psutil.Process().memory_info().rss / MIB)
