"""The model while it trains: frozen parts, adapters, caches, number format; captions and noise in, a prediction out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...checkpoints.single_file import END
from ...core.errors import InputError
from ...core.home import modiste_home
from ...core.progress import Progress, ProgressCallback
from ..config import NetworkConfig
from ..data.cache import LatentCache, TextCache, sample_latents, vae_identity
from ..data.captions import possible_captions
from ..lora.peft_layers import adapters_of
from ..model.adapters import ADAPTER, trainable
from ..model.base_model import StableDiffusionParts, open_base
from ..model.dropout import AdapterDropout
from ..model.text_encoding import encode, is_cut

if TYPE_CHECKING:
    import torch

    from ..config import TrainConfig
    from ..data.sample import Dataset, Read, Sample
    from ..data.sampler import SampleVisit
    from .memory_plan import Plan
    from .processes import Processes


MOST_TOKENS = 225  # that captions can be read by


@dataclass
class TrainedModel:
    """What a run trains, and what it needs to ask it. B is the number of pictures, h and w are the latents' sides."""

    base: StableDiffusionParts
    config: TrainConfig
    plan: Plan
    latents: LatentCache
    texts: TextCache | None  # None: the text encoders are trained, so nothing of theirs can be kept
    parameters: dict[str, torch.nn.Parameter]
    cut_captions: int = 0  # captions of which the text encoder does not see the end
    dropout: AdapterDropout = field(default_factory=lambda: AdapterDropout((), NetworkConfig(), ADAPTER))
    as_before: bool = False  # a run that an older version began: its VAE, size conditions and padding

    @property
    def device(self) -> torch.device:
        """Where the UNet is. Its own property walks through all of its modules each time."""
        device: torch.device = next(self.base.unet.parameters()).device
        return device

    def precision(self) -> AbstractContextManager[Any]:
        """Inside `with`, matrix products are in the plan's format; what they are added up in stays float32."""
        import torch

        if self.plan.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, self.plan.dtype)

    def recompute_activations(self) -> None:
        """From now on the UNet keeps few activations, and computes them again for the backward pass."""
        self.base.unet.enable_gradient_checkpointing()

    def sampled_latents(self, visit: SampleVisit) -> torch.Tensor:
        """One draw of the photo's posterior, scaled: float32 [4, h, w], on the CPU."""
        moments = self.latents.moments(visit.sample, visit.flipped)
        return sample_latents(moments, visit.generator("latents"), self.base.scaling_factor)

    def mean_latents(self, photo: Sample) -> torch.Tensor:
        """The mean of the photo's posterior, scaled: float32 [4, h, w], on the CPU."""
        return self.latents.moments(photo).mean * self.base.scaling_factor

    def masks(self, samples: Sequence[Sample], flips: Sequence[bool]) -> torch.Tensor | None:
        """Where the pictures count: float32 [B, 1, h, w], 0 … 1, on the CPU; None where no picture has a mask."""
        import torch

        if all(sample.mask is None for sample in samples):
            return None
        masks = [self.latents.mask(sample, flipped) for sample, flipped in zip(samples, flips, strict=True)]
        return torch.stack(masks)

    def conditions(self, captions: Sequence[str], samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Text states `tokens` [B, 77 · chunks, D], SDXL's `pooled` [B, P] and `sizes` [B, 6]; on the CPU, from caches.

        Of text encoders that are trained: on the device, by the encoders.
        """
        import torch

        if self.texts is None:
            conditions = dict(encode(self.base, captions, self.config.clip_skip, self.config.data.chunks))
        else:
            rows = self.texts.embeds(captions)
            conditions = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        dtype = self.base.unet.dtype
        conditions = {name: tensor.to(dtype) for name, tensor in conditions.items()}
        if "pooled" in conditions:
            # In float32: bfloat16 knows no 1,365 between 1,360 and 1,368.
            sizes = torch.tensor([sample.time_ids for sample in samples])
            conditions["sizes"] = sizes.to(dtype) if self.as_before else sizes.float()
        return conditions

    def conditioning(self, captions: Sequence[str], samples: Sequence[Sample]) -> dict[str, Any]:
        """The UNet's conditions as its keyword arguments, on the device."""
        return self.as_arguments(self.conditions(captions, samples))

    def as_arguments(self, conditions: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """`conditions` as the UNet's keyword arguments, on the device; from pinned memory without waiting for it."""
        moved = {name: tensor.to(self.device, non_blocking=True) for name, tensor in conditions.items()}
        arguments: dict[str, Any] = {"encoder_hidden_states": moved["tokens"]}
        if "pooled" in moved:
            arguments["added_cond_kwargs"] = {"text_embeds": moved["pooled"], "time_ids": moved["sizes"]}
        return arguments

    def predict(
        self,
        noisy_latents: torch.Tensor,
        timesteps: torch.Tensor,
        captions: Sequence[str],
        samples: Sequence[Sample],
        conditions: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """What the UNet says of noisy latents [B, 4, h, w] at timesteps [B]: [B, 4, h, w].

        `conditions` are those of captions and samples, where they are at hand.
        """
        with self.precision():
            arguments = self.as_arguments(conditions or self.conditions(captions, samples))
            model_pred: torch.Tensor = self.base.unet(noisy_latents, timesteps, **arguments).sample
        return model_pred


def open_model(
    config: TrainConfig,
    plan: Plan,
    data: Dataset,
    prompts: Sequence[str] | None,
    read: Read,
    processes: Processes,
    progress: ProgressCallback,
    as_before: bool = False,
) -> TrainedModel:
    """Opens the base model, caches what its frozen parts make of the data, and puts the adapters on.

    `as_before`: see TrainedModel. `prompts` are those of pictures to be drawn on the way; None: none are drawn, and the
    VAE goes once all is encoded.
    """
    progress(Progress("model", 0, 1, f"opening {config.base}"))
    base = open_base(config.base, plan.dtype, plan.device, config.prediction)
    if as_before:
        _as_older_versions(base)
    photos, share = [*data.samples, *data.held_out], slice(processes.rank, None, processes.world)
    latents = _encoded_photos(base, photos, share, config.data.flip, read, progress)
    texts, captions = None, possible_captions(photos, config.data)
    if not config.network.text_rank:
        padding = f" padded with {base.padding}" if base.padding else ""
        longer = f" of {config.data.caption_tokens} tokens" if config.data.chunks > 1 else ""
        identity = f"{base.sha256} {plan.precision}{padding}{longer}"
        texts = TextCache(_encoder(base, config), identity, config.clip_skip, keeps_new=captions is not None)
        texts.build([*(captions or []), *(prompts or [])][share], progress)
    longest, tokenizer = config.data.caption_tokens, base.tokenizers[0]
    cut = sum(is_cut(tokenizer, caption, config.data.chunks) for caption in dict.fromkeys(p.caption for p in photos))
    if cut:
        more = f"; data.caption_tokens {longest + 75} reads more" if longest < MOST_TOKENS else ""
        told = f"{cut} captions are longer than {longest} tokens: what is beyond is not seen{more}"
        progress(Progress("captions", 0, 1, told))
    processes.wait()
    base.release(plan.device, vae=prompts is None, text_encoders=texts is not None and captions is not None)
    parameters = trainable(base, config)
    adapted = list(adapters_of(base.parts).values()) if config.method == "lora" else []
    dropout = AdapterDropout(adapted, config.network, ADAPTER)
    return TrainedModel(base, config, plan, latents, texts, parameters, cut, dropout, as_before)


def _encoded_photos(
    base: StableDiffusionParts,
    photos: Sequence[Sample],
    share: slice,
    flips: bool,
    read: Read,
    progress: ProgressCallback,
) -> LatentCache:
    """The photos' posteriors by the VAE in float32; afterwards it is in the UNet's format, where that can draw."""
    latents = LatentCache(vae_identity(base.vae), read)
    latents.build(base.vae, photos[share], flips, progress)
    _vae_in_unet_format(base)
    return latents


def _vae_in_unet_format(base: StableDiffusionParts) -> None:
    """SDXL's VAE overflows in float16."""
    import torch

    if base.family != "sdxl" or base.unet.dtype != torch.float16:
        torch.nn.Module.to(base.vae, base.unet.dtype)


def _as_older_versions(base: StableDiffusionParts) -> None:
    """The VAE in the UNet's format, and texts of single files padded with their end."""
    _vae_in_unet_format(base)
    for tokenizer in base.tokenizers if base.source.is_file() else ():
        tokenizer.pad_token = END


def _encoder(
    base: StableDiffusionParts, config: TrainConfig
) -> Callable[[Sequence[str]], list[dict[str, torch.Tensor]]]:
    """Captions → each caption's `tokens` [77, D], and `pooled` [P] for SDXL; float32."""

    def encoded(captions: Sequence[str]) -> list[dict[str, torch.Tensor]]:
        if not base.text_encoders:
            raise InputError(
                f"the words of {captions[0]!r} are not in the cache any more",
                where=str(modiste_home()),
                to_try="start again: what is missing is encoded anew",
            )
        embeds = encode(base, captions, config.clip_skip, config.data.chunks)
        return [{name: tensor[index].float() for name, tensor in embeds.items()} for index in range(len(captions))]

    return encoded
