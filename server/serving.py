"""An app on a socket, until Ctrl-C."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError

if TYPE_CHECKING:
    from fastapi import FastAPI

HEAD_S = 20.0  # for a request's line and headers; whoever takes longer is cut off
EXIT_AT_ONCE = 130


def listen_on(address: str, port: int) -> socket.socket:
    """The listening socket, so that a taken port is told before anything is loaded; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address, port))
    except OSError as error:
        listening.close()
        raise InputError(
            f"the server can't listen at {address}:{port}: {error.strerror}", to_try="another --port"
        ) from error
    listening.listen()
    return listening


def serve(app: FastAPI, listening: socket.socket) -> None:
    """Answers until Ctrl-C: the running picture ends at its next step, waiting jobs are refused; twice ends at once."""
    with suppress(KeyboardInterrupt):  # Ctrl-C is how a server ends
        make_server(app, getattr(app.state, "stop", None)).run(sockets=[listening])


def make_server(app: FastAPI, stop: Callable[[], None] | None = None, head_s: float = HEAD_S) -> Any:
    """uvicorn's server for the app; `stop` is called by the first Ctrl-C."""
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: Any) -> None:
            if self.should_exit:
                os._exit(EXIT_AT_ONCE)  # the drawing thread can't be ended otherwise within a step
            if stop is not None:
                stop()
            super().handle_exit(sig, frame)

    return Server(uvicorn.Config(app, log_level="warning", http=_impatient_protocol(head_s), ws="none", lifespan="off"))


def _impatient_protocol(head_s: float) -> Any:
    """uvicorn's HTTP protocol, which by itself waits for ever for a request's head."""
    import asyncio

    from uvicorn.protocols.http.h11_impl import H11Protocol

    class ImpatientProtocol(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait_for_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def handle_events(self) -> None:
            super().handle_events()
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop_waiting()  # the head is there
            elif self._deadline is None:
                self._wait_for_head()

        def _wait_for_head(self) -> None:
            self._deadline = self.loop.call_later(head_s, self.transport.close)

        def _stop_waiting(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return ImpatientProtocol
