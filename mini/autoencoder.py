"""The autoencoder: 64 px ↔ 8×8×4 latents, `diffusers.AutoencoderKL` in the shape of Stable Diffusion's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..core.progress import ProgressCallback
from .catalogue import COLUMNS, RenderedCatalogue
from .train_loop import as_tensor, fit

if TYPE_CHECKING:
    import numpy as np
    import torch
    from diffusers import AutoencoderKL

KL_WEIGHT = 3e-5  # per latent number: enough to keep the latents smooth, too little to blur
TRAIT_SHARE = 0.5  # of the second round's pictures: rare things need more than their share


def new_autoencoder() -> AutoencoderKL:
    """An untrained autoencoder of 2.7 million parameters.

    It has four norm groups: one group a channel would be instance norm, which forgets colour.
    """
    import torch
    from diffusers import AutoencoderKL

    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        sample_size=64,
        norm_num_groups=4,
        layers_per_block=1,
        block_out_channels=(16, 32, 64, 128),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    with torch.no_grad():  # almost no sampling noise at the start
        vae.quant_conv.weight[4:] = 0
        vae.quant_conv.bias[4:] = -6
    return vae.to(memory_format=torch.channels_last)


def differences(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Differences of neighbouring pixels of [..., H, W]: across [..., H, W−1] and down [..., H−1, W]."""
    return x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]


def train_autoencoder(
    data: RenderedCatalogue,
    steps: tuple[int, ...],
    seed: int,
    progress: ProgressCallback,
    *,
    batch: int = 16,
    lr: float = 2e-3,
) -> AutoencoderKL:
    """Trains in rounds of `steps`, each with warm-up and decay: first on all, then half on garments with traits."""
    import torch

    torch.manual_seed(seed)
    vae, rng = new_autoencoder(), torch.Generator().manual_seed(seed)
    special = torch.from_numpy(data.table[:, COLUMNS.index("traits")] > 0).nonzero()[:, 0]

    def loss_of(step: int, trait_share: float, edges_from: int) -> torch.Tensor:
        picks = torch.randint(len(data), (batch,), generator=rng)
        if trait_share:
            rare = torch.rand(batch, generator=rng) < trait_share
            picks = torch.where(rare, special[picks % len(special)], picks)
        x = as_tensor(data.pictures[picks.numpy(), 0]).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(x).latent_dist
            y = vae.decode(posterior.sample(rng)).sample
        y = y.float()
        edges = sum((a - b).abs().mean() for a, b in zip(differences(y), differences(x), strict=True))
        kl = 0.5 * (posterior.mean.float().square() + posterior.var.float() - 1 - posterior.logvar.float()).mean()
        tint = torch.nn.functional.avg_pool2d(y - x, 8, 4).abs().mean()  # the colour of an area outweighs its grain
        return (y - x).abs().mean() + 2 * tint + (edges if step >= edges_from else 0) + KL_WEIGHT * kl

    for place, count in enumerate(steps):
        trait_share, edges_from = (TRAIT_SHARE, 0.0) if place else (0.0, 0.15 * count)
        round_loss = partial(loss_of, trait_share=trait_share, edges_from=edges_from)
        fit("vae", round_loss, [{"params": list(vae.parameters()), "lr": lr}], count, progress)
    vae.eval()
    latents = encode(vae, data.pictures[:2000, 0])
    vae.register_to_config(scaling_factor=round(float(1 / latents.std()), 5))
    return vae


def encode(vae: AutoencoderKL, pictures: np.ndarray, batch: int = 200, *, bf16: bool = False) -> torch.Tensor:
    """The latents' means, float [N, 4, 8, 8], not scaled, of pictures, uint8 [N, 64, 64, 3].

    `bf16` is faster and less exact.
    """
    import torch

    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return torch.cat(
            [
                vae.encode(as_tensor(pictures[i : i + batch])).latent_dist.mean.float()
                for i in range(0, len(pictures), batch)
            ]
        )


def decode(vae: AutoencoderKL, latents: torch.Tensor, batch: int = 200, *, bf16: bool = False) -> torch.Tensor:
    """Pictures, float [N, 3, 64, 64] in −1…1, of latents as `encode` returns them, [N, 4, 8, 8]."""
    import torch

    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return torch.cat(
            [vae.decode(latents[i : i + batch]).sample.float().clamp(-1, 1) for i in range(0, len(latents), batch)]
        )


def reconstruct(vae: AutoencoderKL, pictures: np.ndarray) -> np.ndarray:
    """The pictures after encoding and decoding, uint8 [N, 64, 64, 3] in and out."""
    y = decode(vae, encode(vae, pictures, bf16=True), bf16=True)
    return ((y + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
