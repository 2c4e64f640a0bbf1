"""The loss of visits and of held-out photos: noise in, the model's prediction, its weighted error.

loss = w_sample · w(t) · error(model_pred, target)       a sample; `objective.py` has the formulas
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

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


# Latents, noise, the noise that is added to them, and timesteps: as in VisitInputs.
Noised: TypeAlias = "tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]"


@dataclass(frozen=True)
class VisitInputs:
    """What visits bring to the UNet and the loss: latents and noise float32 [B, 4, h, w] each, timesteps int64 [B].

    `perturbed` is the noise that is added to the latents; the target is of `noise` itself, which is the same but for
    `input_perturbation`.
    """

    visits: tuple[SampleVisit, ...]
    captions: tuple[str, ...]
    latents: torch.Tensor
    noise: torch.Tensor
    perturbed: torch.Tensor
    timesteps: torch.Tensor
    weights: torch.Tensor  # of each picture, float32 [B]
    masks: torch.Tensor | None  # float32 [B, 1, h, w]
    conditions: Mapping[str, torch.Tensor]  # see TrainedModel.conditions; empty where text encoders are trained

    def to(self, device: torch.device) -> VisitInputs:
        """On a device; from pinned memory without waiting for it."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> VisitInputs:
        """In memory that a card copies from by itself."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> VisitInputs:
        noise = change(self.noise)
        return replace(
            self,
            latents=change(self.latents),
            noise=noise,
            perturbed=noise if self.perturbed is self.noise else change(self.perturbed),
            timesteps=change(self.timesteps),
            weights=change(self.weights),
            masks=None if self.masks is None else change(self.masks),
            conditions={name: change(tensor) for name, tensor in self.conditions.items()},
        )


@dataclass
class DenoisingLoss:
    """The objective, asked of one model. B is the number of pictures, h and w are the latents' sides."""

    model: TrainedModel
    diffusion: Diffusion

    def __post_init__(self) -> None:
        self.diffusion = self.diffusion.on(self.model.device)  # once: at each step it would be waited for

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
        data, flips = self.model.config.data, [visit.flipped for visit in visits]
        captions = [caption_of(visit.sample, data, visit.random("caption")) for visit in visits]
        samples = [visit.sample for visit in visits]
        inputs = self._inputs(captions, samples, flips, (latents, noise, perturbed, timesteps))
        inputs = replace(inputs, visits=tuple(visits))
        return inputs.pinned() if self.model.device.type == "cuda" else inputs

    def _inputs(
        self, captions: Sequence[str], samples: Sequence[Sample], flips: Sequence[bool], noised: Noised
    ) -> VisitInputs:
        """Latents and noise with what else belongs to the pictures."""
        import torch

        weights, masks = torch.tensor([sample.weight for sample in samples]), self.model.masks(samples, flips)
        with self.model.precision():  # a caption that is new is encoded now
            conditions = self.model.conditions(captions, samples) if self.model.texts is not None else {}
        latents, noise, perturbed, timesteps = noised
        return VisitInputs((), tuple(captions), latents, noise, perturbed, timesteps, weights, masks, conditions)

    def of_inputs(self, inputs: VisitInputs) -> torch.Tensor:
        """Each visit's weighted error, float32 [B], with gradients; the tensors go to the device without a wait."""
        return self._weighted(inputs.to(self.model.device), [visit.sample for visit in inputs.visits])

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
                noised, photos = (latents.expand(count, -1, -1, -1), part, part, timesteps), [photo] * count
                inputs = self._inputs([caption] * count, photos, [False] * count, noised)
                errors = self._weighted(inputs.to(device), photos)
                total += float(errors.sum())
        return total / len(steps)

    def _weighted(self, inputs: VisitInputs, samples: Sequence[Sample]) -> torch.Tensor:
        """float32 [B], for inputs on the device."""
        import torch

        model, loss, timesteps = self.model, self.model.config.loss, inputs.timesteps
        noisy_latents = self.diffusion.add_noise(inputs.latents, inputs.perturbed, timesteps)
        target = self.diffusion.target(inputs.latents, inputs.noise, timesteps)
        model_pred = model.predict(noisy_latents, timesteps, inputs.captions, samples, inputs.conditions)
        errors = error(model_pred, target, loss.huber, inputs.masks)
        if inputs.masks is not None and loss.background:
            with torch.no_grad(), adapters_disabled(model.base):  # text encoders' adapters too, where they are trained
                base_pred = model.predict(noisy_latents, timesteps, inputs.captions, samples, inputs.conditions)
            errors = errors + loss.background * error(model_pred, base_pred, loss.huber, 1 - inputs.masks)
        return errors * inputs.weights * self.diffusion.weight(timesteps, loss)


def _normal(shape: Sequence[int], visit: SampleVisit, purpose: str) -> torch.Tensor:
    """Standard normal, drawn on the CPU: the same numbers for every device."""
    import torch

    return torch.randn(tuple(shape), generator=visit.generator(purpose))


def parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """`size` at a time; the last may be fewer."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
