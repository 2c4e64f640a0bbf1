"""SIGTERM, SIGHUP (a closed terminal) and Ctrl-C as a wish: the step is finished, a checkpoint kept, the run ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Inside `with`, tells whether somebody wants the run to end; a second Ctrl-C ends it at once.

    Signals reach the main thread only: elsewhere the answer is always no, and the caller has a way of its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDINGS)}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}  # as under nohup

    def ask(number: int, frame: object) -> None:
        asked.set()
        if signal.SIGINT in before:
            signal.signal(signal.SIGINT, before[signal.SIGINT])

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
