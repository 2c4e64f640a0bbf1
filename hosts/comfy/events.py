"""What a server tells of our prompts by websocket; a broken line is opened again, and none at all is no error.

The truth about a prompt is in /history: news only say when to look, and how far the sampler is.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

log = logging.getLogger("modiste")

ENDS = ("execution_success", "execution_error", "execution_interrupted")
BREAKS_IN_A_ROW = 3  # and the line is given up
MOST_BYTES = 1 << 20  # of one piece of news; pictures that come with it are passed over


class EventStream:
    """The websocket of one client."""

    def __init__(self, url: str, client_id: str, connect_s: float):
        scheme, _, rest = url.partition("://")
        self._url = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws?clientId={client_id}"
        self._connect_s, self._line, self._breaks = connect_s, None, 0

    def open(self) -> None:
        """Opens the line before a prompt is queued, so that nothing of it is missed."""
        import websocket

        if self._line is not None or self._breaks >= BREAKS_IN_A_ROW:
            return
        try:
            self._line = websocket.create_connection(self._url, timeout=self._connect_s, redirect_limit=0)
        except (OSError, websocket.WebSocketException) as error:
            self._breaks += 1
            log.info("no news from %s by websocket (%s): asking instead", self._url.partition("?")[0], error)

    def wait(self, prompt_id: str, quiet_s: float, poll_s: float, step: Callable[[int, int], None]) -> None:
        """Returns when the prompt has ended, after `quiet_s` seconds without news, or without a line after `poll_s`."""
        import websocket

        self.open()
        if self._line is None:
            threading.Event().wait(poll_s)
            return
        try:
            self._line.settimeout(quiet_s)
            while True:
                if self._end_of(prompt_id, self._line.recv(), step):
                    return
        except websocket.WebSocketTimeoutException:
            return
        except (OSError, websocket.WebSocketException):
            self._breaks += 1
            self.close()

    def _end_of(self, prompt_id: str, news: Any, step: Callable[[int, int], None]) -> bool:
        if not isinstance(news, str) or len(news) > MOST_BYTES:
            return False
        try:
            told = json.loads(news)
            kind, data = told["type"], told["data"]
        except (ValueError, KeyError, TypeError):
            return False
        if not isinstance(data, dict) or data.get("prompt_id") != prompt_id:
            return False
        if kind == "progress":
            self._breaks = 0
            step(int(data.get("value", 0)), int(data.get("max", 0)))
        return kind in ENDS

    def close(self) -> None:
        """Hangs up, without waiting for an answer to that."""
        if self._line is not None:
            self._line.shutdown()
            self._line = None
