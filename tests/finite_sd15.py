"""A random Stable Diffusion 1.5 whose pictures are finite and differ by prompt and seed, for servers without weights.

`python tests/finite_sd15.py FILE.safetensors HUB_CACHE` writes the checkpoint, and into HUB_CACHE the tokenizer and the
configuration that A1111 and Forge else download (set HF_HUB_CACHE to it, and HF_HUB_OFFLINE=1).

Plain random weights fail there: their text embeddings have a mean of nearly 0, by which A1111's emphasis "Original"
divides, for some prompts exactly 0. A bias on the text encoder's last norm, wider cross-attention and wider last
convolutions gave no NaN in 100 pictures.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import torch

TOKENIZER = "models--openai--clip-vit-large-patch14"
# Parts of a parameter's name → the factor of its random weights.
WIDER = {"token_embedding": 3, "attn2.to_q": 2, "attn2.to_k": 2, "attn2.to_v": 4, "attn2.to_out": 4, "conv_out": 4}


def write_finite_sd15(file: Path, hub_cache: Path) -> None:
    """Writes the file (2 GB, float16) and the hub's folder of its tokenizer."""
    from modiste.core.torchvision_ops import patch_torchvision_ops

    patch_torchvision_ops()
    from diffusers import AutoencoderKL, DDPMScheduler
    from transformers import CLIPTokenizer

    from modiste.checkpoints.families.configs import configs_of
    from modiste.checkpoints.single_file import _config_folder, _vae
    from modiste.trainer.lora.targets import empty_model
    from modiste.trainer.model.checkpoint_file import write_checkpoint

    with torch.device("meta"):
        parts = {"vae": AutoencoderKL.from_config(_vae("sd1"))}
    parts |= {part: empty_model(part, values) for part, values in configs_of("sd1").items()}
    generator = torch.Generator().manual_seed(0)
    for part, model in parts.items():
        model.half().to_empty(device="cpu")
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(drawn(f"{part}.{name}", tensor.shape, generator))
        for module in model.modules():  # a buffer that no file has
            if hasattr(module, "position_ids"):
                module.position_ids = torch.arange(77)[None]
    snapshot = hub_cache / TOKENIZER / "snapshots" / "random"
    snapshot.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        files = _config_folder(Path(folder), "sd1", "epsilon") / "tokenizer"
        tokenizer = CLIPTokenizer.from_pretrained(files)
        shutil.copytree(files, snapshot, dirs_exist_ok=True)  # vocabulary and merges: A1111's transformers reads these
    (snapshot / "config.json").write_text(
        json.dumps(configs_of("sd1")["text_encoder"] | {"model_type": "clip_text_model"})
    )
    (hub_cache / TOKENIZER / "refs").mkdir(exist_ok=True)
    (hub_cache / TOKENIZER / "refs" / "main").write_text("random")
    pipeline = SimpleNamespace(**parts, tokenizer=tokenizer, scheduler=DDPMScheduler(prediction_type="epsilon"))
    write_checkpoint(pipeline, "sd1", file, {})


def drawn(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Random weights of one parameter, of a size that keeps activations finite."""
    noise = torch.randn(shape, generator=generator)
    if name.startswith("text_encoder") and name.endswith("final_layer_norm.bias"):
        return 0.1 + 0.2 * noise
    if len(shape) == 1:
        return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
    scale = 0.02 if "embedding" in name else shape[1:].numel() ** -0.5
    return noise * scale * next((factor for part, factor in WIDER.items() if part in name), 1)


if __name__ == "__main__":
    write_finite_sd15(Path(sys.argv[1]), Path(sys.argv[2]))
