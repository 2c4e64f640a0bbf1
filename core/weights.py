"""Finds model weights on this machine; downloads nothing."""

from __future__ import annotations

import os
from pathlib import Path

# A small file that every model folder of its kind has: it tells whether a model is on this machine.
MARKERS = ("model_index.json", "config.json", "open_clip_config.json")

# The hub commits that Modiste was tested with: they come before any other revision on this machine.
PINNED = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
    "stabilityai/stable-diffusion-xl-base-1.0": "462165984030d82259a11f4367a4eed129e94a7b",
    "patrickjohncyh/fashion-clip": "7e3ba62ce16b379a1ab479346b66f192e76f51b7",
    "Marqo/marqo-fashionSigLIP": "c56244cc94f92419e8369fa71efdaf403b124ce8",
    "facebook/dinov2-base": "f9e44c814b77203eaa57a6bdbbd535f21ede1415",
}


def hub_cache() -> Path:
    """The hub's cache folder, as huggingface_hub itself would find it (HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME)."""
    if os.environ.get("HF_HUB_CACHE"):
        return Path(os.environ["HF_HUB_CACHE"]).expanduser()
    home = os.environ.get("HF_HOME")
    if home:
        return Path(home).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")).expanduser() / "huggingface" / "hub"


def download_command(model: str) -> str:
    """The command that downloads a model, at its pinned commit where it has one."""
    name = model.removeprefix("hf-hub:")
    return f"hf download {name}" + (f" --revision {PINNED[name]}" if name in PINNED else "")


def locate(model: str, revision: str | None = None) -> Path | None:
    """The folder or file that holds `model` (a path or a hub id) on this machine, or None.

    Without a `revision` (a hub commit) it is the pinned one where that is here, else what the hub's `main` last was.
    """
    path = Path(model).expanduser()
    if path.is_file() or (path.is_dir() and any((path / marker).is_file() for marker in MARKERS)):
        return path
    name = model.removeprefix("hf-hub:")
    cached = hub_cache() / f"models--{name.replace('/', '--')}"
    main = cached / "refs" / "main"
    if revision is None and (cached / "snapshots" / PINNED.get(name, "-")).is_dir():
        revision = PINNED[name]
    if revision is None and main.is_file():
        revision = main.read_text(encoding="utf-8").strip()
    snapshots = sorted((cached / "snapshots").glob(revision or "*"))
    return next((folder for folder in snapshots if any((folder / marker).exists() for marker in MARKERS)), None)
