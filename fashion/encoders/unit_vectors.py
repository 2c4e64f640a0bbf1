"""What all encoders do with a model's output: in batches, as unit vectors, float32, on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

BATCH = 32


def unit_vectors(items: Sequence[Any], features: Callable[[Sequence[Any]], Any], device: str) -> torch.Tensor:
    """[N, D] of pictures; on a CPU one by one: hardly slower, and the last bits do not depend on what else is asked."""
    return _in_batches(items, features, 1 if device == "cpu" else BATCH)


def unit_text_vectors(texts: Sequence[str], features: Callable[[Sequence[str]], Any]) -> torch.Tensor:
    """[N, D]; texts of about one length together, so that a batch is hardly padded: some times faster than one by one.

    The last bits depend on what else is asked; a vocabulary is asked as a whole, or its answers are kept.
    """
    import torch

    order = sorted(range(len(texts)), key=lambda index: len(texts[index].split()))
    sorted_vectors = _in_batches([texts[index] for index in order], features, BATCH)
    vectors = torch.empty_like(sorted_vectors)
    vectors[torch.tensor(order)] = sorted_vectors
    return vectors


def _in_batches(items: Sequence[Any], features: Callable[[Sequence[Any]], Any], size: int) -> torch.Tensor:
    import torch

    with torch.inference_mode():
        return torch.cat([_unit(features(items[start : start + size])) for start in range(0, len(items), size)])


def _unit(output: Any) -> torch.Tensor:
    """transformers 4 gives a tensor, transformers 5 an object that holds it."""
    import torch

    embeds = output if isinstance(output, torch.Tensor) else output.pooler_output
    return torch.nn.functional.normalize(embeds.float(), dim=-1).cpu()
