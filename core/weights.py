"""Where model weights lie on this machine. Looks, never downloads."""

from __future__ import annotations

import os
from pathlib import Path

# One small file that every folder of that kind has: enough to know whether a model was ever fetched.
MARKERS = ("model_index.json", "config.json", "open_clip_config.json")

# The hub commits that Modiste was made for: they go before whatever else of a model is on this machine.
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
    """What a user types to get a model, at its pinned commit where it has one."""
    name = model.removeprefix("hf-hub:")
    return f"hf download {name}" + (f" --revision {PINNED[name]}" if name in PINNED else "")


def locate(model: str, revision: str | None = None) -> Path | None:
    """The folder or file that holds `model` (a path or a hub id) on this machine, or None.

    Without a `revision` (a hub commit) the pinned one where it is here, else what the hub's `main` last pointed to.
    """
    here = Path(model).expanduser()
    if here.is_file() or (here.is_dir() and any((here / marker).is_file() for marker in MARKERS)):
        return here
    name = model.removeprefix("hf-hub:")
    cached = hub_cache() / f"models--{name.replace('/', '--')}"
    main = cached / "refs" / "main"
    if revision is None and (cached / "snapshots" / PINNED.get(name, "-")).is_dir():
        revision = PINNED[name]
    if revision is None and main.is_file():
        revision = main.read_text(encoding="utf-8").strip()
    snapshots = sorted((cached / "snapshots").glob(revision or "*"))
    return next((one for one in snapshots if any((one / marker).exists() for marker in MARKERS)), None)
