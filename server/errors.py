"""What goes wrong → the error bodies of a real server.

validation        422   {"detail": [{loc, msg, type}]}                     the framework's own
Refusal                 {"error": "HTTPException", "detail": why, "body": "", "errors": ""}
anything else     500   {"error": its type, "detail": "", "body": "", "errors": why}
no such route     404   {"detail": "Not Found"}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import ModisteError
from ..hosts.errors import OutOfMemory, RequestRefused

if TYPE_CHECKING:
    from fastapi import FastAPI

UNKNOWN_NAME = 400  # what A1111 answers where it looks ("Sampler not found")
NOT_THERE = 404
NOT_HONOURED = 422
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


def add_error_shapes(app: FastAPI) -> None:
    """Every error of the app in the shape that a client of A1111 knows."""
    from fastapi.responses import JSONResponse

    async def refusal(request: Any, error: Refusal) -> JSONResponse:
        return JSONResponse(refused(error.detail), error.status)

    async def unknown(request: Any, error: RequestRefused) -> JSONResponse:
        return JSONResponse(refused(str(error)), UNKNOWN_NAME)

    async def failure(request: Any, error: Exception) -> JSONResponse:
        return JSONResponse(failed(error), 500)

    app.add_exception_handler(Refusal, refusal)  # type: ignore[arg-type]
    app.add_exception_handler(RequestRefused, unknown)  # type: ignore[arg-type]
    app.add_exception_handler(ModisteError, failure)
    app.add_exception_handler(Exception, failure)
