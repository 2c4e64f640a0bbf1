"""`python -m modiste.bench.train_base FOLDER`: a Stable Diffusion 1.5 with random weights, 1 billion of them.

It costs what the published one costs, in time and in memory. A process of its own, because what a process needed once
is counted against all that it starts later.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..checkpoints.families.configs import configs_of
from ..checkpoints.single_file import write_tokenizer
from ..core.torchvision_ops import patch_torchvision_ops

SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def write_base(folder: Path) -> Path:
    """A diffusers folder of 4.3 GB in float32, as the published one was first."""
    patch_torchvision_ops()
    import torch
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    configs = configs_of("sd1")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "tokenizer").is_dir():
        write_tokenizer(folder / "tokenizer")
    torch.manual_seed(0)
    StableDiffusionPipeline(
        vae=AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            sample_size=512,
        ),
        unet=UNet2DConditionModel.from_config(configs["unet"]),
        text_encoder=CLIPTextModel(CLIPTextConfig(**configs["text_encoder"])),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        scheduler=PNDMScheduler(**SCHEDULE, skip_prk_steps=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    write_base(Path(sys.argv[1]))
