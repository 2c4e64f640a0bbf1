"""What all encoders do with a model's output: in batches, as unit vectors, float32, on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

BATCH = 32  # on a GPU


def unit_vectors(items: Sequence[Any], features: Callable[[Sequence[Any]], Any], device: str) -> torch.Tensor:
    """[N, D]; on a CPU one by one: hardly slower, and the last bits do not depend on what else is asked."""
    import torch

    size = 1 if device == "cpu" else BATCH
    with torch.inference_mode():
        return torch.cat([_unit(features(items[start : start + size])) for start in range(0, len(items), size)])


def _unit(output: Any) -> torch.Tensor:
    """transformers 4 gives a tensor, transformers 5 an object that holds it."""
    import torch

    embeds = output if isinstance(output, torch.Tensor) else output.pooler_output
    return torch.nn.functional.normalize(embeds.float(), dim=-1).cpu()
