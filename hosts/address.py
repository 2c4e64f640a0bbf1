"""Which servers are spoken to."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from ..core.errors import InputError


def base_url(url: str, *, allow_remote: bool = False) -> str:
    """`scheme://host:port/path` without the slash at its end.

    Raises InputError for other schemes, for a password in the URL (it would end in logs and reports), and for another
    machine unless `allow_remote`: prompts and pictures would leave this one.
    """
    parts = urlsplit(url if "//" in url else f"http://{url}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or parts.query or parts.fragment:
        raise InputError("not the address of a server", where=_bare(url), to_try="--url http://127.0.0.1:7860")
    if parts.username is not None or parts.password is not None:
        raise InputError(
            "name and password don't belong into the address",
            where=_bare(url),
            to_try="MODISTE_WEBUI_AUTH=user:password in the environment",
        )
    if not allow_remote and not is_loopback(parts.hostname):
        raise InputError(
            f"{parts.hostname} is another machine: prompts and pictures would leave this one",
            to_try="--allow-remote if you mean it",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def is_loopback(hostname: str) -> bool:
    """Whether the name can only mean this machine; nothing is looked up."""
    if hostname.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return False


def _bare(url: str) -> str:
    """The address without whatever stands before its @."""
    scheme, slashes, rest = url.partition("//")
    place, slash, path = (rest if slashes else scheme).partition("/")
    return f"{scheme + slashes if slashes else ''}{place.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
