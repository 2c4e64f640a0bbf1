"""The folder of what belongs to the user: vocabularies of their own, caches, learned priors. Never in the package."""

from __future__ import annotations

import os
from pathlib import Path


def modiste_home() -> Path:
    """MODISTE_HOME, else `.modiste` in the user's home. Nothing is created here."""
    return Path(os.environ.get("MODISTE_HOME") or Path.home() / ".modiste").expanduser().absolute()
