"""The weights of the embedded models: fp16 files that load as fp32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.torchvision_ops import patch_torchvision_ops

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, StableDiffusionPipeline
    from transformers import CLIPModel, CLIPTokenizer, Dinov2Model

WEIGHTS = Path(__file__).parent / "weights"
LIMIT_BYTES = 30_000_000


def save_half(model: Any, folder: Path) -> None:
    """Saves a model in fp16; its config says float32, so that a plain `from_pretrained` computes in fp32."""
    import copy

    copy.deepcopy(model).half().save_pretrained(folder, safe_serialization=True)
    declare_float32(folder)


def declare_float32(folder: Path) -> None:
    """Sets float32 in every config below `folder`, and makes every weight file readable by all."""
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)
    for path in folder.rglob("config.json"):
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)  # a folder of the machine that built it
        for part in (config, *(v for v in config.values() if isinstance(v, dict))):
            for key in ("dtype", "torch_dtype"):
                if key in part:
                    part[key] = "float32"
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load_clip(folder: Path = WEIGHTS) -> tuple[CLIPModel, CLIPTokenizer]:
    """The tagger's encoder and its tokenizer."""
    patch_torchvision_ops()
    from transformers import CLIPModel, CLIPTokenizer

    return CLIPModel.from_pretrained(folder / "clip").eval(), CLIPTokenizer.from_pretrained(folder / "clip")


def load_judge(folder: Path = WEIGHTS) -> Dinov2Model:
    """The judge, an image-only encoder."""
    patch_torchvision_ops()
    from transformers import Dinov2Model

    return Dinov2Model.from_pretrained(folder / "judge").eval()


def load_autoencoder(folder: Path = WEIGHTS) -> AutoencoderKL:
    """The pipeline's autoencoder alone."""
    patch_torchvision_ops()
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(folder / "sd" / "vae").eval()


def load_pipeline(folder: Path = WEIGHTS) -> StableDiffusionPipeline:
    """The image model, loaded like any Stable Diffusion folder."""
    patch_torchvision_ops()
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline.from_pretrained(folder / "sd", safety_checker=None)
