"""The processes that share a batch, as accelerate or torchrun started them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass
class Processes:
    """Who else works on the same batch; accelerate says so, and adds up."""

    rank: int = 0
    world: int = 1

    @classmethod
    def of_launch(cls, device: str) -> Processes:
        """Those of `accelerate launch` or torchrun, or this one alone."""
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            return cls()
        from accelerate import PartialState

        state = PartialState(cpu=device == "cpu")  # else each of several processes on a CPU takes itself for the first
        return cls(state.process_index, state.num_processes)

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in the tensor's own shape."""
        if self.world == 1:
            return tensor
        from accelerate.utils import reduce

        total: torch.Tensor = reduce(tensor, "sum")
        return total

    def any_process(self, flag: bool, device: torch.device) -> bool:
        """Whether `flag` is set in one process or more: all of them get the same answer."""
        import torch

        return flag if self.world == 1 else bool(self.total(torch.tensor(float(flag), device=device)))

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()
