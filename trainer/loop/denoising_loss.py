"""The loss of visits and of held-out photos: noise in, the model's prediction, its weighted error.

loss = w_sample · w(t) · error(model_pred, target)       a sample; `objective.py` has the formulas
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from ..data.captions import caption_of
from ..model.adapters import adapters_disabled
from ..seeding import generator_for
from .objective import Diffusion, error, multires_noise, offset_noise, sampled_timestep, timestep_range
from .validation import strata

if TYPE_CHECKING:
    import torch

    from ..data.sample import Sample
    from ..data.sampler import SampleVisit
    from .trained_model import TrainedModel

Item = TypeVar("Item")


@dataclass(frozen=True)
class VisitInputs:
    """What visits bring to the UNet: float32 [B, 4, h, w] each, and int64 [B].

    `perturbed` is the noise that is added to the latents; the target is of `noise` itself, which is the same but for
    `input_perturbation`.
    """

    visits: tuple[SampleVisit, ...]
    latents: torch.Tensor
    noise: torch.Tensor
    perturbed: torch.Tensor
    timesteps: torch.Tensor

    def to(self, device: torch.device) -> VisitInputs:
        """On a device; from pinned memory without waiting for it."""
        alike = self.perturbed is self.noise
        noise = self.noise.to(device, non_blocking=True)
        return replace(
            self,
            latents=self.latents.to(device, non_blocking=True),
            noise=noise,
            perturbed=noise if alike else self.perturbed.to(device, non_blocking=True),
            timesteps=self.timesteps.to(device, non_blocking=True),
        )

    def pinned(self) -> VisitInputs:
        """In memory that a card copies from by itself."""
        noise = self.noise.pin_memory()
        perturbed = noise if self.perturbed is self.noise else self.perturbed.pin_memory()
        return replace(
            self,
            latents=self.latents.pin_memory(),
            noise=noise,
            perturbed=perturbed,
            timesteps=self.timesteps.pin_memory(),
        )


@dataclass
class DenoisingLoss:
    """The objective, asked of one model. B is the number of pictures, h and w are the latents' sides."""

    model: TrainedModel
    diffusion: Diffusion

    def of_visits(self, visits: Sequence[SampleVisit]) -> torch.Tensor:
        """Each visit's weighted error, float32 [B], with gradients."""
        return self.of_inputs(self.inputs(visits))

    def inputs(self, visits: Sequence[SampleVisit]) -> VisitInputs:
        """Everything of visits that the UNet does not compute, on the CPU: drawn from each visit's own generators."""
        import torch

        loss = self.model.config.loss
        latents = torch.stack([self.model.sampled_latents(visit) for visit in visits])
        shape = latents.shape[1:]
        noise = torch.stack([_normal(shape, visit, "noise") for visit in visits])
        if loss.multires_noise:
            noise = torch.stack([self._multires(one, visit) for one, visit in zip(noise, visits, strict=True)])
        if loss.noise_offset:
            means = torch.stack([_normal(shape[:1], visit, "offset") for visit in visits])
            noise = offset_noise(noise, means, loss.noise_offset)
        perturbed = noise
        if loss.input_perturbation:
            further = torch.stack([_normal(shape, visit, "perturbation") for visit in visits])
            perturbed = noise + loss.input_perturbation * further
        steps = self.diffusion.steps
        timesteps = torch.cat([sampled_timestep(steps, loss, visit.generator("timestep")) for visit in visits])
        inputs = VisitInputs(tuple(visits), latents, noise, perturbed, timesteps)
        return inputs.pinned() if self.model.device.type == "cuda" else inputs

    def of_inputs(self, inputs: VisitInputs) -> torch.Tensor:
        """Each visit's weighted error, float32 [B], with gradients; the tensors go to the device without a wait."""
        visits, config, inputs = inputs.visits, self.model.config, inputs.to(self.model.device)
        captions = [caption_of(visit.sample, config.data, visit.random("caption")) for visit in visits]
        samples, flips = [visit.sample for visit in visits], [visit.flipped for visit in visits]
        return self._weighted(inputs, captions, samples, flips)

    def _multires(self, noise: torch.Tensor, visit: SampleVisit) -> torch.Tensor:
        import torch

        loss, (channels, height, width) = self.model.config.loss, noise.shape
        generator, scales = visit.generator("multires"), []
        for power in range(1, loss.multires_noise + 1):
            size = (channels, max(1, height >> power), max(1, width >> power))
            scales.append(torch.randn(size, generator=generator))
        return multires_noise(noise, scales, loss.multires_discount)

    def of_photo(self, photo: Sample) -> float:
        """Mean weighted error over the strata of timesteps, each with noise of its own that is always the same."""
        import torch

        config, device = self.model.config, self.model.device
        steps = strata(*timestep_range(self.diffusion.steps, config.loss), config.validation.timesteps)
        latents = self.model.mean_latents(photo)
        generators = [generator_for(config.seed, 0, photo.id, step, "validation") for step in steps]
        noise = torch.stack([torch.randn(latents.shape, generator=generator) for generator in generators])
        caption, total = caption_of(photo, config.data), 0.0
        with torch.no_grad():
            for rows in parts(range(len(steps)), max(self.model.plan.micro_batch, 4)):
                count = len(rows)
                part = noise[list(rows)]
                timesteps = torch.tensor([steps[row] for row in rows])
                inputs = VisitInputs((), latents.expand(count, -1, -1, -1), part, part, timesteps).to(device)
                errors = self._weighted(inputs, [caption] * count, [photo] * count, [False] * count)
                total += float(errors.sum())
        return total / len(steps)

    def _weighted(
        self, inputs: VisitInputs, captions: Sequence[str], samples: Sequence[Sample], flips: Sequence[bool]
    ) -> torch.Tensor:
        """float32 [B], for inputs on the device."""
        import torch

        model, loss, timesteps = self.model, self.model.config.loss, inputs.timesteps
        noisy_latents = self.diffusion.add_noise(inputs.latents, inputs.perturbed, timesteps)
        target = self.diffusion.target(inputs.latents, inputs.noise, timesteps)
        model_pred = model.predict(noisy_latents, timesteps, captions, samples)
        masks = model.masks(samples, flips)
        errors = error(model_pred, target, loss.huber, masks)
        if masks is not None and loss.background:
            with torch.no_grad(), adapters_disabled(model.base):  # text encoders' adapters too, where they are trained
                base_pred = model.predict(noisy_latents, timesteps, captions, samples)
            errors = errors + loss.background * error(model_pred, base_pred, loss.huber, 1 - masks)
        weights = torch.tensor([sample.weight for sample in samples], device=errors.device)
        return errors * weights * self.diffusion.weight(timesteps, loss)


def _normal(shape: Sequence[int], visit: SampleVisit, purpose: str) -> torch.Tensor:
    """Standard normal, drawn on the CPU: the same numbers for every device."""
    import torch

    return torch.randn(tuple(shape), generator=visit.generator(purpose))


def parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """`size` at a time; the last may be fewer."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
