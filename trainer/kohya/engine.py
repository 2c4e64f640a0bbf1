"""Where the engine kohya lies: sd-scripts and an environment of its own, as `python install.py kohya` leaves them.

engines/kohya/sd-scripts/            the checkout
engines/kohya/venv/                  its Python and libraries, apart from ours
engines/kohya/modiste-kohya.json     written last: what is there is whole
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import MissingWeights
from ...core.state_files import read_state

VARIABLE = "MODISTE_ENGINES"  # another folder than the one beside install.py
INSTALL, OURS = "python install.py kohya", "--engine diffusers"
STAMP = "modiste-kohya.json"


class MissingEngine(MissingWeights):
    """A training program that this machine does not have."""


@dataclass(frozen=True)
class Engine:
    """sd-scripts, and the Python that it runs with; `version` is its commit, or what is known in place of one."""

    python: Path
    checkout: Path
    version: str


def engine_folder() -> Path:
    """The engine's folder, there or not: install.py has the same."""
    engines = os.environ.get(VARIABLE) or Path(__file__).parents[2] / "engines"
    return Path(engines).expanduser().absolute() / "kohya"


def find_engine() -> Engine | None:
    """The engine, or None where it was not installed to its end."""
    folder = engine_folder()
    if not (folder / STAMP).is_file():
        return None
    inner = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    python, checkout = folder.joinpath("venv", *inner), folder / "sd-scripts"
    if not python.exists() or not (checkout / "train_network.py").is_file():
        return None
    version = read_state(folder / STAMP, lambda stamp: str(stamp["version"]), "python install.py kohya --force")
    return Engine(python, checkout, version)


def require_engine() -> Engine:
    """The engine; MissingEngine names the command that brings it."""
    engine = find_engine()
    if engine is None:
        raise MissingEngine(
            "the engine kohya (sd-scripts) is not installed",
            where=str(engine_folder()),
            to_try=f"{INSTALL}, or {OURS}, which needs nothing more",
        )
    return engine
