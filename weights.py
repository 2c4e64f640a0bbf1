"""Where model weights lie on this machine. Looks, never downloads."""

from __future__ import annotations

import os
from pathlib import Path

# One small file that every folder of that kind has: enough to know whether a model was ever fetched.
MARKERS = ("model_index.json", "config.json", "open_clip_config.json")


def hub_cache() -> Path:
    """The hub's cache folder, as huggingface_hub itself would find it (HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME)."""
    if os.environ.get("HF_HUB_CACHE"):
        return Path(os.environ["HF_HUB_CACHE"]).expanduser()
    home = os.environ.get("HF_HOME")
    if home:
        return Path(home).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")).expanduser() / "huggingface" / "hub"


def locate(model: str) -> Path | None:
    """The folder or file that holds `model` (a path or a hub id) on this machine, or None."""
    here = Path(model).expanduser()
    if here.is_file() or (here.is_dir() and any((here / marker).is_file() for marker in MARKERS)):
        return here
    snapshots = hub_cache() / f"models--{model.removeprefix('hf-hub:').replace('/', '--')}" / "snapshots"
    if not snapshots.is_dir():
        return None
    for snapshot in sorted(snapshots.iterdir()):
        if any((snapshot / marker).exists() for marker in MARKERS):
            return snapshot
    return None
