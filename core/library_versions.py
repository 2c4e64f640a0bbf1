"""The installed versions of libraries, read from their metadata: nothing is imported."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import distributions

# What Modiste needs, in the order of `doctor`.
REQUIRED = (
    "torch",
    "torchvision",
    "diffusers",
    "transformers",
    "open_clip_torch",
    "peft",
    "accelerate",
    "safetensors",
    "pillow",
    "pydantic",
    "jinja2",
)
# What a picture or a training depends on: a run folder notes it, and says so where it has changed.
REPRODUCING = ("diffusers", "modiste", "numpy", "open-clip-torch", "peft", "pillow", "torch", "transformers")


def installed_versions() -> dict[str, str]:
    """Python and the libraries of REPRODUCING that are installed → version."""
    return {"python": platform.python_version(), **_reproducing()}


@cache  # reading the metadata of every library takes a fifth of a second
def _reproducing() -> dict[str, str]:
    return {name: version for name, version in versions_of(REPRODUCING).items() if version}


def versions_of(names: Iterable[str]) -> dict[str, str | None]:
    """Each distribution → its version; None where it is not installed. `_` and `-` in names are the same."""
    installed: dict[str, str] = {}
    for distribution in distributions():  # the first of a name is the one that Python imports
        installed.setdefault(_normal(distribution.metadata["Name"]), distribution.version)
    return {name: installed.get(_normal(name)) for name in names}


def _normal(name: str | None) -> str:
    return (name or "").lower().replace("_", "-")
