"""Dropout of adapters, by numbers of each visit's own: a run that goes on drops what it would have dropped.

inputs   dropout(x) before A                  peft's own (`lora_dropout`)
ranks    A x with some of its ranks left out   sd-scripts' `rank_dropout`: each picture others, the rest / (1 − p)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..seeding import seed_for

if TYPE_CHECKING:
    import torch

    from ..config import NetworkConfig
    from ..data.sampler import SampleVisit


class AdapterDropout:
    """The dropout of all adapters of a model: off, but inside `at`."""

    def __init__(self, layers: Sequence[Any], network: NetworkConfig, adapter: str):
        self.ranks, self._inside = network.rank_dropout, False
        self.inputs = [layer.lora_dropout[adapter] for layer in layers] if network.dropout else []
        for module in self.inputs:
            module.eval()
        if self.ranks:
            for layer in layers:
                layer.lora_A[adapter].register_forward_hook(self._drop_ranks)

    @contextmanager
    def at(self, visits: Sequence[SampleVisit]) -> Iterator[None]:
        """Inside `with`, which holds the backward pass too, there is dropout by the first visit's numbers."""
        if not visits or not (self.ranks or self.inputs):
            yield
            return
        import torch

        first = visits[0]
        with torch.random.fork_rng():
            torch.manual_seed(seed_for(first.seed, first.epoch, first.sample.id, first.repeat, "dropout"))
            self._switch(True)
            try:
                yield
            finally:
                self._switch(False)

    def _switch(self, on: bool) -> None:
        self._inside = on
        for module in self.inputs:
            module.train(on)

    def _drop_ranks(self, module: torch.nn.Module, arguments: Any, inner: torch.Tensor) -> torch.Tensor:
        """A x as [B, …, r] or [B, r, H, W] with ranks left out, each picture others."""
        import torch

        if not self._inside:
            return inner
        pixels = isinstance(module, torch.nn.Conv2d)
        rank = inner.shape[1] if pixels else inner.shape[-1]
        shape = (len(inner), rank, 1, 1) if pixels else (len(inner), *[1] * (inner.dim() - 2), rank)
        kept = torch.rand(shape, device=inner.device) >= self.ranks
        return inner * kept / (1 - self.ranks)
