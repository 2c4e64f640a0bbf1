"""Pictures by the model as it is in training, in its own number format: prompts and seeds → latents → pictures.

x_T = noise of the seed → D(x; words) = D(x; "") + cfg_scale · (D(x; words) − D(x; ""))  → x_0 → VAE → picture
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..data.buckets import cut
from ..data.config import LATENT_STEP
from .gradient import parts

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from ..data.dataset import Sample
    from .gradient import Gradient


@dataclass(frozen=True)
class SampleRequest:
    """One picture to draw, as large as `photo` is in training."""

    prompt: str
    seed: int
    photo: Sample


def draw(gradient: Gradient, shots: Sequence[SampleRequest]) -> list[Image.Image]:
    """RGB, in the shots' order. Noise comes from each shot's own generator: the run's randomness is not touched."""
    import torch

    found: list[Image.Image] = []
    with torch.no_grad(), vae_on_device(gradient) as vae:
        for _, alike in itertools.groupby(shots, key=lambda shot: shot.photo.bucket):
            for part in parts(list(alike), gradient.plan.micro_batch):
                latents = _denoised(gradient, part) / gradient.base.scaling_factor
                found += [_picture(vae.decode(one[None].to(vae.dtype)).sample[0]) for one in latents]
    return found


def _denoised(gradient: Gradient, shots: Sequence[SampleRequest]) -> torch.Tensor:
    """By DPM-Solver++ (2M), Lu et al., arXiv 2211.01095; float32 [B, 4, h, w], scaled as in training."""
    import torch

    base, config = gradient.base, gradient.config.validation
    scheduler = _scheduler(gradient)
    scheduler.set_timesteps(config.picture_steps, device=gradient.device)
    latents = torch.stack([_noise(shot, base.unet.config.in_channels) for shot in shots]).to(gradient.device)
    latents = latents * scheduler.init_noise_sigma
    photos = [_whole(shot.photo) for shot in shots]
    with gradient.precision():
        words = gradient.words([*[""] * len(shots), *(shot.prompt for shot in shots)], photos * 2)
        for t in scheduler.timesteps:
            noisy = scheduler.scale_model_input(torch.cat([latents, latents]), t)
            free, led = base.unet(noisy, t, **words).sample.float().chunk(2)
            latents = scheduler.step(free + config.cfg_scale * (led - free), t, latents).prev_sample
    return latents.float()


def _scheduler(gradient: Gradient) -> Any:
    from diffusers import DPMSolverMultistepScheduler

    settings = gradient.base.scheduler_config
    changes: dict[str, Any] = {"algorithm_type": "dpmsolver++", "timestep_spacing": "linspace"}
    if gradient.config.loss.zero_terminal_snr or settings.get("rescale_betas_zero_snr"):
        changes |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}  # Lin et al., §3.3
    else:
        changes |= {"use_karras_sigmas": True}
    return DPMSolverMultistepScheduler.from_config(settings, **changes)


def _noise(shot: SampleRequest, channels: int) -> torch.Tensor:
    import torch

    size = (channels, shot.photo.bucket.height // LATENT_STEP, shot.photo.bucket.width // LATENT_STEP)
    return torch.randn(size, generator=torch.Generator("cpu").manual_seed(shot.seed))


def _whole(photo: Sample) -> Sample:
    """With SDXL's size conditions of a picture that nothing was cut from, as hosts give them."""
    return replace(photo, crop=cut((photo.bucket.width, photo.bucket.height), photo.bucket))


@contextmanager
def vae_on_device(gradient: Gradient) -> Iterator[Any]:
    """Inside `with`, the VAE is beside the UNet."""
    vae = gradient.base.vae
    vae.to(gradient.device)
    try:
        yield vae
    finally:
        vae.to("cpu")


def _picture(pixels: torch.Tensor) -> Image.Image:
    """[3, H, W], −1 … 1."""
    from PIL import Image

    levels = ((pixels.float() / 2 + 0.5).clamp(0, 1) * 255).round().byte()
    return Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())
