"""A step that says nothing does not wait for the device: shown on a device that has no values to wait for."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from train_samples import config, draw_photos, run_of, tiny_xl

from modiste.trainer.data.sampler import BatchSampler
from modiste.trainer.loop.denoising_loss import DenoisingLoss
from modiste.trainer.loop.gradient import Gradient
from modiste.trainer.loop.optimization import Optimization

COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class WaitingCopies(TorchDispatchMode):
    """Notes each copy between two devices that the caller waits for."""

    def __init__(self):
        super().__init__()
        self.noted, self.copies = [], 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        options = options or {}
        if function in COPIES:
            here = arguments[0].device.type
            there = torch.device(options.get("device") or here).type
            if function is COPIES[1]:
                there = arguments[1].device.type
            waits = not (options.get("non_blocking") or (function is COPIES[1] and len(arguments) > 2 and arguments[2]))
            self.copies += here != there
            if here != there and waits:
                self.noted.append((function, tuple(arguments[0].shape), here, there))
        return function(*arguments, **options)


class Descent(torch.optim.Optimizer):
    """Along the gradient: fused AdamW has no kernel for a device without values."""

    def step(self):
        for parameter in self.param_groups[0]["params"]:
            parameter.data -= self.param_groups[0]["lr"] * parameter.grad


@pytest.fixture(scope="module")
def xl(tmp_path_factory):
    return tiny_xl(tmp_path_factory.mktemp("xl") / "base")


@pytest.mark.parametrize("options", [{}, {"loss": {"noise_offset": 0.1, "input_perturbation": 0.1}, "ema": 0.9}])
def test_a_step_asks_no_value_of_the_device_and_waits_for_no_copy(options, xl, tmp_path):
    photos = draw_photos(tmp_path / "photos", 3, masks=True)
    run = run_of(config(xl, photos, **options), tmp_path / "run")
    batch = next(iter(BatchSampler(run.data.samples, 2, 0).epoch(0)))
    # On the meta device tensors have shapes and no values: whoever asks for one gets an error.
    model = replace(run.model, base=replace(run.model.base, unet=copy.deepcopy(run.model.base.unet).to("meta")))
    model.parameters = {f"unet.{name}": p for name, p in model.base.unet.named_parameters() if p.requires_grad}
    gradient = Gradient(DenoisingLoss(model, run.gradient.loss.diffusion), run.gradient.processes)
    optimizer = Descent([{"params": list(model.parameters.values()), "peak": 1e-3}], {"lr": 1e-3})
    optimization = Optimization(run.config, model.parameters, optimizer, run.optimization.scale)
    inputs = list(gradient.inputs(batch))
    with WaitingCopies() as waiting:
        for step in range(2):
            optimization.begin_step(step)
            loss = gradient(batch, inputs=inputs)
            optimization.update(step, loss)
    assert waiting.copies >= 2 * 4 and waiting.noted == []
