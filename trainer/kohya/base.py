"""The base model as sd-scripts takes it: a published build of SD 1.x, 2.x or XL, and what has to be said of it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from ...checkpoints.families.configs import Family, Prediction, configs_in, configs_of, family_of_unet
from ...checkpoints.single_file import recognised, write_tokenizer
from ...core.errors import InputError, MissingWeights
from ...core.state_files import json_object, read_model_json
from ...core.weights import half_variant, how_to_get, hub_cache, locate
from ..model.base_model import digest
from .engine import OURS

# sd-scripts has the published UNets in its code and reads no more than this of a folder's config.
BUILD = ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim")
# What sd-scripts would ask a hub for, by the folder's name in its cache of tokenizers → what pads a text there.
TOKENIZERS = {
    "sd1": {"openai_clip-vit-large-patch14": "<|endoftext|>"},
    "sd2": {"stabilityai_stable-diffusion-2": "!"},
    "sdxl": {
        "openai_clip-vit-large-patch14": "<|endoftext|>",
        "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k": "!",
    },
}
TOKENIZER = {  # as transformers 4 has it
    "tokenizer_class": "CLIPTokenizer",
    "model_max_length": 77,
    "bos_token": "<|startoftext|>",
    "eos_token": "<|endoftext|>",
    "unk_token": "<|endoftext|>",
}


@dataclass(frozen=True)
class KohyaBase:
    """A base model on this machine, unopened."""

    name: str
    source: Path
    family: Family
    prediction: Prediction
    sha256: str


def kohya_base(base: str, prediction: Prediction | None = None) -> KohyaBase:
    """Looks at `base`; MissingWeights where this machine lacks it, InputError for what sd-scripts can't open.

    `prediction` stands in place of what its files say the UNet predicts.
    """
    source = locate(base)
    if source is None:
        raise MissingWeights(
            f"the base model {base} is not on this machine",
            where=f"looked in {hub_cache()}",
            to_try=how_to_get(base),
        )
    family, as_saved = recognised(source) if source.is_file() else _folder(source)
    name = base if source.parent.name == "snapshots" else source.name
    return KohyaBase(name, source.resolve(), family, prediction or as_saved, digest(source))


def without_variant(base: KohyaBase, folder: Path) -> KohyaBase:
    """`base` as sd-scripts finds its weights: a folder with fp16 files alone is linked under the plain names."""
    if base.source.is_file() or half_variant(base.source) is None:
        return base
    shutil.rmtree(folder, ignore_errors=True)
    for file in sorted(path for path in base.source.rglob("*") if path.is_file()):
        target = folder / file.relative_to(base.source).as_posix().replace(".fp16.", ".")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file.resolve(), target)
        except OSError:  # another disk, or a file system without links
            shutil.copyfile(file, target)
    return replace(base, source=folder.resolve())


def write_tokenizers(family: Family, folder: Path) -> Path:
    """sd-scripts' `tokenizer_cache_dir`, made from CLIP's vocabulary in `checkpoints/`: no hub is asked."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, padding in TOKENIZERS[family].items():
        write_tokenizer(folder / name)
        config = {**TOKENIZER, "pad_token": padding}
        (folder / name / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def _folder(source: Path) -> tuple[Family, Prediction]:
    unet = configs_in(source)["unet"]
    family = family_of_unet(unet)
    published = configs_of(family)["unet"]
    wrong = [f"{key} {unet.get(key)}" for key in BUILD if unet.get(key) != published[key]]
    if wrong:
        raise InputError(
            f"the engine kohya knows the published builds of Stable Diffusion only; this UNet has {', '.join(wrong)}",
            where=str(source),
            to_try=OURS,
        )
    _refuse_unprefixed(source)
    scheduler = source / "scheduler" / "scheduler_config.json"
    settings = read_model_json(scheduler, json_object) if scheduler.is_file() else {}
    return family, settings.get("prediction_type", "epsilon")


def _refuse_unprefixed(source: Path) -> None:
    """transformers 5 saves CLIP without `text_model.`: transformers 4 would find no name it knows, and begin at random.

    It says so in a warning and goes on.
    """
    from safetensors import safe_open

    for part in ("text_encoder", "text_encoder_2"):
        for file in (source / part).glob("*.safetensors"):
            with safe_open(file, "pt") as tensors:
                if not any(name.startswith("text_model.") for name in tensors.keys()):
                    raise InputError(
                        f"the {part} was saved by transformers 5: sd-scripts would train on one of random weights",
                        where=str(file),
                        to_try=f"the model as a single .safetensors checkpoint, or {OURS}",
                    )
