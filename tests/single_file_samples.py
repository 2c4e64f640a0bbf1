"""Small Stable Diffusions of random weights in both forms: a diffusers folder, and a host's single file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from modiste.checkpoints import single_file
from modiste.checkpoints.families.configs import Family
from modiste.core.torchvision_ops import patch_torchvision_ops
from modiste.trainer.lora.names import SD_LAYOUT, SDXL_LAYOUT, open_clip_path, sgm_path, text_path

SMALL_UNET = {
    "sd1": {"block_out_channels": [32, 32, 32, 32], "attention_head_dim": 4},
    "sd2": {"block_out_channels": [32, 32, 32, 32], "attention_head_dim": [4, 4, 4, 4]},
    "sdxl": {
        "block_out_channels": [32, 32, 32],
        "attention_head_dim": [4, 4, 4],
        "transformer_layers_per_block": [1, 1, 1],
        "projection_class_embeddings_input_dim": 6 * 256 + 1280,
    },
}
SMALL_TEXT = {"num_hidden_layers": 2, "intermediate_size": 32}
SMALL_VAE = {"block_out_channels": [32, 32, 32, 32], "layers_per_block": 1}
FIRST_ENCODER = {"sd1": "cond_stage_model.transformer", "sdxl": "conditioner.embedders.0.transformer"}
OPEN_CLIP = {"sd2": "cond_stage_model.model", "sdxl": "conditioner.embedders.1.model"}


def make_small(monkeypatch: Any) -> None:
    """The families' published builds with few channels and layers: key layout and widths of texts stay as they are."""
    published, vae = single_file.configs_of, single_file._vae

    def small(family: Family) -> dict[str, dict[str, Any]]:
        configs = published(family)
        texts = {name: config | SMALL_TEXT for name, config in configs.items() if name.startswith("text")}
        return {"unet": configs["unet"] | SMALL_UNET[family], **texts}

    monkeypatch.setattr(single_file, "configs_of", small)
    monkeypatch.setattr(single_file, "_vae", lambda family: vae(family) | SMALL_VAE)


def small_model(folder: Path, family: Family, prediction: str = "epsilon") -> tuple[Path, Path]:
    """(diffusers folder, single file) of one small model of random weights; `make_small` comes first."""
    patch_torchvision_ops()
    import torch
    from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel
    from safetensors.torch import save_file
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    folder.mkdir()
    config = single_file.config_folder(folder, family, prediction)
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(config / "unet"))
    vae = AutoencoderKL.from_config(AutoencoderKL.load_config(config / "vae"))
    texts = {"text_encoder": CLIPTextModel(CLIPTextConfig.from_pretrained(config / "text_encoder"))}
    if family == "sdxl":
        second = CLIPTextConfig.from_pretrained(config / "text_encoder_2")
        texts["text_encoder_2"] = CLIPTextModelWithProjection(second)
    for name, part in {"unet": unet, "vae": vae, **texts}.items():
        part.save_pretrained(folder / name, safe_serialization=True)
    index = json.loads((folder / "model_index.json").read_text())
    assert index and DiffusionPipeline  # the folder opens as it is
    tensors = {}
    layout = SDXL_LAYOUT if family == "sdxl" else SD_LAYOUT
    for name, tensor in unet.state_dict().items():
        path, _, kind = name.rpartition(".")
        tensors[f"model.diffusion_model.{sgm_path(path, layout)}.{kind}"] = tensor
    for name, tensor in vae.state_dict().items():
        key = _vae_key(name)
        conv = tensor[..., None, None] if ".attn_1." in key and tensor.ndim == 2 else tensor
        tensors[f"first_stage_model.{key}"] = conv
    for part, encoder in texts.items():
        if family == "sd1" or (family == "sdxl" and part == "text_encoder"):
            for name, tensor in encoder.state_dict().items():
                tensors[f"{FIRST_ENCODER[family]}.{text_path(name)}"] = tensor
        else:
            tensors |= {f"{OPEN_CLIP[family]}.{key}": value for key, value in _open_clip(encoder.state_dict()).items()}
    file = folder.parent / f"{folder.name}.safetensors"
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, file)
    return folder, file


def _vae_key(name: str) -> str:
    """diffusers' AutoencoderKL → the names of Stability's."""
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{3 - int(m[1])}.block.{m[2]}", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
    for ours, theirs in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
        name = name.replace(f"attn_1.{ours}", f"attn_1.{theirs}")
    return name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")


def _open_clip(weights: dict[str, Any]) -> dict[str, Any]:
    """transformers' text encoder → open_clip's names, with q, k and v in one tensor."""
    import torch

    outside = {
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "text_model.final_layer_norm.weight": "ln_final.weight",
        "text_model.final_layer_norm.bias": "ln_final.bias",
    }
    tensors: dict[str, Any] = {}
    thirds: dict[str, dict[int, Any]] = {}
    for name, tensor in weights.items():
        path = text_path(name)
        if path == "text_projection.weight":
            tensors["text_projection"] = tensor.T
        elif path in outside:
            tensors[outside[path]] = tensor
        elif "position_ids" not in path:
            module, _, kind = path.rpartition(".")
            norm = module.replace("layer_norm1", "ln_1").replace("layer_norm2", "ln_2")
            key, third = open_clip_path(norm)
            if third is None:
                tensors[f"{key}.{kind}"] = tensor
            else:
                thirds.setdefault(f"{key}_{kind}", {})[third] = tensor
    return tensors | {key: torch.cat([parts[index] for index in range(3)]) for key, parts in thirds.items()}
