"""What goes wrong → the error bodies of a real server.

validation        422   {"detail": [{loc, msg, type}]}                     the framework's own
Refusal                 {"error": "HTTPException", "detail": why, "body": "", "errors": ""}
anything else     500   {"error": its type, "detail": "", "body": "", "errors": why}
no such route     404   {"detail": "Not Found"}
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from ..core.errors import ModisteError
from ..hosts.errors import OutOfMemory, RequestRefused

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import Response

BAD_REQUEST = 400
UNKNOWN_NAME = 400  # what A1111 answers where it looks ("Sampler not found")
NOT_THERE = 404
TOO_SLOW = 408
TOO_LARGE = 413
NOT_HONOURED = 422
BUSY = 429
STOPPING = 503
AS_A1111_CALLS_IT = {OutOfMemory: "OutOfMemoryError"}  # clients look for the name


class Refusal(Exception):
    """The request is not carried out; `detail` says why."""

    def __init__(self, status: int, detail: str):
        self.status, self.detail = status, detail
        super().__init__(detail)


def refused(detail: str) -> dict[str, str]:
    """A1111's body for a request that it does not carry out."""
    return {"error": "HTTPException", "detail": detail, "body": "", "errors": ""}


def failed(error: Exception) -> dict[str, str]:
    """A1111's body for what broke."""
    kind = AS_A1111_CALLS_IT.get(type(error), type(error).__name__)
    return {"error": kind, "detail": "", "body": "", "errors": str(error)}


def error_response(document: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer of any values: what clients sent may hold NaN and lone surrogates, and is repeated in errors."""
    from starlette.responses import Response

    text = json.dumps(_finite(document), default=str, allow_nan=False)  # ASCII: \\ud800 stays an escape
    return Response(text, status, headers, "application/json")


def _finite(value: Any) -> Any:
    """The value with its NaN and infinities as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def add_error_shapes(app: FastAPI) -> None:
    """Every error of the app in the shape that a client of A1111 knows."""
    from fastapi.exceptions import RequestValidationError

    async def invalid(request: Any, error: RequestValidationError) -> Response:
        return error_response({"detail": error.errors()}, NOT_HONOURED)

    async def refusal(request: Any, error: Refusal) -> Response:
        return error_response(refused(error.detail), error.status, RETRY if error.status == BUSY else None)

    async def unknown(request: Any, error: RequestRefused) -> Response:
        return error_response(refused(str(error)), UNKNOWN_NAME)

    async def failure(request: Any, error: Exception) -> Response:
        return error_response(failed(error), 500)

    app.add_exception_handler(RequestValidationError, invalid)  # type: ignore[arg-type]
    app.add_exception_handler(Refusal, refusal)  # type: ignore[arg-type]
    app.add_exception_handler(RequestRefused, unknown)  # type: ignore[arg-type]
    app.add_exception_handler(ModisteError, failure)
    app.add_exception_handler(Exception, failure)


RETRY = {"Retry-After": "5"}  # seconds
