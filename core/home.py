"""The user's own folder: vocabularies, caches, learned priors. Nothing of that is kept in the package."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InputError


def modiste_home() -> Path:
    """The folder MODISTE_HOME, else `.modiste` in the user's home; this function does not create it.

    InputError where neither is known.
    """
    try:
        return Path(os.environ.get("MODISTE_HOME") or Path.home() / ".modiste").expanduser().absolute()
    except RuntimeError as error:  # a user whom the system does not know, as in some containers
        raise InputError(
            "this user has no home folder", where="MODISTE_HOME", to_try="name a folder in the variable MODISTE_HOME"
        ) from error
