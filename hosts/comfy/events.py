"""A server's events about our prompts, by websocket; a broken one is opened again, and having none is no error.

/history alone says how a prompt ended: events only say when to look, and how far the sampler is.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..certificates import trusted_certificates

log = logging.getLogger("modiste")

ENDS = ("execution_success", "execution_error", "execution_interrupted")
BREAKS_IN_A_ROW = 3  # and the websocket is given up
MOST_BYTES = 1 << 20  # of one event; binary messages (previews) are ignored


class EventStream:
    """The websocket of one client."""

    def __init__(self, url: str, client_id: str, connect_s: float, ca_file: Path | None = None):
        scheme, _, rest = url.partition("://")
        self._url = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws?clientId={client_id}"
        self._connect_s, self._breaks, self._ca_file = connect_s, 0, ca_file
        self._socket: Any = None  # a websocket.WebSocket

    def open(self) -> None:
        """Opens the websocket before a prompt is queued, so that no event of it is missed."""
        import websocket

        if self._socket is not None or self._breaks >= BREAKS_IN_A_ROW:
            return
        try:
            bundle = trusted_certificates(self._ca_file)
            self._socket = websocket.create_connection(
                self._url,
                timeout=self._connect_s,
                redirect_limit=0,
                sslopt={} if bundle is None else {"ca_cert_path" if Path(bundle).is_dir() else "ca_certs": bundle},
            )
        except (OSError, websocket.WebSocketException) as error:
            self._breaks += 1
            log.info("no events from %s by websocket (%s): polling instead", self._url.partition("?")[0], error)

    def wait(self, prompt_id: str, quiet_s: float, poll_s: float, step: Callable[[int, int], None]) -> None:
        """Returns when the prompt has ended, or after `quiet_s` seconds without an event.

        Where there is no websocket it returns after `poll_s`.
        """
        import websocket

        self.open()
        if self._socket is None:
            threading.Event().wait(poll_s)
            return
        try:
            self._socket.settimeout(quiet_s)
            while True:
                if self._end_of(prompt_id, self._socket.recv(), step):
                    return
        except websocket.WebSocketTimeoutException:
            return
        except (OSError, websocket.WebSocketException):
            self._breaks += 1
            self.close()

    def _end_of(self, prompt_id: str, message: Any, step: Callable[[int, int], None]) -> bool:
        if not isinstance(message, str) or len(message) > MOST_BYTES:
            return False
        try:
            event = json.loads(message)
            kind, data = event["type"], event["data"]
        except (ValueError, KeyError, TypeError):
            return False
        if not isinstance(data, dict) or data.get("prompt_id") != prompt_id:
            return False
        if kind == "progress":
            self._breaks = 0
            step(int(data.get("value", 0)), int(data.get("max", 0)))
        return kind in ENDS

    def close(self) -> None:
        """Closes the websocket without waiting for the server to confirm."""
        if self._socket is not None:
            self._socket.shutdown()
            self._socket = None
