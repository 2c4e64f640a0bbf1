"""Name and password for a WebUI: from the environment alone, so that no log, journal or report holds them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ...core.errors import InputError

AUTH = "MODISTE_WEBUI_AUTH"


def credentials(environment: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """Name and password of basic auth, from the environment alone; None where it has none."""
    text = environment.get(AUTH, "")
    if not text:
        return None
    user, colon, password = text.partition(":")
    if not colon or not user:
        raise InputError(f"{AUTH} is not user:password", to_try="the same text as behind the WebUI's --api-auth")
    return user, password
