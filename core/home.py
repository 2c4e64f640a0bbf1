"""The user's own folder: vocabularies, caches, learned priors. Nothing of that is kept in the package."""

from __future__ import annotations

import os
from pathlib import Path


def modiste_home() -> Path:
    """The folder MODISTE_HOME, else `.modiste` in the user's home; this function does not create it."""
    return Path(os.environ.get("MODISTE_HOME") or Path.home() / ".modiste").expanduser().absolute()
