"""A server's answer → JSON, or one error with its cause and what to try.

Four shapes of errors are about: FastAPI's validation `{"detail": [{loc, msg}]}`, A1111's `{error, detail, body,
errors}`, Forge's `{error, detail, body, message}`, and `{"detail": "…"}`; and HTML, from whatever stands before.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import (
    AccessDenied,
    ApiMissing,
    HostBusy,
    HostError,
    NotANumber,
    OutOfMemory,
    RequestRefused,
    UnknownOutcome,
    UnreadableAnswer,
)
from .credentials import AUTH

if TYPE_CHECKING:
    from ..connection import Answer

LONGEST = 300  # characters of a server's own message in ours
OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)
# Proxies' answers to a request that they passed on and lost sight of: the host may still be drawing.
LOST_BY_PROXY = (502, 504, 520, 522, 524)


def read_json(answer: Answer) -> Any:
    """The document of a good answer; raises the error that a bad one is."""
    if answer.status != 200:
        refuse(answer)
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise UnreadableAnswer(_not_json(answer), where=answer.url, to_try=NOT_JSON_HELPS) from None


def refuse(answer: Answer) -> NoReturn:
    """Raises what an answer other than 200 means."""
    status, where, (name, text) = answer.status, answer.url, server_words(answer)
    quoted = f": {text}" if text else ""
    if status in (401, 403):
        raise AccessDenied(
            f"the WebUI refuses us{quoted}", where=where, to_try=f"set {AUTH}=user:password, as behind its --api-auth"
        )
    if status == 404 and text in ("Not Found", "") or status == 405:
        raise ApiMissing(
            "there is no such API", where=where, to_try="start the WebUI with --api; an old one must be updated first"
        )
    if status in (404, 422) or status == 400:
        raise RequestRefused(f"the WebUI refuses the request{quoted or f' with {status}'}", where=where)
    if status in (429, 503):
        raise HostBusy(
            f"the server is busy ({status})", where=where, to_try="wait", retry_after_s=retry_after_s(answer)
        )
    if status in LOST_BY_PROXY:
        raise UnknownOutcome(
            f"a proxy gave up ({status})", where=where, to_try="the proxy's time limit, or --url without the proxy"
        )
    _refuse_failure(status, where, name, text)


def _refuse_failure(status: int, where: str, name: str, text: str) -> NoReturn:
    """What the server's own exception means."""
    full = f"{name}: {text}" if text else name or f"status {status}"
    if "OutOfMemory" in name or OUT_OF_MEMORY.search(text):
        raise OutOfMemory(
            f"the WebUI's device has too little memory ({full})",
            where=where,
            to_try="a smaller size, close what else uses the device, or start the WebUI with --medvram",
        )
    if name == "NansException":
        raise NotANumber(
            f"the model's numbers overflowed ({full})",
            where=where,
            to_try="start the WebUI with --no-half-vae, then --no-half; a LoRA may hold such numbers too",
        )
    if text == "Invalid encoded image":
        raise RequestRefused("the WebUI can't read the picture that was sent", where=where, to_try="bare base64, a PNG")
    raise HostError(f"the WebUI failed with {full}", where=where, to_try="its console shows where")


def server_words(answer: Answer) -> tuple[str, str]:
    """(name of the exception, its words), each empty where the server says nothing of the kind."""
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return "", "a page of HTML" if is_html(answer) else ""
    if not isinstance(body, dict):
        return "", ""
    detail = body.get("detail")
    if isinstance(detail, list):  # FastAPI's validation
        return "", "; ".join(_validation(item) for item in detail)[:LONGEST]
    text = next((str(body[key]) for key in ("detail", "errors", "message") if body.get(key)), "")
    return str(body.get("error") or ""), text[:LONGEST]


def is_html(answer: Answer) -> bool:
    """Whether a page came where JSON was expected."""
    return "html" in answer.headers.get("Content-Type", "") or answer.body[:64].lstrip()[:1] == b"<"


NOT_JSON_HELPS = "the address must be the WebUI's own, not that of a proxy's or login page"


def _not_json(answer: Answer) -> str:
    if is_html(answer):
        return "a page of HTML came where JSON was expected"
    return f"the answer is no whole JSON document ({len(answer.body)} bytes)"


def _validation(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    return f"{'.'.join(str(part) for part in item.get('loc', ()))}: {item.get('msg', '')}"


def retry_after_s(answer: Answer) -> float | None:
    """Seconds that the server asks for, None without a number; a date, which the header may hold too, is not read."""
    try:
        return max(0.0, float(answer.headers.get("Retry-After", "")))
    except ValueError:
        return None
