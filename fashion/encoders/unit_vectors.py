"""Runs a model in batches and returns unit vectors, float32, on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

BATCH = 32


def unit_vectors(
    items: Sequence[Any], features: Callable[[Sequence[Any]], Any], device: str, cpu_batch: int = 1
) -> torch.Tensor:
    """The vectors [N, D] of pictures; `features` maps a batch of B to [B, D].

    On a CPU every batch has `cpu_batch` pictures, the last one filled up: the last bits depend on that number, not on
    the other pictures. One is quickest where pictures come singly; many at once take less time each.
    """
    if device != "cpu":
        return _in_batches(items, features, BATCH)
    missing = -len(items) % cpu_batch
    return _in_batches([*items, *list(items[-1:]) * missing], features, cpu_batch)[: len(items)]


def unit_text_vectors(texts: Sequence[str], features: Callable[[Sequence[str]], Any]) -> torch.Tensor:
    """The vectors [N, D] of texts; a batch holds texts of about one length, so that it is hardly padded.

    The last bits depend on the other texts: embed a vocabulary as a whole, or cache its vectors.
    """
    import torch

    order = sorted(range(len(texts)), key=lambda index: len(texts[index].split()))
    sorted_vectors = _in_batches([texts[index] for index in order], features, BATCH)
    vectors = torch.empty_like(sorted_vectors)
    vectors[torch.tensor(order)] = sorted_vectors
    return vectors


def _in_batches(items: Sequence[Any], features: Callable[[Sequence[Any]], Any], size: int) -> torch.Tensor:
    """The vectors [N, D] of N items, `size` at a time."""
    import torch

    with torch.inference_mode():
        return torch.cat([_unit(features(items[start : start + size])) for start in range(0, len(items), size)])


def _unit(output: Any) -> torch.Tensor:
    """The rows of a model's output [B, D] at norm 1; transformers 5 wraps the tensor in an object, 4 does not."""
    import torch

    embeds = output if isinstance(output, torch.Tensor) else output.pooler_output
    return torch.nn.functional.normalize(embeds.float(), dim=-1).cpu()
