"""Who may ask: known users, this machine's own pages, bodies of a bearable size."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..core.errors import InputError
from .errors import BAD_REQUEST, BUSY, RETRY, TOO_LARGE, TOO_SLOW, error_response, refused

if TYPE_CHECKING:
    from fastapi import FastAPI

MOST_BYTES = 64 * 2**20  # of a body
SMALL_BYTES = 2**20  # of a body that is always taken
MOST_BYTES_AT_ONCE = 4 * MOST_BYTES  # of all bodies whose requests are not answered yet
MOST_DISCARDED = 512 * 2**20  # of a body that is refused
SILENCE_S = 1.0  # of a client whose body is refused
BODY_S = 60.0  # for a body to arrive
OWN_NAMES = ("127.0.0.1", "localhost", "::1")
PROTECTED = "/sdapi/"  # as on a real server, openapi.json stays open


def read_users(text: str) -> dict[str, str]:
    """`user:password` pairs, comma-separated → password by user; InputError where one is no pair."""
    pairs = [pair.strip().partition(":") for pair in text.split(",") if pair.strip()]
    if not all(user and colon and password for user, colon, password in pairs):
        raise InputError("the users of --api-auth are written user:password,user:password")
    return {user: password for user, _, password in pairs}


def add_guard(app: FastAPI, users: dict[str, str], names: tuple[str, ...] | None) -> None:
    """Refuses before anything is parsed: foreign pages and host names (403), large bodies (413), strangers (401).

    `names`: what the Host header may say; None takes any, for a server that others on the network may ask.
    """
    bodies = BodyBudget()

    @app.middleware("http")
    async def guard(request: Any, call_next: Any) -> Any:
        headers = request.headers
        host, origin = headers.get("host", ""), headers.get("origin")
        if (name := _hostname(host)) is None:
            return error_response(refused("the Host header names no host"), BAD_REQUEST)
        if names is not None and name not in names:
            return error_response(refused(f"this server does not answer to the name {host!r}"), 403)
        if origin is not None and origin.partition("://")[2] != host:
            return error_response(refused("pages of another origin may not ask"), 403)
        if users and request.url.path.startswith(PROTECTED) and (why := _stranger(headers, users)):
            return error_response(refused(why), 401)
        length = _length(headers)
        if length is None or length > MOST_BYTES:
            await _discard(request)
            what = f"a body has a Content-Length and at most {MOST_BYTES // 2**20} MB"
            return error_response(refused(what), TOO_LARGE, {"Connection": "close"})
        if not bodies.take(length):
            await _discard(request)
            return error_response(refused("too many large bodies at once; send this one again later"), BUSY, RETRY)
        try:
            return await call_next(request)
        finally:
            bodies.give_back(length)

    app.add_middleware(BodyTimeLimit)


class BodyBudget:
    """Bytes of the large bodies that are in memory, from their arrival to their answer."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self, length: int) -> bool:
        """Whether there is room for a body; small ones always have some."""
        if length > SMALL_BYTES and self.taken + length > MOST_BYTES_AT_ONCE:
            return False
        self.taken += length
        return True

    def give_back(self, length: int) -> None:
        """The body's request is answered."""
        self.taken -= length


class BodyTimeLimit:
    """ASGI middleware: a body that is not whole in `BODY_S` seconds ends its request (408)."""

    def __init__(self, app: Any):
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes the request on with a clock on its body; the wait for a disconnect behind it has none."""
        import asyncio

        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        loop = asyncio.get_running_loop()
        deadline, whole, answered = loop.time() + BODY_S, False, False

        async def timed_receive() -> Any:
            nonlocal whole, answered
            if whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), deadline - loop.time())
            except (TimeoutError, asyncio.TimeoutError):
                what = refused(f"the body was not whole in {BODY_S:g} s")
                await error_response(what, TOO_SLOW, {"Connection": "close"})(scope, receive, send)
                whole = answered = True
                return {"type": "http.disconnect"}
            whole = message["type"] != "http.request" or not message.get("more_body")
            return message

        async def send_once(message: Any) -> None:
            if not answered:
                await send(message)

        await self.app(scope, timed_receive, send_once)


def _hostname(host: str) -> str | None:
    """The name in a Host header, empty where it has none; None where it can't be read."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return None


def _length(headers: Any) -> int | None:
    """Bytes of the body as the headers say; None where they don't."""
    if "chunked" in headers.get("transfer-encoding", ""):
        return None
    try:
        return max(0, int(headers.get("content-length") or 0))
    except ValueError:
        return None


async def _discard(request: Any) -> None:
    """Reads a refused body and forgets it: a client that is still sending sees the answer, not a broken connection."""
    import asyncio

    discarded = 0
    while discarded <= MOST_DISCARDED:
        try:
            message = await asyncio.wait_for(request.receive(), SILENCE_S)
        except (TimeoutError, asyncio.TimeoutError):
            return  # it waits for our answer before it sends anything
        discarded += len(message.get("body", b""))
        if not message.get("more_body"):
            return


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
