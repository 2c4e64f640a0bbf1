"""A Stable Diffusion 3.5 of two blocks with random weights, as one file under the names that ComfyUI knows it by.

Its MMDiT has 128 channels, its VAE is a tiny autoencoder; the text encoder is CLIP-L, whose size is fixed (250 MB).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import torch
from comfy_live import _command, _environment, random_checkpoint

from modiste.trainer.lora.file import write_tensors

DEPTH, WIDTH = 2, 128

MAKE = """
import sys
source, file, sys.argv = sys.argv[1], sys.argv[2], ["main.py", "--cpu"]
import comfy.options; comfy.options.enable_args_parsing()
import torch
import comfy.ops
from comfy.ldm.modules.diffusionmodules.mmdit import OpenAISignatureMMDITWrapper
from comfy.taesd.taesd import TAESD
from safetensors import safe_open
from safetensors.torch import save_file

torch.manual_seed(0)
width, depth = 128, 2
mmdit = OpenAISignatureMMDITWrapper(
    input_size=None, pos_embed_scaling_factor=None, pos_embed_max_size=64, num_patches=4096, patch_size=2,
    in_channels=16, depth=depth, adm_in_channels=2048, qk_norm="rms", x_block_self_attn_layers=[],
    context_embedder_config={"target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": width}},
    dtype=torch.float32, operations=comfy.ops.manual_cast,
)
weights = {}
for prefix, model in (("model.diffusion_model.", mmdit), ("first_stage_model.", TAESD(latent_channels=16))):
    for name, value in model.state_dict().items():
        if value.ndim > 1:
            value = torch.randn(value.shape) * value[0].numel() ** -0.5
        elif value.ndim == 1:
            value = torch.ones(value.shape) if name.endswith("weight") else torch.zeros(value.shape)
        weights[prefix + name] = value.half().contiguous()
before = "cond_stage_model.transformer."
with safe_open(source, framework="pt") as checkpoint:
    for name in checkpoint.keys():
        if name.startswith(before):
            weights["text_encoders.clip_l.transformer." + name[len(before):]] = checkpoint.get_tensor(name)
save_file(weights, file)
"""


def make_checkpoint(file: Path) -> Path:
    """Writes the model with the classes of the ComfyUI checkout, in its own Python."""
    command = [*_command(MAKE), str(random_checkpoint()), str(file)]
    subprocess.run(command, cwd=os.environ["MODISTE_COMFYUI"], env=_environment(file.parent), check=True)
    return file


def make_lora(file: Path, size: float, seed: int = 0) -> Path:
    """A LoRA of its feed-forward layers in kohya's names; `size` is what it changes of a weight of mean size 1."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for block in range(DEPTH):
        name = f"lora_unet_joint_blocks_{block}_x_block_mlp_fc1"
        tensors[f"{name}.lora_down.weight"] = torch.randn(4, WIDTH, generator=generator) * WIDTH**-0.5
        tensors[f"{name}.lora_up.weight"] = torch.randn(4 * WIDTH, 4, generator=generator) * size
        tensors[f"{name}.alpha"] = torch.tensor(4.0)
    write_tensors(tensors, file, {"ss_base_model_version": "sd3-medium"})
    return file
