"""The training objective: noise in, error out, one number a sample.

x_t = √ᾱ_t · x_0 + √(1 − ᾱ_t) · ε          SNR(t) = ᾱ_t / (1 − ᾱ_t)
target: ε, or v = √ᾱ_t · ε − √(1 − ᾱ_t) · x_0   (Salimans & Ho, arXiv 2202.00512, appendix D)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from ...core.errors import InputError

if TYPE_CHECKING:
    import torch

    from ..config import LossConfig

Prediction = Literal["epsilon", "v_prediction"]


@dataclass(frozen=True)
class Diffusion:
    """ᾱ_t of a model, float32 [T], and what its UNet predicts."""

    alphas_cumprod: torch.Tensor
    prediction: Prediction

    @classmethod
    def of(cls, scheduler_config, zero_terminal_snr: bool = False) -> Diffusion:
        """From a diffusers scheduler's config; InputError for a prediction that training knows no target of."""
        from diffusers import DDPMScheduler

        scheduler = DDPMScheduler.from_config(scheduler_config)
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

    @property
    def steps(self) -> int:
        """T, usually 1,000."""
        return len(self.alphas_cumprod)

    def add_noise(self, x: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """x_t for x, noise [B, …] and t [B]."""
        alpha = _like(self.alphas_cumprod, t, x)
        return alpha.sqrt() * x + (1 - alpha).sqrt() * noise

    def target(self, x: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """What the UNet should say."""
        if self.prediction == "epsilon":
            return noise
        alpha = _like(self.alphas_cumprod, t, x)
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * x

    def snr(self, t: torch.Tensor) -> torch.Tensor:
        """SNR(t), float32 [B]."""
        alpha = self.alphas_cumprod.to(t.device)[t]
        return alpha / (1 - alpha)

    def weight(self, t: torch.Tensor, loss: LossConfig) -> torch.Tensor:
        """What a timestep counts, float32 [B].

        min-SNR: min(SNR, γ) / SNR for ε, min(SNR, γ) / (SNR + 1) for v (Hang et al., arXiv 2303.09556, §3.4);
        debiased: 1 / √SNR, SNR at most 1,000 (Yu et al., arXiv 2310.08442, §3).
        """
        import torch

        snr = self.snr(t)
        over = snr if self.prediction == "epsilon" else snr + 1
        if loss.min_snr_gamma is not None:
            # With a terminal SNR of 0 the weight of ε tends to 1: min(0, γ) / 0.
            return torch.where(over > 0, snr.clamp(max=loss.min_snr_gamma) / over.clamp(min=1e-8), torch.ones_like(snr))
        if loss.debiased:
            return 1 / snr.clamp(min=1e-8, max=1000).sqrt()
        return torch.ones_like(snr)


def zero_terminal(alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """ᾱ_t shifted and scaled so that the last is 0: Lin et al., arXiv 2305.08891, algorithm 1."""
    root = alphas_cumprod.sqrt()
    first, last = root[0].clone(), root[-1].clone()
    return ((root - last) * first / (first - last)) ** 2


def error(
    prediction: torch.Tensor, target: torch.Tensor, huber: float | None = None, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """The error of each sample [B], in float32: squared, or pseudo-Huber 2δ(√(d² + δ²) − δ), which is the same near 0.

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
    """Noise whose channels have a mean of their own, `channel_means` [B, C] standard normal.

    Guttenberg, "Diffusion With Offset Noise" (2023): plain noise hardly ever changes how bright a whole picture is.
    """
    return noise + strength * channel_means[:, :, None, None] if strength else noise


def _like(alphas: torch.Tensor, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return alphas.to(x.device, x.dtype)[t].view(-1, *[1] * (x.dim() - 1))
