"""Which servers are spoken to."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..core.errors import InputError


@dataclass(frozen=True)
class ServerKind:
    """What errors say of a kind of server: its option, what to do where nobody answers, where its secret stands."""

    option: str
    example: str
    start: str
    secret: str
    sent: str  # what leaves this machine
    shorter: str  # what makes an answer shorter


DRAWING = ServerKind(
    option="--url",
    example="http://127.0.0.1:7860",
    start="start the server (a WebUI with --api), or correct --url",
    secret="MODISTE_WEBUI_AUTH=user:password in the environment",
    sent="prompts and pictures",
    shorter="a smaller size",
)
CAPTIONER = ServerKind(
    option="--captioner",
    example="http://127.0.0.1:11434",
    start="start the server (llama.cpp, vLLM, Ollama), or correct --captioner",
    secret="MODISTE_CAPTIONER_KEY=key in the environment",
    sent="photos",
    shorter="another --captioner-model",
)


def base_url(url: str, *, allow_remote: bool = False, server: ServerKind = DRAWING) -> str:
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
        raise InputError("not the address of a server", where=_bare(url), to_try=f"{server.option} {server.example}")
    if parts.username is not None or parts.password is not None:
        raise InputError(
            "name and password don't belong into the address",
            where=_bare(url),
            to_try=server.secret,
        )
    if not allow_remote and not is_loopback(parts.hostname):
        raise InputError(
            f"{parts.hostname} is another machine: {server.sent} would leave this one",
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
