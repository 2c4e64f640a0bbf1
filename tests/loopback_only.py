"""No test leaves this machine: sockets that would are refused, and the test fails.

Processes that tests start are not covered; those of ours open no connection that a test does not ask for.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

RESERVED = (".invalid", ".test", ".example")  # RFC 2606: names that nobody has


def is_here(host: Any) -> bool:
    """Whether a socket to `host` stays on this machine; text or bytes, None for any interface."""
    name = host.decode() if isinstance(host, bytes) else host
    webui = urlsplit(os.environ.get("MODISTE_WEBUI_URL", "")).hostname
    if name in (None, "", "localhost", socket.gethostname(), webui):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def refuse(host: Any) -> None:
    """Fails the test, unless `host` is here; a name that nobody can have is unknown at once."""
    if is_here(host):
        return
    if str(host).endswith(RESERVED):
        raise socket.gaierror(socket.EAI_NONAME, "a reserved name")
    pytest.fail(f"a test asked for {host!r}: tests stay on this machine", pytrace=True)


@contextmanager
def loopback_only() -> Iterator[None]:
    """Inside `with`, connections and look-ups of names leave this machine no more."""
    connect, connect_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded(method: Any) -> Any:
        def call(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                refuse(address[0])
            return method(self, address)

        return call

    def guarded_look_up(host: Any, *arguments: Any, **named: Any) -> Any:
        refuse(host)
        return look_up(host, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(connect))
        patch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
        patch.setattr(socket, "getaddrinfo", guarded_look_up)
        yield
