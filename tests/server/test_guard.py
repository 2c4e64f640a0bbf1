"""Who may ask, of what size and for how long: the guard before an app of one route, without a socket."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI, Request

from modiste.core.errors import InputError
from modiste.server import guard

HOST = {"host": "127.0.0.1:7860"}
HOME = ("127.0.0.1", "localhost")


def guarded(users: dict[str, str] | None = None, names: tuple[str, ...] | None = HOME) -> FastAPI:
    """An app that answers with how many bytes it was sent, behind the guard."""
    app = FastAPI()

    @app.post("/{path:path}")
    async def count(path: str, request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    guard.add_guard(app, users or {}, names)
    return app


class Answer:
    """What an app sent: status, headers, JSON; `unread` parts of the body were left to the client."""

    def __init__(self, sent: list[dict[str, Any]], unread: int):
        start, *rest = sent
        self.status, self.unread = start["status"], unread
        self.headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        self.document = json.loads(b"".join(message.get("body", b"") for message in rest))


async def ask(app: Any, headers: dict[str, str] = HOST, path: str = "/sdapi/v1/txt2img", body: bytes = b"") -> Answer:
    """One request as a server hands it on, its body a byte a part."""
    parts = [{"type": "http.request", "body": bytes([byte]), "more_body": True} for byte in body]
    parts = [*parts[:-1], {**(parts or [{"type": "http.request"}])[-1], "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": [(name.encode(), value.encode()) for name, value in headers.items()], "http_version": "1.1"}
    await app({**scope, "scheme": "http", "server": ("127.0.0.1", 7860), "client": ("127.0.0.1", 1)}, receive, send)
    return Answer(sent, len(parts))


def answer(app: Any, headers: dict[str, str] = HOST, **request: Any) -> Answer:
    """That of one request, which has 20 seconds."""
    return asyncio.run(asyncio.wait_for(ask(app, headers, **request), 20))


def refusal(detail: str) -> dict[str, str]:
    """A1111's body."""
    return {"error": "HTTPException", "detail": detail, "body": "", "errors": ""}


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode('latin-1')).decode()}"


# ── names and pages ──


@pytest.mark.parametrize(
    ("headers", "status", "detail"),
    [
        ({"host": "[::1"}, 400, "the Host header names no host"),
        ({"host": "shop.example:7860"}, 403, "this server does not answer to the name 'shop.example:7860'"),
        ({}, 403, "this server does not answer to the name ''"),
        ({**HOST, "origin": "http://shop.example"}, 403, "pages of another origin may not ask"),
        ({**HOST, "origin": "null"}, 403, "pages of another origin may not ask"),
        ({**HOST, "origin": "http://127.0.0.1"}, 403, "pages of another origin may not ask"),
        ({**HOST, "origin": ""}, 403, "pages of another origin may not ask"),
    ],
)
def test_foreign_pages_and_names_are_refused_in_words(headers, status, detail):
    refused = answer(guarded(), headers)
    assert (refused.status, refused.document) == (status, refusal(detail))


@pytest.mark.parametrize("headers", [HOST, {"host": "LOCALHOST"}, {**HOST, "origin": "http://127.0.0.1:7860"}])
def test_own_pages_and_names_are_answered(headers):
    assert answer(guarded(), {**headers, "content-length": "3"}, body=b"abc").document == {"bytes": 3}


def test_a_server_for_the_network_answers_to_every_name():
    for headers in ({"host": "shop.example"}, {}):
        assert answer(guarded(names=None), headers).status == 200
    assert answer(guarded(names=None), {"host": "[::1"}).status == 400


@pytest.mark.parametrize(
    ("host", "name"), [("127.0.0.1:1", "127.0.0.1"), ("[::1]:80", "::1"), ("", ""), ("Name", "name"), ("[::1", None)]
)
def test_the_name_in_a_host_header_is_read(host, name):
    assert guard._hostname(host) == name


# ── users ──

STRANGER, WRONG = "Not authenticated", "Incorrect username or password"


@pytest.mark.parametrize(
    ("authorization", "why"),
    [
        (basic("ann:secret:word"), None),
        (basic("ann:secret:word").replace("Basic", "bASIC"), None),
        (None, STRANGER),
        (basic("ann:secret:word").replace("Basic", "Bearer"), STRANGER),
        ("Basic", WRONG),
        (basic("ann:secret"), WRONG),
        (basic("bob:"), WRONG),
        (basic("bob:secret:word"), WRONG),
        (basic("ann"), WRONG),
        (basic("\xff:\xff"), WRONG),
        (basic("ann:secret:word").replace("ic Y", "ic !Y"), WRONG),
        ("Basic YQ", WRONG),
    ],
)
def test_only_known_users_are_answered_and_others_told_as_a1111_does(authorization, why):
    headers = {} if authorization is None else {"authorization": authorization}
    assert guard._stranger(headers, {"ann": "secret:word"}) == why
    app = guarded({"ann": "secret:word"})
    result = answer(app, {**HOST, **headers})
    assert (result.status, result.document) == ((401, refusal(why)) if why else (200, {"bytes": 0}))
    assert answer(app, path="/openapi.json").status == 200, "only the API asks who it is"


def test_users_are_read_whatever_is_between_them():
    assert guard.read_users(" ann:a ,, bob:b:c,") == {"ann": "a", "bob": "b:c"}
    with pytest.raises(InputError) as caught:
        guard.read_users("ann:a, bob")
    assert str(caught.value) == "the users of --api-auth are written user:password,user:password"


# ── sizes ──


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ({"content-length": "5"}, 5),
        ({"content-length": "-5"}, 0),
        ({"content-length": ""}, 0),
        ({}, 0),
        ({"content-length": "five"}, None),
        ({"content-length": "5", "transfer-encoding": "gzip, chunked"}, None),
    ],
)
def test_the_length_of_a_body_is_what_its_headers_say(headers, length):
    assert guard._length(headers) == length


@pytest.mark.parametrize("headers", [{"content-length": "67108865"}, {"transfer-encoding": "chunked"}])
def test_a_body_without_a_bearable_length_is_read_and_refused_and_its_connection_ends(headers):
    refused = answer(guarded(), {**HOST, **headers}, body=b"four")
    detail = "a body has a Content-Length and at most 64 MB"
    assert (refused.status, refused.document, refused.unread) == (413, refusal(detail), 0)
    assert refused.headers["connection"] == "close"


def test_a_body_of_the_largest_size_is_taken_and_one_byte_more_is_not(monkeypatch):
    monkeypatch.setattr(guard, "MOST_BYTES", 4)
    assert answer(guarded(), {**HOST, "content-length": "4"}, body=b"four").document == {"bytes": 4}
    assert answer(guarded(), {**HOST, "content-length": "5"}, body=b"fifth").status == 413


def test_large_bodies_beyond_the_room_for_all_are_told_to_come_again_and_have_room_once_others_are_answered(
    monkeypatch,
):
    monkeypatch.setattr(guard, "SMALL_BYTES", 2)
    monkeypatch.setattr(guard, "MOST_BYTES_AT_ONCE", 10)

    async def requests() -> None:
        app, arrived, go_on = FastAPI(), asyncio.Event(), asyncio.Event()

        @app.post("/{path:path}")
        async def wait(path: str) -> str:
            if path == "breaks":
                raise RuntimeError("broken")
            arrived.set()
            await go_on.wait()
            return "drawn"

        guard.add_guard(app, {}, None)

        def sized(length: int, path: str = "/waits") -> Awaitable[Answer]:
            return ask(app, {"content-length": str(length)}, path, bytes(length))

        with pytest.raises(RuntimeError):
            await sized(8, "/breaks")
        first = asyncio.create_task(sized(8))
        await arrived.wait()
        busy = await sized(3)
        detail = "too many large bodies at once; send this one again later"
        assert (busy.status, busy.document, busy.unread) == (429, refusal(detail), 0)
        assert int(busy.headers["retry-after"]) > 0
        others = [asyncio.create_task(sized(2)), asyncio.create_task(sized(2))]
        await asyncio.sleep(0)
        go_on.set()
        assert [(await task).status for task in (first, *others)] == [200] * 3
        assert (await sized(10)).status == 200

    asyncio.run(asyncio.wait_for(requests(), 20))


@pytest.mark.parametrize("most", [0, 2])
def test_of_a_refused_body_that_has_no_end_no_more_is_read_than_is_bearable(most, monkeypatch):
    monkeypatch.setattr(guard, "MOST_DISCARDED", most)
    received: list[dict[str, Any]] = []

    class Client:
        async def receive(self) -> dict[str, Any]:
            received.append({"body": b"x", "more_body": True})
            return received[-1]

    asyncio.run(asyncio.wait_for(guard._discard(Client()), 20))
    assert len(received) == most + 1


def test_a_client_that_is_gone_has_no_more_of_its_refused_body_read():
    messages = [{"body": b"x", "more_body": True}, {"type": "http.disconnect"}, {"body": b"y"}]

    class Client:
        async def receive(self) -> dict[str, Any]:
            return messages.pop(0)

    asyncio.run(asyncio.wait_for(guard._discard(Client()), 20))
    assert messages == [{"body": b"y"}]


# ── the clock on a body ──


class JumpingClock(asyncio.SelectorEventLoop):
    """A loop whose clock is `ahead` of the machine's: nobody waits for it."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def timed(
    app: Callable[..., Awaitable[None]], waits: list[float], messages: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """What is sent where each message of the body arrives after so many seconds."""
    sent: list[dict[str, Any]] = []
    arriving, loop = iter(zip(waits, messages, strict=True)), JumpingClock()

    async def receive() -> dict[str, Any]:
        wait, message = next(arriving)
        loop.ahead += wait
        for _ in range(5):  # what is due by that clock happens
            await asyncio.sleep(0)
        return message

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    try:
        loop.run_until_complete(guard.BodyTimeLimit(app)({"type": "http"}, receive, send))
    finally:
        loop.close()
    return sent


PART = {"type": "http.request", "body": b"x", "more_body": True}


def test_a_body_that_drips_has_one_clock_for_all_of_it_and_is_told_how_long_it_had():
    parts: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] == "http.request":
            parts.append("read")

    start, body = timed(app, [25] * 4, [PART] * 4)
    assert len(parts) == 2, "the third is there after 75 of 60 seconds"
    assert (start["status"], dict(start["headers"])[b"connection"]) == (408, b"close")
    assert json.loads(body["body"]) == refusal("the body was not whole in 60 s")


@pytest.mark.parametrize("last", [{"type": "http.request"}, {"type": "http.disconnect", "more_body": True}])
def test_behind_a_whole_body_the_wait_for_the_client_s_end_has_no_clock(last):
    received: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        received.extend([(await receive())["type"] for _ in range(3)])
        await send({"type": "http.response.start"})

    assert timed(app, [0, 0, 1000], [PART, last, {"type": "http.disconnect"}]) == [{"type": "http.response.start"}]
    assert received == ["http.request", last["type"], "http.disconnect"]


def test_what_is_no_request_has_no_clock():
    passed: list[Any] = []

    async def app(*arguments: Any) -> None:
        passed.extend(arguments)

    scope = {"type": "lifespan"}
    asyncio.run(guard.BodyTimeLimit(app)(scope, "receive", "send"))
    assert passed == [scope, "receive", "send"]
