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


def locate(model: str, revision: str | None = None) -> Path | None:
    """The folder or file that holds `model` (a path or a hub id) on this machine, or None.

    Without a `revision` (a hub commit) the snapshot that the hub's `main` last pointed to.
    """
    here = Path(model).expanduser()
    if here.is_file() or (here.is_dir() and any((here / marker).is_file() for marker in MARKERS)):
        return here
    cached = hub_cache() / f"models--{model.removeprefix('hf-hub:').replace('/', '--')}"
    main = cached / "refs" / "main"
    if revision is None and main.is_file():
        revision = main.read_text(encoding="utf-8").strip()
    snapshots = sorted((cached / "snapshots").glob(revision or "*"))
    return next((one for one in snapshots if any((one / marker).exists() for marker in MARKERS)), None)
