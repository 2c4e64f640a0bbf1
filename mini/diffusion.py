"""The image model: a small Stable Diffusion in diffusers' folder form, with latents of 4×8×8."""

from __future__ import annotations

import copy
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from ..core.progress import ProgressCallback
from ..trainer.loop.ema import update_ema
from ..trainer.loop.objective import min_snr_weight
from .captions import sample_caption
from .catalogue import COLUMNS, RenderedCatalogue, words_of
from .garment import GROUPS
from .tokenizer import token_ids
from .train_loop import fit

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

SCHEDULE = dict(
    beta_start=0.00085,
    beta_end=0.012,
    beta_schedule="scaled_linear",
    num_train_timesteps=1000,
    prediction_type="epsilon",
    steps_offset=1,
    clip_sample=False,
)  # Stable Diffusion 1.5's
EMPTY_SHARE = 0.10  # captions left out, for classifier-free guidance (Ho & Salimans 2022)
TRAIT_SHARE = 0.08  # pictures with an unnamed trait: the model can draw them, no word asks for them
SNR_GAMMA = 5.0  # min-SNR loss weights (Hang et al. 2023, eq. 7)
EMA_DECAY = 0.999


def new_unet(context: int) -> UNet2DConditionModel:
    """An untrained UNet of 8.7 million parameters, cross-attention at 8×8 and 4×4; `context` is the text's width."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(128, 160),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=4,
        cross_attention_dim=context,
        norm_num_groups=32,
    )


def text_encoder_from(clip: CLIPModel) -> CLIPTextModel:
    """The CLIP's text tower as a model of its own, to be trained further."""
    from transformers import CLIPTextModel

    encoder = CLIPTextModel(copy.deepcopy(clip.config.text_config))
    tower = clip.text_model.state_dict()
    keys = encoder.state_dict().keys()
    prefix = "text_model." if next(iter(keys)).startswith("text_model.") else ""
    encoder.load_state_dict({k: tower[k.removeprefix(prefix)] for k in keys if k.removeprefix(prefix) in tower})
    return encoder


def pictures_to_draw(data: RenderedCatalogue) -> np.ndarray:
    """The indices [M] of the pictures that the image model is trained on: all without traits, and a few with."""
    traits = data.table[:, COLUMNS.index("traits")]
    plain, special = np.flatnonzero(traits == 0), np.flatnonzero(traits > 0)
    return np.sort(np.concatenate([plain, special[: round(len(plain) * TRAIT_SHARE / (1 - TRAIT_SHARE))]]))


class Average:
    """Exponential moving average of several models' parameters."""

    def __init__(self, *models) -> None:
        self.models = models
        self.shadow = [[p.detach().clone() for p in m.parameters()] for m in models]

    def update(self, step: int) -> None:
        """Move the averages towards the parameters, after the update `step`."""
        for model, shadow in zip(self.models, self.shadow, strict=True):
            update_ema(shadow, model.parameters(), EMA_DECAY, step)

    def apply(self) -> None:
        """Put the averages into the models."""
        for model, shadow in zip(self.models, self.shadow, strict=True):
            for p, s in zip(model.parameters(), shadow, strict=True):
                p.data.copy_(s)


def train_diffusion(
    latents: torch.Tensor,
    table: np.ndarray,
    clip: CLIPModel,
    tokenizer: CLIPTokenizer,
    steps: int,
    seed: int,
    progress: ProgressCallback,
    *,
    batch: int = 64,
    lr: float = 1e-3,
) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """Trains UNet and text encoder; `latents` float [N, 4, 8, 8], scaled to variance 1; `table` [N, columns].

    The text encoder begins as the tagger's and learns at a quarter of the learning rate.
    """
    import torch
    from diffusers import DDPMScheduler

    torch.manual_seed(seed)
    text_encoder = text_encoder_from(clip).train()
    unet, noise_schedule = new_unet(text_encoder.config.hidden_size), DDPMScheduler(**SCHEDULE)
    alphas_cumprod = noise_schedule.alphas_cumprod
    snr = alphas_cumprod / (1 - alphas_cumprod)
    rng, chance = torch.Generator().manual_seed(seed), Random(seed)
    words = [words_of(r) for r in table]
    average = Average(unet, text_encoder)

    def loss_of(step: int) -> torch.Tensor:
        picks = torch.randint(len(latents), (batch,), generator=rng)
        texts = [
            "" if chance.random() < EMPTY_SHARE else sample_caption(words[i], chance, bool(table[i, len(GROUPS)])).text
            for i in picks.tolist()
        ]
        clean = latents[picks]
        # one timestep from each of `batch` equal slices: less variance than independent draws
        timesteps = ((torch.arange(batch) + torch.rand(batch, generator=rng)) * (1000 / batch)).long().clamp(max=999)
        noise = torch.randn(clean.shape, generator=rng)
        noisy_latents = noise_schedule.add_noise(clean, noise, timesteps)
        with torch.autocast("cpu", torch.bfloat16):
            encoder_hidden_states = text_encoder(token_ids(tokenizer, texts)).last_hidden_state
            noise_pred = unet(noisy_latents, timesteps, encoder_hidden_states).sample
        weight = min_snr_weight(snr[timesteps], SNR_GAMMA, "epsilon")
        return (weight * (noise_pred.float() - noise).square().mean((1, 2, 3))).mean()

    fit(
        "unet",
        loss_of,
        [
            {"params": list(unet.parameters()), "lr": lr},
            {"params": list(text_encoder.parameters()), "lr": lr / 4},
        ],
        steps,
        progress,
        warm_up=150,
        after_step=average.update,
    )
    average.apply()
    return unet.eval(), text_encoder.eval()


def pipeline(
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
) -> StableDiffusionPipeline:
    """The models as one diffusers pipeline, with Stable Diffusion 1.5's default scheduler."""
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    return StableDiffusionPipeline(
        vae=vae,
        unet=unet,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=PNDMScheduler(
            skip_prk_steps=True,
            set_alpha_to_one=False,
            **{k: v for k, v in SCHEDULE.items() if k != "clip_sample"},
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def draw(
    pipe: StableDiffusionPipeline,
    prompts: list[str],
    *,
    seed: int = 0,
    steps: int = 16,
    cfg_scale: float = 4.5,
    negative_prompt: str = "",
    batch: int = 100,
) -> np.ndarray:
    """One picture for each prompt, uint8 [N, 64, 64, 3]: DPM++ 2M, seed `seed + i` for picture i."""
    import torch
    from diffusers import DPMSolverMultistepScheduler

    pipe.scheduler = DPMSolverMultistepScheduler(**{k: v for k, v in SCHEDULE.items() if k != "clip_sample"})
    pipe.set_progress_bar_config(disable=True)
    pictures = []
    for start in range(0, len(prompts), batch):
        part = prompts[start : start + batch]
        generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        images = pipe(
            part,
            negative_prompt=[negative_prompt] * len(part),
            num_inference_steps=steps,
            guidance_scale=cfg_scale,
            height=64,
            width=64,
            generator=generators,
            output_type="np",
        ).images
        pictures.append((images * 255).round().astype(np.uint8))
    return np.concatenate(pictures)
