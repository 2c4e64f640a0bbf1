"""Opens a base model: a diffusers folder, or a host's single `.safetensors` checkpoint, without any hub.

A checkpoint file holds weights only. The small configs of its family are in `families/`, and CLIP's vocabulary lies
beside this module.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ..core.errors import InputError
from ..core.library_output import suppress_log, without_bars
from ..core.state_files import json_object, read_model_json
from ..core.torchvision_ops import patch_torchvision_ops
from ..core.weights import half_variant
from .families.configs import Family, Prediction, configs_of
from .unet_file import read_unet

if TYPE_CHECKING:
    import torch

CLIP_MERGES = "clip_merges.txt.gz"  # 48,894 pairs, of https://github.com/openai/CLIP: clip_merges.LICENSE
FIRST_LAYER = "model.diffusion_model.input_blocks.0.0.weight"
END = "<|endoftext|>"
# What fills a text up to 77 tokens: OpenAI's CLIP learned with its end, OpenCLIP's H and bigG with token 0, "!". As in
# the published folders, sd-scripts' strategy_sdxl.py, and ComfyUI's `pad_with_end=False`.
PADDING: dict[Family, dict[str, str]] = {
    "sd1": {"tokenizer": END},
    "sd2": {"tokenizer": "!"},
    "sdxl": {"tokenizer": END, "tokenizer_2": "!"},
}
SCALED_LINEAR = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
}


# ComfyUI's sign of SD 2's v-prediction (supported_models.py): this bias spreads by more than .09 where v was learned.
V_SIGN, V_SPREAD = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias", 0.09
KEPT_IN_FLOAT32 = ("diffusers.models.modeling_utils", "There are modules in")  # said of an empty list of modules
V_NAMES = ("v_pred", "vpred", "v-pred")


def open_pipeline(source: Path, dtype: torch.dtype, prediction: str | None = None) -> Any:
    """The pipeline in `dtype`, never in the file's own; `prediction` in place of what the files say of it."""
    patch_torchvision_ops()
    if prediction is not None and prediction not in get_args(Prediction):
        names = " or ".join(get_args(Prediction))
        raise InputError(f"there is no prediction {prediction!r}", to_try=f"--prediction {names}")
    pipeline = _from_file(source, dtype) if source.is_file() else _from_folder(source, dtype)
    if prediction is not None:
        scheduler = pipeline.scheduler
        pipeline.scheduler = type(scheduler).from_config(scheduler.config, prediction_type=prediction)
    return pipeline


def _from_folder(folder: Path, dtype: torch.dtype) -> Any:
    from diffusers import DiffusionPipeline

    index = folder / "model_index.json"
    if not index.is_file():
        raise InputError(
            "a base model is a diffusers folder with a model_index.json, or a .safetensors checkpoint",
            where=str(folder),
        )
    parts = read_model_json(index, json_object)
    if "unet" not in parts:
        raise InputError(
            f"{parts.get('_class_name')} has no UNet: Stable Diffusion 1.x, 2.x and XL can be opened",
            where=str(folder),
        )
    given: dict[str, Any] = {"safety_checker": None} if "safety_checker" in parts else {}
    with _opening(folder), without_bars():
        if unet := read_unet(folder / "unet", dtype):
            given["unet"] = unet
        return DiffusionPipeline.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            variant=half_variant(folder),
            **given,
        )


def _from_file(file: Path, dtype: torch.dtype) -> Any:
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    family, prediction = recognised(file)
    with tempfile.TemporaryDirectory() as folder:
        config = config_folder(Path(folder), family, prediction)
        kind = StableDiffusionXLPipeline if family == "sdxl" else StableDiffusionPipeline
        without = {} if family == "sdxl" else {"safety_checker": None, "feature_extractor": None}
        with _opening(file), without_bars(), suppress_log(*KEPT_IN_FLOAT32):
            return kind.from_single_file(
                str(file), config=str(config), torch_dtype=dtype, local_files_only=True, **without
            )


def open_vae(source: Path) -> Any:
    """The VAE of a folder or a checkpoint file in float32, whatever the rest is opened in."""
    patch_torchvision_ops()
    import torch
    from diffusers import AutoencoderKL

    options: dict[str, Any] = {"torch_dtype": torch.float32, "local_files_only": True}
    with _opening(source), without_bars():
        if source.is_dir():
            folder = source / "vae"
            return AutoencoderKL.from_pretrained(folder, use_safetensors=True, variant=half_variant(source), **options)
        with tempfile.TemporaryDirectory() as folder_name:
            config = config_folder(Path(folder_name), *recognised(source))
            return AutoencoderKL.from_single_file(str(source), config=str(config), subfolder="vae", **options)


@contextmanager
def _opening(source: Path) -> Iterator[None]:
    """Inside `with`, what is missing, torn or of another build is an InputError."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"the base model can't be opened: {error}", where=str(source)) from error


def recognised(file: Path) -> tuple[Family, Prediction]:
    """By the width of the text condition: 768, 1,024 or 2,048; v-prediction as `_predicts_v` finds it."""
    if file.suffix != ".safetensors":
        raise InputError(
            "a checkpoint file is a .safetensors (pickled ones are not opened)",
            where=str(file),
            to_try="convert it with a tool that you trust",
        )
    from safetensors import safe_open

    with _opening(file), safe_open(file, "pt") as tensors:
        names = set(tensors.keys())
        key = next((name for name in names if name.endswith("transformer_blocks.0.attn2.to_k.weight")), None)
        if key is None or FIRST_LAYER not in names:
            raise InputError("this file is no Stable Diffusion checkpoint", where=str(file))
        width = tensors.get_slice(key).get_shape()[1]
        channels = tensors.get_slice(FIRST_LAYER).get_shape()[1]
        v = _predicts_v(file, tensors, width)
    families: dict[int, Family] = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
    if width not in families or channels != 4:
        raise InputError(
            f"this checkpoint's UNet takes {channels} channels and text of width {width}: an inpainting, depth or "
            "refiner model, which can't be opened here",
            where=str(file),
            to_try="a text-to-image checkpoint of Stable Diffusion 1.x, 2.x or XL",
        )
    return families[width], "v_prediction" if v else "epsilon"


def _predicts_v(file: Path, tensors: Any, width: int) -> bool:
    """Trainers say it in the metadata, by an empty tensor `v_pred` or in the file's name; of SD 2 its weights tell.

    Where a file of SD 2 lacks those weights, its name decides: the 768-pixel models predict v and are called so.
    """
    import torch

    names, metadata = set(tensors.keys()), tensors.metadata() or {}
    if "v_pred" in names or any(name in file.name.lower() for name in V_NAMES):
        return True
    if said := metadata.get("modelspec.prediction_type", ""):
        return bool(said.startswith("v"))
    if width != 1024:
        return False
    if V_SIGN in names:
        return bool(torch.std(tensors.get_tensor(V_SIGN).float(), unbiased=False) > V_SPREAD)
    return "768" in file.name


def config_folder(folder: Path, family: Family, prediction: str) -> Path:
    """What `from_single_file` asks a hub for, written down here."""
    xl = family == "sdxl"
    parts: dict[str, Any] = {
        "_class_name": "StableDiffusionXLPipeline" if xl else "StableDiffusionPipeline",
        "scheduler": ["diffusers", "PNDMScheduler" if not xl else "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    if xl:
        parts["text_encoder_2"] = ["transformers", "CLIPTextModelWithProjection"]
        parts["tokenizer_2"] = ["transformers", "CLIPTokenizer"]
    else:
        parts |= {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}
    (folder / "model_index.json").write_text(json.dumps(parts))
    configs = configs_of(family)
    scheduler = {**SCALED_LINEAR, "prediction_type": prediction, "_class_name": parts["scheduler"][1]}
    for name, values in {**configs, "vae": _vae(family), "scheduler": scheduler}.items():
        (folder / name).mkdir()
        (folder / name / ("scheduler_config.json" if name == "scheduler" else "config.json")).write_text(
            json.dumps(values)
        )
    for name, padding in PADDING[family].items():
        write_tokenizer(folder / name, padding)
    return folder


def _vae(family: Family) -> dict[str, Any]:
    """AutoencoderKL of all three families; only the scale of the latents differs."""
    return {
        "_class_name": "AutoencoderKL",
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "block_out_channels": [128, 256, 512, 512],
        "layers_per_block": 2,
        "act_fn": "silu",
        "latent_channels": 4,
        "norm_num_groups": 32,
        "sample_size": 1024 if family == "sdxl" else 512,
        "scaling_factor": 0.13025 if family == "sdxl" else 0.18215,
    }


def write_tokenizer(folder: Path, padding: str = END) -> None:
    """CLIP's own byte-pair vocabulary, 49,408 words, as a transformers folder; `padding` fills a text up to 77."""
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    with gzip.open(Path(__file__).with_name(CLIP_MERGES), "rt", encoding="utf-8") as lines:
        merges = lines.read().splitlines()
    symbols = list(_byte_symbols().values())
    words = [*symbols, *(f"{symbol}</w>" for symbol in symbols), *("".join(pair.split()) for pair in merges)]
    words += ["<|startoftext|>", END]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    CLIPTokenizer.from_pretrained(folder, model_max_length=77, pad_token=padding).save_pretrained(folder)


def _byte_symbols() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte, in CLIP's order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + place) for place, byte in enumerate(rest)}
