"""When to ask again and when to leave the host alone."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from ..errors import (
    HostBusy,
    HostError,
    HostUnreachable,
    Interrupted,
    NotANumber,
    OutOfMemory,
    UnknownOutcome,
    UnreadableAnswer,
)
from ..limits import Limits

# What may go well the next time. A refusal, a wrong password, a wrong model or sampler never does.
PASSING = (HostBusy, HostUnreachable, Interrupted, NotANumber, OutOfMemory, UnknownOutcome, UnreadableAnswer)


def pause_s(limits: Limits, failures: int, error: HostError, draw: Callable[[], float] = random.random) -> float:
    """Seconds to wait after the `failures`th failure, 1 and up: full jitter, or what the host asked for.

    Exponential backoff with full jitter: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    if isinstance(error, HostBusy) and error.retry_after_s is not None:
        return min(error.retry_after_s, limits.cap_s)
    return draw() * min(limits.cap_s, limits.base_s * 2.0 ** (failures - 1))


class Breaker:
    """Opens after several failures in a row and lets one try through when the rest is over."""

    def __init__(self, limits: Limits, now: Callable[[], float] = time.monotonic):
        self.limits, self.now = limits, now
        self.failures = 0  # in a row
        self._opened: float | None = None

    @property
    def rest_s(self) -> float:
        """Seconds until the host may be asked again; 0 where it may be asked now."""
        if self._opened is None:
            return 0.0
        return max(0.0, self._opened + self.limits.rest_s - self.now())

    def succeeded(self) -> None:
        """The host has answered as it should."""
        self.failures, self._opened = 0, None

    def failed(self) -> None:
        """One failure more."""
        self.failures += 1
        if self.failures >= self.limits.failures:
            self._opened = self.now()

    def refuse(self, url: str) -> None:
        """HostUnreachable while the breaker is open."""
        if self.rest_s:
            raise HostUnreachable(
                f"the WebUI failed {self.failures} times in a row and is left alone for {self.rest_s:.0f} s",
                where=url,
                to_try="look at its console; the same command goes on",
            )
