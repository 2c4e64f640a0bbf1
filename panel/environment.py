"""Modiste's own environment beside the host's: whether it exists, its size, the commands that make and check it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ..install import FREE_DISK_GB, ROOT, venv_folder, venv_python

SIZE_GB, SIZE_CUDA_GB = 1.5, 7.0  # on disk, without and with CUDA's libraries


def is_installed() -> bool:
    """Whether its set-up has finished."""
    return environment_python().exists() and (venv_folder() / "modiste-setup.json").is_file()


def environment_python() -> Path:
    """The path of its interpreter, which need not exist."""
    return venv_python(venv_folder())


def setup_command() -> list[str]:
    """The command that makes it, based on the host's Python; after an interruption the same command resumes."""
    return [sys.executable, str(ROOT / "install.py"), "setup"]


def doctor_command() -> list[str]:
    """The command that reports its state."""
    return [str(environment_python()), str(ROOT / "harness.py"), "doctor"]


def free_gb() -> float:
    """Free space on its disk, in GB."""
    folder = venv_folder()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free / 1e9


def fits() -> bool:
    """Whether the disk has enough free space for the set-up."""
    return free_gb() >= FREE_DISK_GB
