"""One batch → one gradient, exact whatever it is cut into: micro-batches, processes, uneven ends.

    loss = Σ over the batch of (weight · error) / pictures of the whole batch

Means of means would be another gradient wherever parts differ in size (measured: 25 % for 5 and 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..data.cache import LatentCache, TextCache, sample_latents
from ..data.captions import caption_of
from ..data.sampler import Batch, SampleVisit, shard
from ..model.adapters import adapters_disabled
from ..model.text_encoding import encode
from ..seeding import generator_for
from .objective import Diffusion, error, offset_noise
from .optimizers import LossScale
from .processes import Processes
from .validation import strata

if TYPE_CHECKING:
    import torch

    from ..config import TrainConfig
    from ..data.dataset import Sample
    from ..model.base_model import StableDiffusionParts
    from .memory_plan import Plan


@dataclass
class Gradient:
    """Computes losses of visits, and adds their gradients up."""

    base: StableDiffusionParts
    config: TrainConfig
    plan: Plan
    diffusion: Diffusion
    latents: LatentCache
    texts: TextCache | None  # None: the text encoders are trained, so nothing of theirs can be kept
    parameters: Mapping[str, torch.nn.Parameter]
    processes: Processes
    scale: LossScale = field(default_factory=LossScale)

    def __call__(self, batch: Batch) -> float:
        """Leaves the batch's gradient in the parameters; returns its loss."""
        import torch

        part, count = shard(batch, self.processes.rank, self.processes.world).visits, len(batch.visits)
        total = torch.zeros((), device=self.device)
        for visits in parts(part, self.plan.micro_batch):
            loss = self.losses(visits).sum() / count
            (loss * self.scale.value).backward()
            total += loss.detach()
        if self.processes.world > 1:
            self._add_up()
        if self.scale.value != 1:
            for parameter in self.parameters.values():
                if parameter.grad is not None:
                    parameter.grad /= self.scale.value
        return float(self.processes.total(total))

    @property
    def device(self) -> torch.device:
        """Where the UNet is."""
        return self.base.unet.device

    def losses(self, visits: Sequence[SampleVisit]) -> torch.Tensor:
        """Each visit's weighted error, float32 [B]."""
        import torch

        samples = [visit.sample for visit in visits]
        clean = torch.stack([self._latents(visit) for visit in visits]).to(self.device)
        noise = torch.stack([_normal(one, visit, "noise") for one, visit in zip(clean, visits, strict=True)])
        if self.config.loss.noise_offset:
            means = torch.stack(
                [_normal(one[:, 0, 0], visit, "offset") for one, visit in zip(clean, visits, strict=True)]
            )
            noise = offset_noise(noise, means, self.config.loss.noise_offset)
        t = torch.cat([torch.randint(self.diffusion.steps, (1,), generator=v.generator("timestep")) for v in visits])
        captions = [caption_of(visit.sample, self.config.data, visit.random("caption")) for visit in visits]
        flips = [visit.flipped for visit in visits]
        return self._errors(samples, flips, captions, clean, noise.to(self.device), t.to(self.device))

    def anyone(self, asks: bool) -> bool:
        """Whether one process or more asks: all of them get the same answer."""
        import torch

        return bool(self.processes.total(torch.tensor(float(asks), device=self.device)))

    def held_out_losses(self, photos: Sequence[Sample]) -> tuple[float, ...]:
        """Of each photo; processes share the work, and all see the same numbers."""
        import torch

        found = torch.zeros(len(photos), device=self.device)
        for index in range(self.processes.rank, len(photos), self.processes.world):
            found[index] = self.held_out_loss(photos[index])
        return tuple(self.processes.total(found).tolist())

    def held_out_loss(self, photo: Sample) -> float:
        """Mean weighted error over the strata of timesteps, each with noise of its own that is always the same."""
        import torch

        steps = strata(self.diffusion.steps, self.config.validation.timesteps)
        clean = (self.latents.moments(photo).mean * self.base.scaling_factor).expand(len(steps), -1, -1, -1)
        noise = torch.stack(
            [
                torch.randn(clean.shape[1:], generator=generator_for(self.config.seed, 0, photo.id, t, "validation"))
                for t in steps
            ]
        )
        captions = [caption_of(photo, self.config.data)] * len(steps)
        total = 0.0
        with torch.no_grad():
            for at in parts(range(len(steps)), max(self.plan.micro_batch, 4)):
                rows = list(at)
                total += float(
                    self._errors(
                        [photo] * len(rows),
                        [False] * len(rows),
                        captions[: len(rows)],
                        clean[rows].to(self.device),
                        noise[rows].to(self.device),
                        torch.tensor([steps[row] for row in rows], device=self.device),
                    ).sum()
                )
        return total / len(steps)

    def _errors(
        self,
        samples: Sequence[Sample],
        flips: Sequence[bool],
        captions: Sequence[str],
        clean: torch.Tensor,
        noise: torch.Tensor,
        t: torch.Tensor,
    ) -> torch.Tensor:
        import torch

        noisy, target = self.diffusion.add_noise(clean, noise, t), self.diffusion.target(clean, noise, t)
        with self.precision():
            words = self.words(captions, samples)
            predicted = self.base.unet(noisy, t, **words).sample
        masks = self._masks(samples, flips)
        found = error(predicted, target, self.config.loss.huber, masks)
        if masks is not None and self.config.loss.background:
            with torch.no_grad(), adapters_disabled(self.base), self.precision():
                words = self.words(captions, samples)  # the base's too, where text encoders are trained
                before = self.base.unet(noisy, t, **words).sample
            found = found + self.config.loss.background * error(predicted, before, self.config.loss.huber, 1 - masks)
        weights = torch.tensor([sample.weight for sample in samples], device=found.device)
        return found * weights * self.diffusion.weight(t, self.config.loss)

    def precision(self) -> Any:
        """Matrix products in the plan's format; what they are added up in stays float32."""
        import torch

        if self.plan.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, self.plan.dtype)

    def _latents(self, visit: SampleVisit) -> torch.Tensor:
        moments = self.latents.moments(visit.sample, visit.flipped)
        return sample_latents(moments, visit.generator("latents"), self.base.scaling_factor)

    def words(self, captions: Sequence[str], samples: Sequence[Sample]) -> dict[str, Any]:
        """The UNet's conditions."""
        import torch

        if self.texts is None:
            embeds = encode(self.base, captions, self.config.clip_skip)
        else:
            rows = self.texts.embeds(captions)
            embeds = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        embeds = {name: tensor.to(self.device, self.base.unet.dtype) for name, tensor in embeds.items()}
        words: dict[str, Any] = {"encoder_hidden_states": embeds["tokens"]}
        if "pooled" in embeds:
            sizes = torch.tensor([sample.crop.time_ids for sample in samples], device=self.device)
            words["added_cond_kwargs"] = {"text_embeds": embeds["pooled"], "time_ids": sizes.to(self.base.unet.dtype)}
        return words

    def _masks(self, samples: Sequence[Sample], flips: Sequence[bool]) -> torch.Tensor | None:
        """[B, 1, h, w], or None where no picture has one."""
        import torch

        if all(sample.mask is None for sample in samples):
            return None
        masks = [self.latents.mask(sample, flipped) for sample, flipped in zip(samples, flips, strict=True)]
        return torch.stack(masks).to(self.device)

    def _add_up(self) -> None:
        """Each gradient becomes the sum over processes, in one message."""
        import torch

        held = list(self.parameters.values())
        flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in held])
        flat = self.processes.total(flat)
        for p, part in zip(held, flat.split([p.numel() for p in held]), strict=True):
            p.grad = part.view_as(p).clone()


def _normal(like: torch.Tensor, visit: SampleVisit, purpose: str) -> torch.Tensor:
    """Standard normal in the shape of `like`, drawn on the CPU."""
    import torch

    return torch.randn(like.shape, generator=visit.generator(purpose)).to(like.device)


def parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """`size` at a time; the last may be fewer."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
