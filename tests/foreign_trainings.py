"""LoRAs of the embedded model by other people's trainers: sd-scripts' own train_network.py, and diffusers' example.

sd-scripts knows Stable Diffusion in its published sizes alone: they are constants of `library/original_unet.py`, which
the start below sets to the embedded model's before anything is built; the rest is its own code from argument to file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from modiste.trainer.lora.file import read_tensors, write_tensors

ROOT = Path(__file__).parent.parent
STEPS, RANK, RATE = 24, 4, "3e-3"

BEGIN = """
import sys
root = sys.argv.pop(1)
import importlib.util as u
boot = u.spec_from_file_location("modiste", f"{root}/modiste.py"); package = u.module_from_spec(boot)
sys.modules["modiste"] = package; boot.loader.exec_module(package)
from modiste.core.torchvision_ops import patch_torchvision_ops; patch_torchvision_ops()
"""
SD_SCRIPTS = (
    BEGIN
    + """
from library import original_unet as sizes
sizes.BLOCK_OUT_CHANNELS, sizes.TIMESTEP_INPUT_DIM, sizes.TIME_EMBED_DIM = (128, 160), 128, 512
sizes.LAYERS_PER_BLOCK, sizes.LAYERS_PER_BLOCK_UP = 1, 2
sizes.DOWN_BLOCK_TYPES, sizes.UP_BLOCK_TYPES = ["CrossAttnDownBlock2D"] * 2, ["CrossAttnUpBlock2D"] * 2
import train_network
trainer, parser = train_network.NetworkTrainer(), train_network.setup_parser()
trainer.vae_scale_factor = 0.32908
trainer.train(parser.parse_args())
"""
)
DIFFUSERS = (
    BEGIN
    + """
import runpy
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
)


def train_by_sd_scripts(checkout: Path, packages: str, base: Path, photos: Sequence[Path], folder: Path) -> list[Path]:
    """Its files: after half of the steps, after all, and that one under its final name.

    `base` is the embedded model's folder.
    """
    model, data, out = folder / "model", folder / "data" / "1_x", folder / "out"
    shutil.copytree(base, model)
    encoder = model / "text_encoder" / "model.safetensors"
    tensors, metadata = read_tensors(encoder)  # as transformers 4 calls them
    write_tensors({f"text_model.{name}": tensor for name, tensor in tensors.items()}, encoder, metadata)
    _write_slow_tokenizer(base / "tokenizer", folder / "tokenizers" / "openai_clip-vit-large-patch14")
    data.mkdir(parents=True)
    for photo, caption in _small(photos):
        photo.save(data / f"{caption[0]}.png")
        (data / f"{caption[0]}.txt").write_text(caption[1], encoding="utf-8")
    options = {
        "pretrained_model_name_or_path": model,
        "train_data_dir": data.parent,
        "resolution": "64,64",
        "output_dir": out,
        "output_name": "kohya",
        "network_module": "networks.lora",
        "network_dim": RANK,
        "network_alpha": RANK,
        "max_train_steps": STEPS,
        "save_every_n_steps": STEPS // 2,
        "learning_rate": RATE,
        "mixed_precision": "no",
        "save_model_as": "safetensors",
        "tokenizer_cache_dir": folder / "tokenizers",
        "caption_extension": ".txt",
        "max_data_loader_n_workers": 0,
        "seed": 1,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    _run(SD_SCRIPTS, [*words, "--network_train_unet_only", "--cache_latents", "--sdpa"], checkout, packages)
    ends = (f"-step{STEPS // 2:08d}", f"-step{STEPS:08d}", "")
    return [out / f"kohya{end}.safetensors" for end in ends]


def train_by_diffusers(script: Path, base: Path, photos: Sequence[Path], folder: Path) -> Path:
    """The file that `train_text_to_image_lora.py` leaves."""
    data, out = folder / "data", folder / "out"
    data.mkdir(parents=True)
    lines = []
    for photo, (name, text) in _small(photos):
        photo.save(data / f"{name}.png")
        lines.append(json.dumps({"file_name": f"{name}.png", "text": text}))
    (data / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    options = {
        "pretrained_model_name_or_path": base,
        "train_data_dir": data,
        "resolution": 64,
        "train_batch_size": 1,
        "max_train_steps": STEPS,
        "learning_rate": RATE,
        "rank": RANK,
        "output_dir": out,
        "report_to": "all",  # trackers that are installed: none is needed
        "seed": 1,
        "cache_dir": folder / "cache",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    _run(DIFFUSERS, [str(script), *words], folder, "")
    return out / "pytorch_lora_weights.safetensors"


def _write_slow_tokenizer(tokenizer: Path, folder: Path) -> None:
    """The two files that transformers 4 reads a CLIP tokenizer from, where sd-scripts looks for them."""
    shutil.copytree(tokenizer, folder)
    model = json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    merges = [" ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")


def _small(photos: Sequence[Path]) -> list[tuple[Image.Image, tuple[str, str]]]:
    """(a picture of 64 pixels, (its name, its caption)) of each."""
    pictures = []
    for photo in photos:
        with Image.open(photo) as picture:
            pictures.append(
                (picture.convert("RGB").resize((64, 64)), (photo.stem, f"a photo of a vesper {photo.stem}"))
            )
    return pictures


def _run(code: str, words: Sequence[str], folder: Path, packages: str) -> None:
    paths = os.pathsep.join(filter(None, (packages, str(folder))))
    environ = os.environ | {"PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    command = [sys.executable, "-c", code, str(ROOT), *words]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
