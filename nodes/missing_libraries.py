"""Libraries that a node needs and a host may lack: named before a run, with the command that installs them."""

from __future__ import annotations

import importlib.util
import sys

from ..core.errors import InputError


def missing(*libraries: str) -> list[str]:
    """The libraries that this Python does not have; nothing is imported."""
    return [name for name in libraries if importlib.util.find_spec(name) is None]


def advice(what: str, *libraries: str, package: str | None = None) -> str | None:
    """A message for missing libraries: `Training needs peft …`; None where none is missing.

    `package`: pip's name of a single library whose module has another one.
    """
    lacking = missing(*libraries)
    if not lacking:
        return None
    lacking = [package] if package else lacking
    install = f"{sys.executable} -m pip install {' '.join(lacking)}"
    return f"{what} needs {' and '.join(lacking)}, not installed here; try: {install}"


def require(what: str, *libraries: str, package: str | None = None) -> None:
    """InputError with that message where a library is missing."""
    lacking = advice(what, *libraries, package=package)
    if lacking:
        raise InputError(lacking)
