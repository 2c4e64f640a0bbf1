"""What a training step holds at once, counted without a card: every tensor of a step of the published models' shapes.

`python -m modiste.bench.train_memory [--json]`. The step is the trainer's own: UNet in bfloat16, adapter in float32,
autocast, one picture. Its tensors are fake (shapes without values), so no memory is needed and none is measured: what
autograd keeps is added up as it comes and goes, forward and backward. Not counted: what the driver takes (0.3 to 0.5
GiB), the scratch memory of single kernels, fragments, and what a screen or a WebUI holds.
"""

from __future__ import annotations

import json
import sys
import weakref
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints.families.configs import Family
from ..core.device import GIB
from ..trainer.lora.targets import empty_model, targets_of

if TYPE_CHECKING:
    import torch

SIDES: dict[Family, int] = {"sd1": 512, "sdxl": 1024}


@dataclass(frozen=True)
class StepMemory:
    """GiB of one step: `weights` frozen, `trained` weights with gradients and AdamW's states, `kept` for backward.

    `block` is the most that a part keeps which is computed anew in one piece where activations are recomputed.
    """

    family: Family
    checkpointing: bool
    weights: float
    trained: float
    kept: float
    block: float

    @property
    def total(self) -> float:
        """All of it at once."""
        return self.weights + self.trained + self.kept + (self.block if self.checkpointing else 0.0)


class KeptTensors:
    """Inside `with`, adds up what autograd keeps: `most` is the largest sum of bytes at one time, `fixed` left out."""

    def __init__(self, fixed: Sequence[torch.Tensor]):
        self.fixed = {tensor.untyped_storage()._cdata for tensor in fixed}
        self.holders: dict[int, int] = {}  # storage → how many saved tensors are in it
        self.now = self.most = 0

    def __enter__(self) -> KeptTensors:
        import torch

        self._hooks: Any = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda kept: kept.tensor)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)

    def _pack(self, tensor: torch.Tensor) -> _Kept:
        storage = tensor.untyped_storage()
        kept, key, size = _Kept(tensor), storage._cdata, storage.nbytes()
        if key not in self.fixed:
            if not self.holders.get(key):
                self.now += size
                self.most = max(self.most, self.now)
            self.holders[key] = self.holders.get(key, 0) + 1
            weakref.finalize(kept, self._release, key, size)
        return kept

    def _release(self, key: int, size: int) -> None:
        self.holders[key] -= 1
        if not self.holders[key]:
            self.now -= size


class _Kept:
    def __init__(self, tensor: torch.Tensor):
        self.tensor = tensor


def step_memory(family: Family, checkpointing: bool, side: int = 0, rank: int = 16) -> StepMemory:
    """The count for a LoRA of one picture of `side` pixels."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    from ..trainer.config import NetworkConfig
    from ..trainer.model.adapters import add_adapters
    from ..trainer.model.base_model import StableDiffusionParts

    unet: Any = empty_model("unet", targets_of(family).configs["unet"]).requires_grad_(False)
    parts = StableDiffusionParts("", family, "", unet, None, [], [], {}, Path(), 1.0)
    add_adapters(parts, NetworkConfig(rank=rank, alpha=rank))
    with FakeTensorMode(allow_non_fake_inputs=True):
        for layer in unet.modules():
            for name, parameter in layer.named_parameters(recurse=False):
                dtype = torch.float32 if parameter.requires_grad else torch.bfloat16
                values = torch.empty(parameter.shape, dtype=dtype)
                layer._parameters[name] = torch.nn.Parameter(values, parameter.requires_grad)
        frozen = [parameter for parameter in unet.parameters() if not parameter.requires_grad]
        trained = [parameter for parameter in unet.parameters() if parameter.requires_grad]
        unet.train()
        latent = (side or SIDES[family]) // 8
        inputs: dict[str, Any] = {"encoder_hidden_states": torch.randn(1, 77, unet.config.cross_attention_dim)}
        if family == "sdxl":
            inputs["added_cond_kwargs"] = {"text_embeds": torch.randn(1, 1280), "time_ids": torch.randn(1, 6)}
        noisy = torch.randn(1, 4, latent, latent)
        blocks: list[int] = []
        with torch.autocast("cpu", torch.bfloat16):
            if checkpointing:  # what a block is computed anew with is kept by torch's own checkpointing, out of sight
                with KeptTensors([*frozen, *trained]) as kept:
                    _note_blocks(unet, kept, blocks)
                    unet(noisy, torch.tensor([10]), **inputs)
                unet.enable_gradient_checkpointing()
            with KeptTensors([*frozen, *trained]) as kept:
                predicted = unet(noisy, torch.tensor([10]), **inputs).sample
                torch.autograd.backward(predicted.float().square().mean())
        weights = sum(parameter.nbytes for parameter in frozen)
        own = sum(parameter.numel() for parameter in trained) * 16  # weight, gradient, two moments, each in float32
    return StepMemory(family, checkpointing, weights / GIB, own / GIB, kept.most / GIB, max(blocks, default=0) / GIB)


def _note_blocks(unet: torch.nn.Module, kept: KeptTensors, sizes: list[int]) -> None:
    """Adds what each part keeps that diffusers recomputes in one piece."""
    begun: list[int] = []
    for part in unet.modules():
        if type(part).__name__ in ("ResnetBlock2D", "BasicTransformerBlock"):
            part.register_forward_pre_hook(lambda *_: begun.append(kept.now))
            part.register_forward_hook(lambda *_: sizes.append(kept.now - begun.pop()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, or its rows as JSON."""
    words = sys.argv[1:] if arguments is None else arguments
    rows = [step_memory(family, checkpointing) for family in SIDES for checkpointing in (False, True)]
    if "--json" in words:
        print(json.dumps([{**asdict(row), "total": row.total} for row in rows]))
        return
    print("family  recomputing  frozen  trained  kept  block  total GiB")
    for row in rows:
        recomputing = "yes" if row.checkpointing else "no"
        figures = f"{row.weights:6.2f}  {row.trained:7.2f}  {row.kept:4.2f}  {row.block:5.2f}  {row.total:5.2f}"
        print(f"{row.family:<6}  {recomputing:<11}  {figures}")


if __name__ == "__main__":
    main()
