"""Pictures by the model as it is in training, in its own number format: prompts and seeds → latents → pictures.

x_T = noise of the seed → D(x; text) = D(x; "") + cfg_scale · (D(x; text) − D(x; ""))  → x_0 → VAE → picture
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...core.progress import Progress, ProgressCallback
from ..data.buckets import cut
from ..data.config import LATENT_STEP
from .denoising_loss import parts

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from ..data.sample import Sample
    from .trained_model import TrainedModel


@dataclass(frozen=True)
class SampleRequest:
    """One picture to draw, as large as `photo` is in training."""

    prompt: str
    seed: int
    photo: Sample


def draw(
    model: TrainedModel,
    requests: Sequence[SampleRequest],
    steps: int | None = None,
    drawn: Callable[[int], None] = lambda count: None,
) -> list[Image.Image]:
    """RGB pictures in the requests' order, by `steps` of the sampler; None: the config's `picture_steps`.

    `drawn` is called with how many there are, after each micro-batch. Noise comes from each request's own generator:
    the run's randomness is not touched.
    """
    import torch

    pictures: list[Image.Image] = []
    steps = steps or model.config.validation.picture_steps
    with torch.no_grad(), vae_on_device(model) as vae:
        for _, alike in itertools.groupby(requests, key=lambda request: request.photo.bucket):
            for part in parts(list(alike), model.plan.micro_batch):
                latents = _denoised(model, part, steps) / model.base.scaling_factor
                pictures += [_picture(vae.decode(latent[None].to(vae.dtype)).sample[0]) for latent in latents]
                drawn(len(pictures))
    return pictures


def reported(progress: ProgressCallback, total: int, message: str = "") -> Callable[[int], None]:
    """For `draw`: reports how many pictures there are, and at once that there are none yet."""

    def drawn(count: int) -> None:
        progress(Progress("drawing", count, total, message))

    drawn(0)
    return drawn


def _denoised(model: TrainedModel, requests: Sequence[SampleRequest], steps: int) -> torch.Tensor:
    """By DPM-Solver++ (2M), Lu et al., arXiv 2211.01095; float32 [B, 4, h, w], scaled as in training."""
    import torch

    unet, config = model.base.unet, model.config.validation
    scheduler = _scheduler(model)
    scheduler.set_timesteps(steps, device=model.device)
    latents: torch.Tensor = torch.stack([_noise(request, unet.config.in_channels) for request in requests]).to(
        model.device
    )
    latents = latents * scheduler.init_noise_sigma
    photos = [_uncropped(request.photo) for request in requests]
    prompts = [*[""] * len(requests), *(request.prompt for request in requests)]
    with model.precision():
        conditioning = model.conditioning(prompts, photos * 2)
        for t in scheduler.timesteps:
            model_input = scheduler.scale_model_input(torch.cat([latents, latents]), t)
            noise_pred_uncond, noise_pred_text = unet(model_input, t, **conditioning).sample.float().chunk(2)
            noise_pred = noise_pred_uncond + config.cfg_scale * (noise_pred_text - noise_pred_uncond)
            latents = scheduler.step(noise_pred, t, latents).prev_sample
    return latents.float()


def _scheduler(model: TrainedModel) -> Any:
    from diffusers import DPMSolverMultistepScheduler

    settings = model.base.scheduler_config
    changes: dict[str, Any] = {"algorithm_type": "dpmsolver++", "timestep_spacing": "linspace"}
    if model.config.loss.zero_terminal_snr or settings.get("rescale_betas_zero_snr"):
        changes |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}  # Lin et al., §3.3
    else:
        changes |= {"use_karras_sigmas": True}
    return DPMSolverMultistepScheduler.from_config(settings, **changes)


def _noise(request: SampleRequest, channels: int) -> torch.Tensor:
    """Standard normal [C, h, w] of the request's seed, on the CPU."""
    import torch

    bucket = request.photo.bucket
    size = (channels, bucket.height // LATENT_STEP, bucket.width // LATENT_STEP)
    return torch.randn(size, generator=torch.Generator("cpu").manual_seed(request.seed))


def _uncropped(photo: Sample) -> Sample:
    """With SDXL's size conditions of a picture that nothing was cut from, as hosts give them."""
    return replace(photo, crop=cut((photo.bucket.width, photo.bucket.height), photo.bucket), original=None)


@contextmanager
def vae_on_device(model: TrainedModel) -> Iterator[Any]:
    """Inside `with`, the VAE is beside the UNet."""
    vae = model.base.vae
    vae.to(model.device)
    try:
        yield vae
    finally:
        vae.to("cpu")


def _picture(pixels: torch.Tensor) -> Image.Image:
    """RGB of pixels [3, H, W], −1 … 1."""
    from PIL import Image

    levels = ((pixels.float() / 2 + 0.5).clamp(0, 1) * 255).round().byte()
    return Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())
