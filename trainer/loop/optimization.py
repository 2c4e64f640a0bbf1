"""From a gradient to new weights: learning rate, clipping, optimizer, loss scale, moving average."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
    after_step: Callable[[], None] = lambda: None  # what is done to the weights behind each step

    @classmethod
    def of(cls, config: TrainConfig, parameters: Mapping[str, torch.nn.Parameter], precision: str) -> Optimization:
        """The config's optimizer at its start; InputError where its library is missing."""
        return cls(config, parameters, new_optimizer(parameters, config), LossScale.of(precision))

    def begin_step(self, step: int) -> float:
        """Sets the learning rates of update `step` (from 0) and empties the gradients; returns the UNet's rate."""
        learning_rate = set_rates(self.optimizer, step, self.config)
        self.optimizer.zero_grad(set_to_none=True)
        return learning_rate

    def update(self, step: int, loss: torch.Tensor) -> torch.Tensor:
        """Clips the gradients' norm and steps; returns, as bool [], whether loss and norm are finite.

        Where they are not, no weight changes (a moving average goes on towards those that stay). Fused AdamW leaves a
        step out by itself, so that nobody waits for the device to know; the others, and a loss scale, ask first. The
        caller passes what came of it to `count`, in order.
        """
        import torch

        gradients = [parameter for parameter in self.parameters.values() if parameter.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(gradients, self.config.max_grad_norm)
        finite = torch.isfinite(norm) & torch.isfinite(loss)
        if self.waits_for_device:
            if not bool(finite):
                return finite
            self.optimizer.step()
        else:
            optimizer: Any = self.optimizer
            optimizer.found_inf = (~finite).float()
            optimizer.step()
        self.after_step()
        if self.config.ema:
            self._update_ema(step)
        return finite

    @property
    def waits_for_device(self) -> bool:
        """Whether a step has to know if its gradient is finite before the next one can begin."""
        return self.config.optimizer != "adamw" or self.scale.value > 1

    def count(self, finite: bool) -> None:
        """Notes whether a step was taken, for the loss scale and for runs of bad steps."""
        scale_was_too_large = self.scale.update(finite)
        if finite:
            self.bad_steps = 0
        else:
            self.bad_steps += not scale_was_too_large

    @property
    def result(self) -> dict[str, torch.Tensor]:
        """Name → the weights that the run would leave now: the averaged ones where there are any."""
        with self._averaged_by_optimizer():
            weights = {name: parameter.detach() for name, parameter in self.parameters.items()}
            if self.config.optimizer == "schedulefree":
                weights = {name: tensor.clone() for name, tensor in weights.items()}
        return self.ema or weights

    @contextmanager
    def ema_weights(self) -> Iterator[None]:
        """Inside `with`, the model has the averaged weights, where there are any."""
        with self._averaged_by_optimizer():
            self._swap()
            try:
                yield
            finally:
                self._swap()

    @contextmanager
    def _averaged_by_optimizer(self) -> Iterator[None]:
        """Inside `with`, the weights that schedule-free averages; afterwards those of before, bit by bit."""
        if self.config.optimizer != "schedulefree":
            yield
            return
        optimizer: Any = self.optimizer
        before = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        optimizer.eval()
        try:
            yield
        finally:
            optimizer.train()
            for name, tensor in before.items():
                self.parameters[name].data.copy_(tensor)

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
