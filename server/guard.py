"""Who may ask: known users, this machine's own pages, bodies of a bearable size."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..core.errors import InputError
from .errors import refused

if TYPE_CHECKING:
    from fastapi import FastAPI

MOST_BYTES = 64 * 2**20  # of a body
OWN_NAMES = ("127.0.0.1", "localhost", "::1")
PROTECTED = "/sdapi/"  # as on a real server, openapi.json stays open


def read_users(text: str) -> dict[str, str]:
    """`user:password` pairs, comma-separated → password by user; InputError where one is no pair."""
    pairs = [pair.strip().partition(":") for pair in text.split(",") if pair.strip()]
    if not all(user and colon and password for user, colon, password in pairs):
        raise InputError("the users of --api-auth are written user:password,user:password")
    return {user: password for user, _, password in pairs}


def add_guard(app: FastAPI, users: dict[str, str], names: tuple[str, ...] | None) -> None:
    """Refuses before anything is read: foreign pages and host names (403), too large bodies (413), strangers (401).

    `names`: what the Host header may say; None takes any, for a server that others on the network may ask.
    """
    from fastapi.responses import JSONResponse

    @app.middleware("http")
    async def guard(request: Any, call_next: Any) -> Any:
        headers = request.headers
        host, origin = headers.get("host", ""), headers.get("origin")
        if names is not None and urlsplit(f"//{host}").hostname not in names:
            return JSONResponse(refused(f"this server does not answer to the name {host!r}"), 403)
        if origin is not None and urlsplit(origin).netloc != host:
            return JSONResponse(refused("pages of another origin may not ask"), 403)
        if int(headers.get("content-length") or 0) > MOST_BYTES or "chunked" in headers.get("transfer-encoding", ""):
            return JSONResponse(refused(f"a body has its length said and at most {MOST_BYTES // 2**20} MB"), 413)
        if users and request.url.path.startswith(PROTECTED) and (why := _stranger(headers, users)):
            return JSONResponse(refused(why), 401)
        return await call_next(request)


def _stranger(headers: Any, users: dict[str, str]) -> str | None:
    """Why the request is not from one of `users`, in A1111's words; None where it is."""
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "Not authenticated"
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "Incorrect username or password"
    known = secrets.compare_digest(users.get(user, "").encode(), password.encode())
    return None if user in users and known else "Incorrect username or password"
