"""HTTP with one server: a method and a path → status, headers and at most so many bytes, within a time limit.

refused, no route, connect timeout      HostUnreachable   nothing was sent: asking again is safe
TLS: certificate, plain HTTP            UntrustedServer   nothing was sent, and asking again changes nothing
reset, silence, a drip, cut off         UnknownOutcome    it was sent: it may have been carried out
3xx                                     HostError         never followed: the password would go along
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .address import DRAWING
from .certificates import refused_certificate, trusted_certificates
from .errors import HostError, HostUnreachable, UnknownOutcome, UnreadableAnswer
from .limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import requests

    from .address import ServerKind

BLOCK = 1 << 16


@dataclass(frozen=True)
class Answer:
    """What came back, whole."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """Speaks HTTP with one server. Safe among threads; `abort` ends whatever is under way."""

    def __init__(
        self,
        url: str,
        auth: tuple[str, str] | Callable[[Any], Any] | None = None,
        limits: Limits | None = None,
        ca_file: Path | None = None,
        server: ServerKind = DRAWING,
    ):
        """`auth`: user and password, or what adds its header to a request."""
        self.url, self.limits, self.server = url, limits or Limits(), server
        self._auth, self._ca_file = auth, ca_file
        self._sockets: set[Any] = set()
        self._local = threading.local()

    def listens(self) -> bool:
        """Whether somebody takes connections at the address; nothing is sent."""
        address = urlsplit(self.url)
        port = address.port or (443 if address.scheme == "https" else 80)
        with suppress(OSError), socket.create_connection((address.hostname or "", port), self.limits.connect_s):
            return True
        return False

    def get(self, path: str, total_s: float | None = None) -> Answer:
        """GET; `path` begins with a slash."""
        return self.request("GET", path, None, total_s or self.limits.answer_s)

    def post(self, path: str, document: Any, total_s: float | None = None) -> Answer:
        """POST of a JSON document."""
        return self.request("POST", path, document, total_s or self.limits.answer_s)

    def request(self, method: str, path: str, document: Any, total_s: float) -> Answer:
        """The whole answer within `total_s` seconds, from connecting to the last byte."""
        from requests import exceptions

        where = f"{method} {self.url}{path}"
        deadline = time.monotonic() + total_s
        sockets: set[Any] = set()
        watchdog = threading.Timer(total_s, self._shut, [sockets])  # whatever drips, headers included, ends with it
        watchdog.daemon = True
        watchdog.start()
        self._local.sockets = sockets
        try:
            with self._session.request(
                method,
                f"{self.url}{path}",
                json=document,
                auth=self._auth,
                allow_redirects=False,
                stream=True,
                timeout=(min(self.limits.connect_s, total_s), total_s),
            ) as response:
                self._refuse_redirect(response, where)
                body = self._read(response, where)
                if time.monotonic() >= deadline:
                    raise OSError("cut off by the watchdog")
                return Answer(where, response.status_code, response.headers, body)
        except exceptions.SSLError as error:
            raise refused_certificate(error, self.url) from error
        except (exceptions.RequestException, OSError) as error:
            if _never_sent(error):
                raise HostUnreachable("nobody answers", where=self.url, to_try=self.server.start) from error
            late = time.monotonic() >= deadline
            raise UnknownOutcome(
                f"no whole answer in {total_s:g} s" if late else "the connection broke before the whole answer",
                where=where,
                to_try="look at the server's console, and at a proxy between if there is one",
            ) from error
        finally:
            watchdog.cancel()
            self._sockets -= sockets

    def abort(self) -> None:
        """Ends every request under way, as if the line had been cut."""
        self._shut(set(self._sockets))

    def close(self) -> None:
        """Ends everything and closes idle connections."""
        self.abort()
        self._session.close()

    @cached_property
    def _session(self) -> requests.Session:
        """One for all threads: cookies, which threads would share, are off."""
        session = _new_session(self._opened)
        session.verify = trusted_certificates(self._ca_file) or True
        return session

    def _opened(self, connected: Any) -> None:
        """A request took this socket."""
        self._local.sockets.add(connected)
        self._sockets.add(connected)

    @staticmethod
    def _shut(sockets: set[Any]) -> None:
        for connected in list(sockets):
            try:
                connected.shutdown(socket.SHUT_RDWR)  # wakes whoever reads from it in another thread
            except OSError:
                pass  # it is closed already

    def _read(self, response: requests.Response, where: str) -> bytes:
        body = bytearray()
        for block in response.iter_content(BLOCK):
            body += block
            if len(body) > self.limits.body_bytes:
                most = self.limits.body_bytes / (1 << 20)
                raise UnreadableAnswer(
                    f"the answer is longer than {most:g} MB", where=where, to_try=self.server.shorter
                )
        promised = response.headers.get("Content-Length")
        if promised and "Content-Encoding" not in response.headers and len(body) < int(promised):
            raise OSError("cut off")  # older urllib3 does not look
        return bytes(body)

    def _refuse_redirect(self, response: requests.Response, where: str) -> None:
        if 300 <= response.status_code < 400:
            raise HostError(
                f"the server sends us elsewhere: {response.headers.get('Location', '(nowhere)')}",
                where=where,
                to_try=f"redirects are not followed; give that address as {self.server.option} if you trust it",
            )


def _never_sent(error: BaseException) -> bool:
    """Whether the failure lies before the first byte went out."""
    from requests.exceptions import ConnectTimeout
    from urllib3.exceptions import NewConnectionError

    if isinstance(error, ConnectTimeout):
        return True
    reason = error.args[0] if error.args else None
    return isinstance(getattr(reason, "reason", reason), NewConnectionError)


def _new_session(opened: Any) -> requests.Session:
    """A session that tells `opened` which socket each request uses."""
    from http.cookiejar import DefaultCookiePolicy

    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class ReportsSocket:
        sock: Any
        connect: Any

        def request(self, *args: Any, **kwargs: Any) -> None:
            if self.sock is None:
                self.connect()
            opened(self.sock)
            super().request(*args, **kwargs)  # type: ignore[misc]  # of the class beside it

    class Plain(HTTPConnectionPool):
        ConnectionCls = type("Plain", (ReportsSocket, HTTPConnection), {})

    class Secure(HTTPSConnectionPool):
        ConnectionCls = type("Secure", (ReportsSocket, HTTPSConnection), {})

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = {"http": Plain, "https": Secure}

    session = requests.Session()
    session.trust_env = False  # neither its proxies nor its .netrc, which would send another password
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter(max_retries=0))
    return session
