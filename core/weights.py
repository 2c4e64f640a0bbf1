"""Finds model weights on this machine; downloads nothing."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .model_folders import named_checkpoint

# A small file that every model folder of its kind has: it tells whether a model is on this machine.
MARKERS = ("model_index.json", "config.json", "open_clip_config.json")

HUB_ID = re.compile(r"[\w-][\w.-]*/(?!.*\.safetensors$)[\w.-]+")
# `modiste get NAME` → the hub's id.
SHORT_NAMES = {
    "sd15": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "sdxl": "stabilityai/stable-diffusion-xl-base-1.0",
    "fashion-clip": "patrickjohncyh/fashion-clip",
    "fashion-siglip": "Marqo/marqo-fashionSigLIP",
    "dinov2": "facebook/dinov2-base",
    "clothes-parser": "mattmdjaga/segformer_b2_clothes",
}
# LoRAs that draw with few steps (LCM-LoRA): `modiste get NAME` → repository and file.
FAST_LORAS = {
    "fast-sd15": ("latent-consistency/lcm-lora-sdv1-5", "pytorch_lora_weights.safetensors"),
    "fast-sdxl": ("latent-consistency/lcm-lora-sdxl", "pytorch_lora_weights.safetensors"),
}
SHORT_NAMES |= {name: "/".join(place) for name, place in FAST_LORAS.items()}
# The hub commits that Modiste was tested with: they come before any other revision on this machine.
PINNED = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
    "stabilityai/stable-diffusion-xl-base-1.0": "462165984030d82259a11f4367a4eed129e94a7b",
    "patrickjohncyh/fashion-clip": "7e3ba62ce16b379a1ab479346b66f192e76f51b7",
    "Marqo/marqo-fashionSigLIP": "c56244cc94f92419e8369fa71efdaf403b124ce8",
    "facebook/dinov2-base": "f9e44c814b77203eaa57a6bdbbd535f21ede1415",
    "mattmdjaga/segformer_b2_clothes": "f6ac72992f938a1d0073fb5e5a06fd781f19f9a2",
}


def hub_cache() -> Path:
    """The hub's cache folder, as huggingface_hub itself would find it (HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME)."""
    if os.environ.get("HF_HUB_CACHE"):
        return Path(os.environ["HF_HUB_CACHE"]).expanduser()
    home = os.environ.get("HF_HOME")
    if home:
        return Path(home).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")).expanduser() / "huggingface" / "hub"


def short_name(model: str) -> str:
    """What `modiste get` calls a model: its short name where it has one, else its hub id."""
    hub_id = model.removeprefix("hf-hub:")
    return next((short for short, known in SHORT_NAMES.items() if known == hub_id), hub_id)


def get_command(*models: str) -> str:
    """The command that downloads these models."""
    return f"modiste get {' '.join(dict.fromkeys(map(short_name, models)))}"


def how_to_get(*models: str) -> str:
    """What to do where models are missing: the command for hub ids, and for other names the list of what is here."""
    ids = [model for model in models if HUB_ID.fullmatch(model.removeprefix("hf-hub:"))]
    advice = [f"`{get_command(*ids)}`"] if ids else []
    if len(ids) < len(models):
        advice.append("check the path, or the name: `modiste models` lists the checkpoints of this machine")
    return "; ".join(advice)


def half_variant(folder: Path) -> str | None:
    """`fp16` where that is the only form of a diffusers folder's weights, as `modiste get` fetches them; else None."""
    weights = [file.name for file in folder.glob("unet/*.safetensors")]
    plain = [name for name in weights if ".fp16" not in name and ".non_ema" not in name]
    return "fp16" if weights and not plain else None


def locate(model: str, revision: str | None = None) -> Path | None:
    """The folder or file that holds `model` (a path, a hub id, or a checkpoint's bare name) on this machine, or None.

    Without a `revision` (a hub commit) it is the pinned one where that is here, else what the hub's `main` last was. A
    bare name is sought in the folders of ComfyUI and A1111 (model_folders.py).
    """
    path = Path(model).expanduser()
    if path.is_file() or (path.is_dir() and any((path / marker).is_file() for marker in MARKERS)):
        return path
    name = model.removeprefix("hf-hub:")
    cached = hub_cache() / f"models--{name.replace('/', '--')}"
    main = cached / "refs" / "main"
    if revision is None and _has_marker(cached / "snapshots" / PINNED.get(name, "-")):
        revision = PINNED[name]
    if revision is None and main.is_file():
        revision = main.read_text(encoding="utf-8").strip()
    snapshots = sorted((cached / "snapshots").glob(revision or "*"))
    snapshot = next((folder for folder in snapshots if _has_marker(folder)), None)
    if snapshot or revision is not None or HUB_ID.fullmatch(name):
        return snapshot
    return named_checkpoint(model)


def locate_file(hub_id: str, name: str) -> Path | None:
    """A single file of a repository in the hub's cache, of the newest snapshot that has it; None where none has."""
    files = (hub_cache() / f"models--{hub_id.replace('/', '--')}" / "snapshots").glob(f"*/{name}")
    return max(files, key=lambda file: file.stat().st_mtime, default=None)


def _has_marker(folder: Path) -> bool:
    return any((folder / marker).exists() for marker in MARKERS)
