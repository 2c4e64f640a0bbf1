"""The model that training starts from: opened from a folder, a hub id or a host's single file, and held still."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...checkpoints.families.configs import Family, family_of_unet
from ...checkpoints.single_file import END, open_pipeline, open_vae
from ...core.errors import InputError, MissingWeights
from ...core.files import sha256_of
from ...core.torchvision_ops import patch_torchvision_ops
from ...core.weights import how_to_get, hub_cache, locate

if TYPE_CHECKING:
    import torch

HASH_DIGITS = 16
DIGESTED = (".safetensors", ".json", ".txt")


@dataclass
class StableDiffusionParts:
    """The parts of a Stable Diffusion model; all frozen until an adapter or a full fine-tune says otherwise."""

    name: str
    family: Family
    sha256: str  # of its weights: what a checkpoint of another base is refused by
    unet: Any
    vae: Any  # None once it was released
    tokenizers: list[Any]
    text_encoders: list[Any]  # empty once they were released
    scheduler_config: Any
    source: Path
    scaling_factor: float  # latents are the VAE's times this

    @property
    def padding(self) -> str | None:
        """What fills texts up to 77 tokens, where that was another token in versions before; None elsewhere.

        Single files of SD 2 and XL were padded with the end of text: what is cached or half trained by that is another
        text encoder's.
        """
        pads = [str(tokenizer.pad_token) for tokenizer in self.tokenizers]
        return " ".join(pads) if self.source.is_file() and any(pad != END for pad in pads) else None

    @property
    def parts(self) -> dict[str, Any]:
        """What can carry an adapter, by kohya's part names."""
        names = ("text_encoder", "text_encoder_2")
        return {"unet": self.unet, **dict(zip(names, self.text_encoders, strict=False))}

    def release(self, device: str, *, vae: bool, text_encoders: bool) -> None:
        """Frees what is not needed any more, then brings the UNet to `device`; a VAE that stays waits on the CPU."""
        import torch

        self.vae = None if vae else self.vae.to("cpu")
        if text_encoders:
            self.text_encoders = []
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.unet.to(device)


def find_base(base: str) -> Path:
    """Where `base` lies; MissingWeights where this machine does not have it."""
    source = locate(base)
    if source is None:
        raise MissingWeights(
            f"the base model {base} is not on this machine",
            where=f"looked in {hub_cache()}",
            to_try=f"{how_to_get(base)}, or --preset mini, which needs no download",
        )
    return source


def open_base(base: str, dtype: torch.dtype, device: str, prediction: str | None = None) -> StableDiffusionParts:
    """Reads `base` in `dtype`, never in the file's own; MissingWeights where this machine does not have it.

    `prediction` stands in place of what its files say the UNet predicts.

    The VAE comes in float32: bfloat16 rounds its latents by more than their posterior's own spread, and SDXL's
    overflows in float16.

    The UNet stays on the CPU until `release`: what VAE and text encoders need while they encode is then free on a card.
    """
    import torch

    patch_torchvision_ops()
    source = find_base(base)
    pipeline = open_pipeline(source, dtype, prediction)
    takes, gives = pipeline.unet.config.in_channels, pipeline.vae.config.latent_channels
    if takes != gives:
        raise InputError(
            f"the UNet takes {takes} channels and the VAE gives {gives}: an inpainting or depth model can't be trained",
            where=str(source),
            to_try="its text-to-image model",
        )
    encoders = [
        encoder for encoder in (pipeline.text_encoder, getattr(pipeline, "text_encoder_2", None)) if encoder is not None
    ]
    tokenizers = [
        tokenizer for tokenizer in (pipeline.tokenizer, getattr(pipeline, "tokenizer_2", None)) if tokenizer is not None
    ]
    opened = StableDiffusionParts(
        name=base if source.parent.name == "snapshots" else source.name,
        family=family_of_unet(pipeline.unet.config),
        sha256=digest(source),
        unet=pipeline.unet,
        vae=pipeline.vae,
        tokenizers=tokenizers,
        text_encoders=encoders,
        scheduler_config=pipeline.scheduler.config,
        source=source,
        scaling_factor=float(pipeline.vae.config.scaling_factor),
    )
    if dtype != torch.float32:
        opened.vae = open_vae(source)
    for part in (opened.unet, opened.vae, *encoders):
        part.eval().requires_grad_(False)
    for part in (opened.vae, *encoders):
        part.to(device)
    return opened


def unet_weights(base: str) -> int:
    """About how many weights the UNet has, by its file's size in float32 terms; 0 where it is not on this machine."""
    source = locate(base)
    if source is None:
        return 0
    files = [source] if source.is_file() else list((source / "unet").glob("*.safetensors"))
    return sum(file.stat().st_size for file in files) // 4


def digest(source: Path) -> str:
    """16 hex digits: the hub's commit, or the sha256 of the file, or of a folder's weights, configs, vocabularies."""
    if source.parent.name == "snapshots":
        return source.name[:HASH_DIGITS]
    files = [source] if source.is_file() else sorted(file for file in source.rglob("*") if file.suffix in DIGESTED)
    return sha256_of(files)[:HASH_DIGITS]
