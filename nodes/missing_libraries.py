"""Libraries that a node needs and a host may lack: named before a run, with the command that installs them."""

from __future__ import annotations

import importlib.util
import sys

from ..core.errors import InputError


def missing(*libraries: str) -> list[str]:
    """The libraries that this Python does not have; nothing is imported."""
    return [name for name in libraries if importlib.util.find_spec(name) is None]


def advice(what: str, *libraries: str) -> str | None:
    """A message for missing libraries: `Training needs peft …`; None where none is missing."""
    lacking = missing(*libraries)
    if not lacking:
        return None
    install = f"{sys.executable} -m pip install {' '.join(lacking)}"
    return f"{what} needs {' and '.join(lacking)}, not installed here; try: {install}"


def require(what: str, *libraries: str) -> None:
    """InputError with that message where a library is missing."""
    lacking = advice(what, *libraries)
    if lacking:
        raise InputError(lacking)
