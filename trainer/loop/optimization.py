"""From a gradient to new weights: learning rate, clipping, optimizer, loss scale, moving average."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from .ema import update_ema
from .optimizers import LossScale, new_optimizer, set_rates

if TYPE_CHECKING:
    import torch

    from ..config import TrainConfig


@dataclass
class Optimization:
    """What changes the parameters, and what it remembers from step to step."""

    config: TrainConfig
    parameters: Mapping[str, torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    scale: LossScale
    ema: dict[str, torch.Tensor] = field(default_factory=dict)  # name → moving average; empty without one
    bad_steps: int = 0  # in a row, without a finite gradient that the loss scale explains

    @classmethod
    def of(cls, config: TrainConfig, parameters: Mapping[str, torch.nn.Parameter], precision: str) -> Optimization:
        """The config's optimizer at its start; InputError where its library is missing."""
        return cls(config, parameters, new_optimizer(parameters, config), LossScale.of(precision))

    def begin_step(self, step: int) -> float:
        """Sets the learning rates of update `step` (from 0) and empties the gradients; returns the UNet's rate."""
        learning_rate = set_rates(self.optimizer, step, self.config)
        self.optimizer.zero_grad(set_to_none=True)
        return learning_rate

    def update(self, step: int, loss: float) -> bool:
        """Clips the gradients' norm and steps; False where loss or norm is not finite: then nothing changes."""
        import torch

        gradients = [parameter for parameter in self.parameters.values() if parameter.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(gradients, self.config.max_grad_norm)
        finite = bool(torch.isfinite(norm)) and math.isfinite(loss)
        scale_was_too_large = self.scale.update(finite)
        if not finite:
            self.bad_steps += not scale_was_too_large
            return False
        self.bad_steps = 0
        self.optimizer.step()
        if self.config.ema:
            self._update_ema(step)
        return True

    @property
    def result(self) -> dict[str, torch.Tensor]:
        """Name → the weights that the run would leave now: the averaged ones where there are any."""
        return self.ema or {name: parameter.detach() for name, parameter in self.parameters.items()}

    @contextmanager
    def ema_weights(self) -> Iterator[None]:
        """Inside `with`, the model has the averaged weights, where there are any."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state(self) -> dict[str, Any]:
        """What a checkpoint's record keeps of it beside the optimizer's own state, as JSON."""
        return {"bad": self.bad_steps, "scale": asdict(self.scale)}

    def load(self, optimizer_state: dict[str, Any], ema: Mapping[str, torch.Tensor], record: Mapping[str, Any]) -> None:
        """Puts back what a checkpoint has kept."""
        self.optimizer.load_state_dict(optimizer_state)
        self.bad_steps, self.scale = record["bad"], LossScale(**record["scale"])
        self.ema = {name: tensor.to(self.parameters[name].device) for name, tensor in ema.items()}

    def _update_ema(self, step: int) -> None:
        if not self.ema:
            self.ema = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
            return
        update_ema(self.ema.values(), (self.parameters[name] for name in self.ema), self.config.ema, step)

    def _swap(self) -> None:
        for name, average in self.ema.items():
            parameter = self.parameters[name]
            trained = parameter.data.clone()
            parameter.data.copy_(average)
            average.copy_(trained)
