"""An app on a socket, until Ctrl-C."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from ..core.errors import InputError

if TYPE_CHECKING:
    from fastapi import FastAPI


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
    """Answers until the process is told to stop; a job that runs then is finished first."""
    import uvicorn

    with suppress(KeyboardInterrupt):  # Ctrl-C is how a server ends
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])
