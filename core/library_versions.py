"""The installed versions of the libraries that a picture depends on."""

from __future__ import annotations

import platform
from importlib.metadata import distributions

LIBRARIES = frozenset({"modiste", "torch", "diffusers", "transformers", "open-clip-torch", "peft", "numpy", "pillow"})


def installed_versions() -> dict[str, str]:
    """Python and the libraries that a picture depends on, as installed; nothing is imported."""
    installed = {_normal(item.metadata["Name"]): item.version for item in distributions()}
    found = {name: installed[name] for name in sorted(LIBRARIES & installed.keys())}
    return {"python": platform.python_version(), **found}


def _normal(name: str | None) -> str:
    return (name or "").lower().replace("_", "-")
