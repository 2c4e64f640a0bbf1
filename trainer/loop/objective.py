"""The training objective: noise in, error out, one number a sample.

x_t = √ᾱ_t · x_0 + √(1 − ᾱ_t) · ε          SNR(t) = ᾱ_t / (1 − ᾱ_t)
target: ε, or v = √ᾱ_t · ε − √(1 − ᾱ_t) · x_0   (Salimans & Ho, arXiv 2202.00512, appendix D)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

from ...checkpoints.families.configs import Prediction
from ...core.errors import InputError

if TYPE_CHECKING:
    import torch

    from ..config import LossConfig


@dataclass(frozen=True)
class Diffusion:
    """ᾱ_t of a model, float32 [T], and what its UNet predicts."""

    alphas_cumprod: torch.Tensor
    prediction: Prediction
    debiased_as_epsilon: bool = False  # the weight of ε for v too, as runs were begun with once

    @classmethod
    def of(cls, scheduler_config: Mapping[str, Any], zero_terminal_snr: bool = False) -> Diffusion:
        """From a diffusers scheduler's config; InputError for a prediction that training knows no target of."""
        from diffusers import DDPMScheduler

        scheduler: Any = DDPMScheduler.from_config(scheduler_config)
        alphas, prediction = scheduler.alphas_cumprod.float(), scheduler.config.prediction_type
        if prediction not in get_args(Prediction):
            known = " and ".join(get_args(Prediction))
            raise InputError(f"the model predicts {prediction}: those of {known} can be trained")
        if zero_terminal_snr and prediction == "epsilon":
            raise InputError(
                "zero_terminal_snr is for v_prediction: of pure noise, a model that predicts epsilon learns nothing",
                to_try="leave it out, or train another base model",
            )
        return cls(zero_terminal(alphas) if zero_terminal_snr else alphas, prediction)

    def on(self, device: torch.device) -> Diffusion:
        """The same, with ᾱ_t on a device."""
        return replace(self, alphas_cumprod=self.alphas_cumprod.to(device))

    @property
    def steps(self) -> int:
        """T, usually 1,000."""
        return len(self.alphas_cumprod)

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """The noisy latents x_t [B, C, H, W], for latents and noise of that shape and timesteps [B]."""
        alpha = _like(self.alphas_cumprod, timesteps, latents)
        return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise

    def target(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """The regression target [B, C, H, W]: ε, or v by the formula above."""
        if self.prediction == "epsilon":
            return noise
        alpha = _like(self.alphas_cumprod, timesteps, latents)
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * latents

    def snr(self, timesteps: torch.Tensor) -> torch.Tensor:
        """SNR(t) of timesteps [B], float32 [B]."""
        alpha = self.alphas_cumprod.to(timesteps.device)[timesteps]
        return alpha / (1 - alpha)

    def weight(self, timesteps: torch.Tensor, loss: LossConfig) -> torch.Tensor:
        """The factor w(t) of the loss at timesteps [B], float32 [B].

        min-SNR: see `min_snr_weight`; debiased: see `debiased_weight`.
        """
        import torch

        snr = self.snr(timesteps)
        if loss.min_snr_gamma is not None:
            return min_snr_weight(snr, loss.min_snr_gamma, self.prediction)
        if loss.debiased:
            return debiased_weight(snr, "epsilon" if self.debiased_as_epsilon else self.prediction)
        return torch.ones_like(snr)

    def notices(self, loss: LossConfig) -> list[str]:
        """What a weighting does that its name does not say, for people."""
        if self.alphas_cumprod[-1] > 0 or not (loss.debiased or loss.min_snr_gamma is not None):
            return []
        name = "debiased" if loss.debiased else "min_snr_gamma"
        return [
            f"{name} gives the last timestep, which is pure noise, a weight of 0: zero_terminal_snr then teaches "
            "nothing there; min_snr_gamma null and debiased false weigh every timestep alike"
        ]


def zero_terminal(alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """ᾱ_t, float32 [T], shifted and scaled so that the last is 0: Lin et al., arXiv 2305.08891, algorithm 1."""
    root = alphas_cumprod.sqrt()
    first, last = root[0].clone(), root[-1].clone()
    return ((root - last) * first / (first - last)) ** 2


def debiased_weight(snr: torch.Tensor, prediction: Prediction) -> torch.Tensor:
    """1 / √SNR for ε, SNR at most 1,000 (Yu et al., arXiv 2310.08442, §3); √SNR / (SNR + 1) for v; shape of `snr`.

    An error of v is one of ε times √((SNR + 1) / SNR), so the second is the first by SNR / (SNR + 1).
    """
    snr = snr.clamp(max=1000)
    return 1 / snr.clamp(min=1e-8).sqrt() if prediction == "epsilon" else snr.sqrt() / (snr + 1)


def min_snr_weight(snr: torch.Tensor, gamma: float, prediction: Prediction) -> torch.Tensor:
    """min(SNR, γ) / SNR for ε, min(SNR, γ) / (SNR + 1) for v: Hang et al., arXiv 2303.09556, §3.4; the shape of `snr`.

    With an SNR of 0 the weight of ε is 1, its limit.
    """
    import torch

    divisor = snr if prediction == "epsilon" else snr + 1
    return torch.where(divisor > 0, snr.clamp(max=gamma) / divisor.clamp(min=1e-8), torch.ones_like(snr))


def error(
    prediction: torch.Tensor, target: torch.Tensor, huber: float | None = None, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """The error of each sample, float32 [B], for [B, C, H, W]: squared, or pseudo-Huber 2δ(√(d² + δ²) − δ).

    The two are the same near 0.

    With a mask [B, 1, H, W] of weights 0 … 1 the mean goes over what it covers, Σ(l·m) / Σm: a small garment counts as
    much as a large one.
    """
    difference = prediction.float() - target.float()
    if huber is None:
        each = difference**2
    else:
        each = 2 * huber * ((difference**2 + huber**2).sqrt() - huber)
    if mask is None:
        return each.flatten(1).mean(1)
    covered = mask.float().expand_as(each).flatten(1)
    return (each.flatten(1) * covered).sum(1) / covered.sum(1).clamp(min=1e-6)


def offset_noise(noise: torch.Tensor, channel_means: torch.Tensor, strength: float) -> torch.Tensor:
    """Noise [B, C, H, W] whose channels have a mean of their own, `channel_means` [B, C] standard normal.

    Guttenberg, "Diffusion With Offset Noise" (2023): plain noise hardly ever changes how bright a whole picture is.
    """
    return noise + strength * channel_means[:, :, None, None] if strength else noise


def multires_noise(noise: torch.Tensor, coarser: Sequence[torch.Tensor], discount: float) -> torch.Tensor:
    """Noise [C, H, W] with coarser scales in it, each [C, h, w] standard normal; its standard deviation is 1 again.

    The k-th scale, drawn larger by its two-fold power, counts discountᵏ: Whitaker, "Multi-Resolution Noise for
    Diffusion Model Training" (2023). Like offset noise, for pictures that are dark or bright as a whole.
    """
    import torch

    total = noise.clone()
    for power, scale in enumerate(coarser, 1):
        larger = torch.nn.functional.interpolate(scale[None], noise.shape[-2:], mode="bilinear", align_corners=False)
        total += discount**power * larger[0]
    return total / total.std()


def sampled_timestep(steps: int, loss: LossConfig, generator: torch.Generator) -> torch.Tensor:
    """One timestep as int64 [1], of `loss.timesteps` (all of 0 … steps − 1 without them).

    uniform; sigmoid: of a standard normal, so that the middle comes more often; shift: s·u / (1 + (s − 1)·u) of a
    uniform u, so that noisy ones do (Esser et al., arXiv 2403.03206, §3.1 and §5.3.2).
    """
    import torch

    first, last = timestep_range(steps, loss)
    if loss.timestep_sampling == "uniform":
        return torch.randint(first, last + 1, (1,), generator=generator)
    if loss.timestep_sampling == "sigmoid":
        share = torch.randn(1, generator=generator).sigmoid()
    else:
        uniform, shift = torch.rand(1, generator=generator), loss.timestep_shift
        share = shift * uniform / (1 + (shift - 1) * uniform)
    return (first + share * (last + 1 - first)).long().clamp(max=last)


def timestep_range(steps: int, loss: LossConfig) -> tuple[int, int]:
    """First and last timestep that are trained; InputError for a range beyond the model's."""
    first, last = loss.timesteps or (0, steps - 1)
    if last >= steps:
        raise InputError(
            f"loss.timesteps ends at {last}, the model's at {steps - 1}", to_try=f"0 to {steps - 1} or a part of it"
        )
    return first, last


def _like(alphas: torch.Tensor, timesteps: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
    """ᾱ of each timestep as [B, 1, 1, 1]."""
    return alphas.to(latents.device, latents.dtype)[timesteps].view(-1, *[1] * (latents.dim() - 1))
