"""Models of the published shapes with random weights: they cost what the real ones cost, in time and in memory.

`tiny` models have the same parts, each a few thousand weights: what runs with them runs with the real ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..checkpoints.families.configs import Family
from ..checkpoints.single_file import config_folder, write_tokenizer
from ..core.library_output import without_bars
from ..core.torchvision_ops import patch_torchvision_ops

PARTS = {  # folder → its library and class
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
}
CLIP_IDS = {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
TINY_TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
TINY_VISION = {**TINY_TEXT, "image_size": 32, "patch_size": 8}
TINY_WIDTH = 32
TINY: dict[str, dict[str, Any]] = {
    "vae": {"block_out_channels": [8] * 4, "norm_num_groups": 4, "layers_per_block": 1},
    "text_encoder": {**TINY_TEXT, "projection_dim": TINY_WIDTH},
    "text_encoder_2": {**TINY_TEXT, "projection_dim": TINY_WIDTH},
}
TINY_UNET: dict[Family, dict[str, Any]] = {
    "sd1": {"block_out_channels": [16, 32, 32, 32], "cross_attention_dim": TINY_WIDTH, "attention_head_dim": 4},
    "sdxl": {
        "block_out_channels": [16, 32, 32],
        "cross_attention_dim": 2 * TINY_WIDTH,  # both text encoders
        "attention_head_dim": 4,
        "transformer_layers_per_block": 1,
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + TINY_WIDTH,  # six size conditions, the pooled text
    },
}
COMMON_UNET = {"norm_num_groups": 8, "layers_per_block": 1}


def random_diffusion(
    folder: Path, family: Family, *, dtype: str = "float16", device: str = "cpu", half: bool = False, tiny: bool = False
) -> Path:
    """A diffusers folder of the family's published shape: 2 GB of SD 1.5 in float16, 7 GB of SDXL.

    `half` names the files `*.fp16.safetensors`, as the hub's are. `device` makes the weights, which a CPU does slowly.
    """
    patch_torchvision_ops()
    import importlib

    folder.mkdir(parents=True, exist_ok=True)
    config_folder(folder, family, "epsilon")
    variant = {"variant": "fp16"} if half else {}
    for part, (library, kind) in PARTS.items():
        file = folder / part / "config.json"
        if not file.is_file():
            continue
        config = json.loads(file.read_text(encoding="utf-8"))
        if tiny:
            config |= {**COMMON_UNET, **TINY_UNET[family]} if part == "unet" else TINY[part]
        with _random(dtype, device), without_bars():
            _model(getattr(importlib.import_module(library), kind), config).save_pretrained(folder / part, **variant)
    return folder


def random_clip(folder: Path, *, device: str = "cpu", tiny: bool = False) -> Path:
    """A CLIP of ViT-B/32's shape with CLIP's own vocabulary, as FashionCLIP is: 600 MB in float32."""
    patch_torchvision_ops()
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    write_tokenizer(folder)
    # CLIPConfig's own defaults are ViT-B/32.
    text, vision = ({**TINY_TEXT, **CLIP_IDS}, TINY_VISION) if tiny else (CLIP_IDS, {})
    with _random("float32", device), without_bars():
        CLIPModel(CLIPConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    side = TINY_VISION["image_size"] if tiny else 224
    CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side}).save_pretrained(folder)
    return folder


def random_dino(folder: Path, *, device: str = "cpu", tiny: bool = False) -> Path:
    """A DINOv2 of the base model's shape: 350 MB in float32."""
    patch_torchvision_ops()
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    # Dinov2Config's own defaults are the base model, but for the size of pictures and patches.
    config = Dinov2Config(**small) if tiny else Dinov2Config(image_size=518, patch_size=14)
    with _random("float32", device), without_bars():
        Dinov2Model(config).save_pretrained(folder)
    edge, side = (32, 28) if tiny else (256, 224)
    BitImageProcessor(size={"shortest_edge": edge}, crop_size={"height": side, "width": side}).save_pretrained(folder)
    return folder


def _model(kind: Any, config: dict[str, Any]) -> Any:
    if hasattr(kind, "from_config"):  # diffusers
        return kind.from_config(config)
    return kind(kind.config_class(**config))


@contextmanager
def _random(dtype: str, device: str) -> Iterator[None]:
    """Inside `with`, models are made of random weights of one seed in `dtype` on `device`."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.random.fork_rng(), torch.device(device):
            torch.manual_seed(0)
            yield
    finally:
        torch.set_default_dtype(before)
