"""The loss of visits and of held-out photos: noise in, the model's prediction, its weighted error.

loss = w_sample · w(t) · error(model_pred, target)       a sample; `objective.py` has the formulas
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..data.captions import caption_of
from ..model.adapters import adapters_disabled
from ..seeding import generator_for
from .objective import Diffusion, error, offset_noise
from .validation import strata

if TYPE_CHECKING:
    import torch

    from ..data.sample import Sample
    from ..data.sampler import SampleVisit
    from .trained_model import TrainedModel

Item = TypeVar("Item")


@dataclass
class DenoisingLoss:
    """The objective, asked of one model. B is the number of pictures, h and w are the latents' sides."""

    model: TrainedModel
    diffusion: Diffusion

    def of_visits(self, visits: Sequence[SampleVisit]) -> torch.Tensor:
        """Each visit's weighted error, float32 [B], with gradients."""
        import torch

        config, device = self.model.config, self.model.device
        latents = torch.stack([self.model.sampled_latents(visit) for visit in visits]).to(device)
        noise = torch.stack([_normal(latents.shape[1:], visit, "noise") for visit in visits]).to(device)
        if config.loss.noise_offset:
            means = torch.stack([_normal(latents.shape[1:2], visit, "offset") for visit in visits]).to(device)
            noise = offset_noise(noise, means, config.loss.noise_offset)
        timesteps = torch.cat(
            [torch.randint(self.diffusion.steps, (1,), generator=visit.generator("timestep")) for visit in visits]
        ).to(device)
        captions = [caption_of(visit.sample, config.data, visit.random("caption")) for visit in visits]
        samples, flips = [visit.sample for visit in visits], [visit.flipped for visit in visits]
        return self._weighted(latents, noise, timesteps, captions, samples, flips)

    def of_photo(self, photo: Sample) -> float:
        """Mean weighted error over the strata of timesteps, each with noise of its own that is always the same."""
        import torch

        config, device = self.model.config, self.model.device
        steps = strata(self.diffusion.steps, config.validation.timesteps)
        latents = self.model.mean_latents(photo)
        generators = [generator_for(config.seed, 0, photo.id, step, "validation") for step in steps]
        noise = torch.stack([torch.randn(latents.shape, generator=generator) for generator in generators])
        caption, total = caption_of(photo, config.data), 0.0
        with torch.no_grad():
            for rows in parts(range(len(steps)), max(self.model.plan.micro_batch, 4)):
                count = len(rows)
                errors = self._weighted(
                    latents.expand(count, -1, -1, -1).to(device),
                    noise[list(rows)].to(device),
                    torch.tensor([steps[row] for row in rows], device=device),
                    [caption] * count,
                    [photo] * count,
                    [False] * count,
                )
                total += float(errors.sum())
        return total / len(steps)

    def _weighted(
        self,
        latents: torch.Tensor,
        noise: torch.Tensor,
        timesteps: torch.Tensor,
        captions: Sequence[str],
        samples: Sequence[Sample],
        flips: Sequence[bool],
    ) -> torch.Tensor:
        """float32 [B], for latents and noise [B, 4, h, w] and timesteps [B]."""
        import torch

        model, loss = self.model, self.model.config.loss
        noisy_latents = self.diffusion.add_noise(latents, noise, timesteps)
        target = self.diffusion.target(latents, noise, timesteps)
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
