"""Modiste's own environment beside the host's: is it there, what would it take, how is it made."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ..install import FREE_DISK_GB, ROOT, venv_folder, venv_python

SIZE_GB, SIZE_CUDA_GB = 1.5, 7.0  # on disk, without and with CUDA's libraries


def is_there() -> bool:
    """Whether its set-up was finished once."""
    return own_python().exists() and (venv_folder() / "modiste-setup.json").is_file()


def own_python() -> Path:
    """Its interpreter, whether it is there or not."""
    return venv_python(venv_folder())


def setup_command() -> list[str]:
    """What makes it, with the host's Python as its base; run again after an interruption it goes on."""
    return [sys.executable, str(ROOT / "install.py"), "setup"]


def doctor_command() -> list[str]:
    """What it says about itself."""
    return [str(own_python()), str(ROOT / "harness.py"), "doctor"]


def free_gb() -> float:
    """Free disk where it would lie, in GB."""
    folder = venv_folder()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free / 1e9


def fits() -> bool:
    """Whether the disk is large enough to begin."""
    return free_gb() >= FREE_DISK_GB
