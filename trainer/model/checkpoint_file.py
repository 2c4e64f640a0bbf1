"""A whole model as the one `.safetensors` that A1111, Forge and ComfyUI take: a pipeline's weights in LDM names.

    UNet            model.diffusion_model.input_blocks.1.1…           Stability's names (lora/names.py)
    VAE             first_stage_model.encoder.down.0.block.0…         Rombach et al.'s; attention as 1×1 convolutions
    text encoders   cond_stage_model.transformer.text_model…          SD 1: transformers' own
                    cond_stage_model.model.transformer.resblocks…     SD 2: open_clip's, q, k and v in one tensor
                    conditioner.embedders.0 and .1                    SDXL: one of each

Read in ComfyUI a125cd84 (comfy/model_detection.py, comfy/supported_models.py) and A1111 1.10.1 (modules/sd_models.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...checkpoints.families.configs import Family, configs_of
from ..lora.model_weights import save_whole
from ..lora.names import UNetLayout, open_clip_path, sgm_path, text_path

if TYPE_CHECKING:
    import torch

UNET, VAE = "model.diffusion_model", "first_stage_model"
# Whose text encoder it is → where its tensors lie, and whether they have open_clip's names.
TEXT_ENCODERS: Mapping[tuple[Family, str], tuple[str, bool]] = {
    ("sd1", "text_encoder"): ("cond_stage_model.transformer", False),
    ("sd2", "text_encoder"): ("cond_stage_model.model", True),
    ("sdxl", "text_encoder"): ("conditioner.embedders.0.transformer", False),
    ("sdxl", "text_encoder_2"): ("conditioner.embedders.1.model", True),
}
# What a UNet's size depends on: hosts know the published sizes alone.
SIZES = ("block_out_channels", "layers_per_block", "cross_attention_dim", "down_block_types", "up_block_types")
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OPEN_CLIP_LAYER = {"layer_norm1": "ln_1", "layer_norm2": "ln_2"}


def is_published_size(family: Family, unet_config: Mapping[str, Any]) -> bool:
    """Whether a UNet is as wide and deep as its family's published model: hosts open no other."""
    published = configs_of(family)["unet"]
    return all(_plain(unet_config.get(name)) == _plain(published.get(name)) for name in SIZES)


def write_checkpoint(pipeline: Any, family: Family, file: Path, metadata: Mapping[str, str]) -> None:
    """Writes all parts of a diffusers pipeline into one file, in the format they are in; whole or not at all.

    A model that predicts v has the empty tensor `v_pred`, and one whose last timestep is pure noise `ztsnr`: ComfyUI
    tells such SDXL models by them. OSError for a full disk.
    """
    from safetensors import SafetensorError

    tensors = dict(checkpoint_tensors(pipeline, family))
    try:
        save_whole(tensors, file, metadata)
    except SafetensorError as error:  # its word for a full disk, too
        raise OSError(f"{file.name}: {error}") from error


def checkpoint_tensors(pipeline: Any, family: Family) -> Iterator[tuple[str, torch.Tensor]]:
    """LDM name and tensor of every weight."""
    import torch

    layout = UNetLayout.of(pipeline.unet.config)
    for name, tensor in pipeline.unet.state_dict().items():
        path, _, kind = name.rpartition(".")
        yield f"{UNET}.{sgm_path(path, layout)}.{kind}", tensor
    blocks = len(pipeline.vae.config.block_out_channels)
    for name, tensor in pipeline.vae.state_dict().items():
        path, _, kind = name.rpartition(".")
        attends = ".attentions." in path and "group_norm" not in path and kind == "weight"
        yield f"{VAE}.{ldm_vae_path(path, blocks)}.{kind}", tensor[..., None, None] if attends else tensor
    for part in ("text_encoder", "text_encoder_2"):
        encoder = getattr(pipeline, part, None)
        if encoder is not None:
            prefix, as_open_clip = TEXT_ENCODERS[family, part]
            weights = {text_path(name): tensor for name, tensor in encoder.state_dict().items()}
            named: Iterable[tuple[str, torch.Tensor]] = weights.items()
            named = _open_clip_tensors(weights) if as_open_clip else named
            yield from ((f"{prefix}.{name}", tensor) for name, tensor in named)
    scheduler = pipeline.scheduler.config
    if scheduler.prediction_type == "v_prediction":
        yield "v_pred", torch.zeros(0)
    if scheduler.get("rescale_betas_zero_snr"):
        yield "ztsnr", torch.zeros(0)


def ldm_vae_path(path: str, blocks: int) -> str:
    """diffusers' path in an AutoencoderKL of so many blocks → Rombach et al.'s; up blocks are counted from the last."""
    if match := re.fullmatch(
        r"(encoder|decoder)\.(down|up)_blocks\.(\d+)\.(resnets|downsamplers|upsamplers)\.(.+)", path
    ):
        side, way, block, kind, rest = match[1], match[2], int(match[3]), match[4], match[5]
        block = block if way == "down" else blocks - 1 - block
        if kind != "resnets":
            return f"{side}.{way}.{block}.{kind.removesuffix('rs')}.{rest.partition('.')[2]}"
        return f"{side}.{way}.{block}.block.{rest.replace('conv_shortcut', 'nin_shortcut')}"
    if match := re.fullmatch(r"(encoder|decoder)\.mid_block\.resnets\.(\d+)\.(.+)", path):
        return f"{match[1]}.mid.block_{int(match[2]) + 1}.{match[3]}"
    if match := re.fullmatch(r"(encoder|decoder)\.mid_block\.attentions\.0\.(.+)", path):
        return f"{match[1]}.mid.attn_1.{_VAE_ATTENTION[match[2]]}"
    return path.replace("conv_norm_out", "norm_out")


def _open_clip_tensors(weights: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """open_clip's names of a transformers text encoder's weights, `text_model.…`; q, k and v become one `in_proj`."""
    import torch

    fused: dict[str, dict[int, torch.Tensor]] = {}
    for name, tensor in weights.items():
        path, _, kind = name.rpartition(".")
        place, third = open_clip_path(path)
        if third is not None:
            fused.setdefault(f"{place}_{kind}", {})[third] = tensor
        elif place != path:
            *start, layer = place.split(".")
            yield f"{'.'.join([*start, _OPEN_CLIP_LAYER.get(layer, layer)])}.{kind}", tensor
        elif path == "text_model.embeddings.token_embedding":
            yield "token_embedding.weight", tensor
        elif path == "text_model.embeddings.position_embedding":
            yield "positional_embedding", tensor
        elif path == "text_model.final_layer_norm":
            yield f"ln_final.{kind}", tensor
        elif path == "text_projection":
            yield "text_projection", tensor.T
    for name, thirds in fused.items():
        yield name, torch.cat([thirds[index] for index in range(3)])


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value
