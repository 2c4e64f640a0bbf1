"""Module path ↔ the name that a LoRA file gives it.

    unet            down_blocks.1.attentions.0.proj_in              diffusers' own path
    SD 1, SD 2      lora_unet_down_blocks_1_attentions_0_proj_in    dots become underscores
    SDXL            lora_unet_input_blocks_4_1_proj_in              Stability's names ("sgm"), counted through

Read in sd-scripts 48d368fa (networks/lora.py, library/sdxl_model_util.py); A1111, Forge and ComfyUI know these names.
Inside Modiste a text encoder's paths begin with `text_model.`, as in every published file; transformers 5 dropped it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...checkpoints.families.configs import Family
from ...core.errors import InputError

PREFIXES: Mapping[str, Mapping[str, str]] = {
    "sd1": {"unet": "lora_unet", "text_encoder": "lora_te"},
    "sd2": {"unet": "lora_unet", "text_encoder": "lora_te"},
    "sdxl": {"unet": "lora_unet", "text_encoder": "lora_te1", "text_encoder_2": "lora_te2"},
}
PARTS = {"lora_unet": "unet", "lora_te": "text_encoder", "lora_te1": "text_encoder", "lora_te2": "text_encoder_2"}

# Names of modules that hold an underscore themselves; any other underscore of a kohya name was a dot.
_WORDS = (
    *("down_blocks", "mid_block", "up_blocks", "transformer_blocks", "input_blocks", "middle_block", "output_blocks"),
    *("to_q", "to_k", "to_v", "to_out", "proj_in", "proj_out", "conv_in", "conv_out", "conv_norm_out"),
    *("conv_shortcut", "time_emb_proj", "time_embedding", "add_embedding", "linear_1", "linear_2", "time_embed"),
    *("label_emb", "in_layers", "out_layers", "emb_layers", "skip_connection", "text_model", "text_projection"),
    *("self_attn", "q_proj", "k_proj", "v_proj", "out_proj", "layer_norm1", "layer_norm2", "final_layer_norm"),
)
_TOKEN = re.compile(rf"(?:{'|'.join(sorted(_WORDS, key=len, reverse=True))})(?=_|$)|[^_]+")
_SGM = re.compile(r"(input_blocks|middle_block|output_blocks|time_embed|label_emb|out)\.")

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_RESNET_BACK = {theirs: ours for ours, theirs in _RESNET.items()}
_OUTSIDE_BACK = {theirs: ours for ours, theirs in _OUTSIDE.items()}


@dataclass(frozen=True)
class UNetLayout:
    """What the counting of sgm's names depends on: resnets a block, and which up blocks have attention."""

    layers_per_block: int = 2
    up_attention: tuple[bool, ...] = (False, True, True, True)

    @classmethod
    def of(cls, unet_config: Mapping[str, Any]) -> UNetLayout:
        """From a diffusers UNet's config."""
        return cls(unet_config["layers_per_block"], tuple("Attn" in kind for kind in unet_config["up_block_types"]))


SD_LAYOUT = UNetLayout()
SDXL_LAYOUT = UNetLayout(2, (True, True, False))


def layout_of(family: Family) -> UNetLayout:
    """The published model's."""
    return SDXL_LAYOUT if family == "sdxl" else SD_LAYOUT


def kohya_name(family: Family, part: str, path: str) -> str:
    """What a file calls the module `path` of `part` ("unet", "text_encoder", "text_encoder_2")."""
    prefix = PREFIXES[family].get(part)
    if prefix is None:
        raise InputError(f"a LoRA of {family} has no part {part!r}", to_try=f"one of {', '.join(PREFIXES[family])}")
    if part == "unet":
        path = sgm_path(path, SDXL_LAYOUT) if family == "sdxl" else path
    else:
        path = text_path(path)
    return f"{prefix}_{path.replace('.', '_')}"


def parse_kohya_name(name: str) -> tuple[str, str] | None:
    """Part and diffusers/transformers path of a kohya name, in either spelling; None for a name that is none."""
    match = re.fullmatch(r"(lora_unet|lora_te[12]?)_(.+)", name)
    if match is None or "." in name:
        return None
    part, path = PARTS[match[1]], ".".join(_TOKEN.findall(match[2]))
    if part != "unet":
        return part, text_path(path)
    unet_path = diffusers_path(path) if _SGM.match(path) else path
    return None if unet_path is None else (part, unet_path)


def text_path(path: str) -> str:
    """A text encoder's path as published files have it; transformers 5 itself says `encoder.layers…`."""
    return path if path.startswith(("text_model.", "text_projection")) else f"text_model.{path}"


def live_path(path: str, known: Mapping[str, Any]) -> str | None:
    """How a model or file at hand spells a path: with `text_model.` or without; None where it has no such module."""
    return next(
        (name for name in (path, path.removeprefix("text_model."), f"text_model.{path}") if name in known), None
    )


def sgm_path(path: str, layout: UNetLayout) -> str:
    """diffusers → Stability's names, as in .safetensors checkpoints under `model.diffusion_model.`."""
    if path in _OUTSIDE:
        return _OUTSIDE[path]
    blocks = layout.layers_per_block + 1
    if match := re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)", path):
        side, block, kind, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
        start = (
            f"input_blocks.{1 + block * blocks + layer}"
            if side == "down"
            else f"output_blocks.{block * blocks + layer}"
        )
        return f"{start}.0.{_RESNET.get(rest, rest)}" if kind == "resnets" else f"{start}.1.{rest}"
    if match := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", path):
        kind, layer, rest = match[1], int(match[2]), match[3]
        return f"middle_block.{2 * layer}.{_RESNET.get(rest, rest)}" if kind == "resnets" else f"middle_block.1.{rest}"
    if match := re.fullmatch(r"down_blocks\.(\d+)\.downsamplers\.0\.conv", path):
        return f"input_blocks.{(int(match[1]) + 1) * blocks}.0.op"
    if match := re.fullmatch(r"up_blocks\.(\d+)\.upsamplers\.0\.conv", path):
        block = int(match[1])
        place = 2 if block < len(layout.up_attention) and layout.up_attention[block] else 1
        return f"output_blocks.{(block + 1) * blocks - 1}.{place}.conv"
    return path


def diffusers_path(path: str, layers_per_block: int = 2) -> str | None:
    """Stability's name → diffusers' path; None for one that no UNet of these families has."""
    if path in _OUTSIDE_BACK:
        return _OUTSIDE_BACK[path]
    blocks = layers_per_block + 1
    if match := re.fullmatch(r"middle_block\.([012])\.(.+)", path):
        place, rest = int(match[1]), match[2]
        return f"mid_block.attentions.0.{rest}" if place == 1 else _resnet(f"mid_block.resnets.{place // 2}", rest)
    match = re.fullmatch(r"(input|output)_blocks\.(\d+)\.([012])\.(.+)", path)
    if match is None:
        return None
    side, index, place, rest = match[1], int(match[2]), int(match[3]), match[4]
    if side == "input":
        block, layer = divmod(index - 1, blocks)
        if rest == "op":
            return f"down_blocks.{block}.downsamplers.0.conv"
    else:
        block, layer = divmod(index, blocks)
        if rest == "conv":
            return f"up_blocks.{block}.upsamplers.0.conv"
    start = f"{'down' if side == 'input' else 'up'}_blocks.{block}"
    return f"{start}.attentions.{layer}.{rest}" if place == 1 else _resnet(f"{start}.resnets.{layer}", rest)


def _resnet(start: str, rest: str) -> str | None:
    return f"{start}.{_RESNET_BACK[rest]}" if rest in _RESNET_BACK else None


@dataclass(frozen=True)
class Slot:
    """Where a module's weight lies in a single-file checkpoint: a tensor, or one third of its rows (q, k, v)."""

    key: str
    third: int | None = None


def checkpoint_slot(family: Family, part: str, path: str) -> Slot:
    """The tensor that a host's .safetensors checkpoint keeps a module's weight in."""
    if part == "unet":
        return Slot(f"model.diffusion_model.{sgm_path(path, layout_of(family))}.weight")
    path = text_path(path)
    if family == "sd1":
        return Slot(f"cond_stage_model.transformer.{path}.weight")
    if family == "sdxl" and part == "text_encoder":
        return Slot(f"conditioner.embedders.0.transformer.{path}.weight")
    start = "cond_stage_model.model" if family == "sd2" else "conditioner.embedders.1.model"
    name, third = open_clip_path(path)
    return Slot(f"{start}.{name}{'_weight' if third is not None else '.weight'}", third)


def open_clip_path(path: str) -> tuple[str, int | None]:
    """transformers' path of a CLIP text layer → open_clip's, and which third of `in_proj` q, k or v is."""
    match = re.fullmatch(r"text_model\.encoder\.layers\.(\d+)\.(.+)", path)
    if match is None:
        return path, None
    start, rest = f"transformer.resblocks.{match[1]}", match[2]
    thirds = {"self_attn.q_proj": 0, "self_attn.k_proj": 1, "self_attn.v_proj": 2}
    if rest in thirds:
        return f"{start}.attn.in_proj", thirds[rest]
    names = {"self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    return f"{start}.{names.get(rest, rest)}", None
