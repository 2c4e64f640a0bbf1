"""One picture from the server in spite of failures: send, watch, wait, send again, or say why not.

refused, busy, out of memory, unreadable         a pause with jitter, then again
NaN                                              once more, then another seed tells what is broken (overflow.py)
lost, or an API that is gone                     wait until the server is idle, then again: never two at once
anything else                                    a trial picture tells whether everything fails, then the error
five failures in a row                           the server is left alone for a while
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.progress import Progress, ProgressCallback, silent
from ..errors import ApiMissing, HostBroken, HostError, HostUnreachable, Interrupted, NotANumber, UnknownOutcome
from ..request import GenerationRequest
from .capability import OPTIONS, TXT2IMG
from .overflow import diagnose_overflow
from .payload import payload_of
from .responses import read_json
from .result import Txt2ImgResult
from .retry import PASSING, Breaker, pause_s

if TYPE_CHECKING:
    from ..connection import Connection
    from .capability import Capability
    from .catalogue import Checkpoint
    from .jobs import Jobs

log = logging.getLogger("modiste")

OVERFLOWS = 2  # of the same request, and it is not drawn a third time


class RetryingClient:
    """One picture in flight, on one server."""

    def __init__(
        self,
        connection: Connection,
        capability: Capability,
        jobs: Jobs,
        breaker: Breaker,
        progress: ProgressCallback = silent,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.connection, self.capability, self.jobs, self.breaker = connection, capability, jobs, breaker
        self.progress, self.sleep = progress, sleep
        self._lock = threading.Lock()
        self._interrupted = threading.Event()  # by `interrupt`

    def fetch(self, request: GenerationRequest, checkpoint: Checkpoint | None) -> Txt2ImgResult:
        """The picture, compared with what was asked; raises the last error where it can't be had."""
        limits = self.connection.limits
        with self._lock:
            self._interrupted.clear()
            overflows = 0
            for failures in range(1, limits.tries + 1):
                self.breaker.refuse(self.connection.url)
                try:
                    result = self._attempt(request, checkpoint)
                    self.breaker.succeeded()
                    return result
                except NotANumber as error:
                    self.breaker.succeeded()  # the server answers: it is the picture that can't be drawn
                    overflows += 1
                    if overflows >= min(OVERFLOWS, limits.tries):
                        raise self._overflow(error, request, checkpoint) from error
                    if failures == limits.tries:
                        raise
                    log.warning("%s: trying again", error)
                except (*PASSING, ApiMissing) as error:  # that server had the API: it is just starting anew
                    self.breaker.failed()
                    if failures == limits.tries or self._interrupted.is_set():
                        raise
                    log.warning("%s: trying again", error)
                    self._recover(error, failures)
                except HostError as error:
                    self.breaker.failed()
                    raise self._diagnose(error) from error
        raise AssertionError("the last failure is raised")

    def interrupt(self) -> bool:
        """Ends our picture, if it is surely ours that is being drawn, and the waiting for it; from any thread."""
        self._interrupted.set()
        interrupted = self.jobs.interrupt()
        self.connection.abort()
        return interrupted

    def _attempt(self, request: GenerationRequest, checkpoint: Checkpoint | None) -> Txt2ImgResult:
        result = self._send(request, checkpoint.title if checkpoint else None)
        result.refuse_replaced(request, checkpoint)
        if self.jobs.was_interrupted(result.info.get("job_timestamp")):
            raise Interrupted("somebody interrupted the picture in the WebUI", where=self.connection.url)
        return result

    def _send(self, request: GenerationRequest, title: str | None) -> Txt2ImgResult:
        payload = payload_of(request, title, self.jobs.begin())
        began = time.monotonic()
        try:
            with self._reporting_steps(request):
                answer = self.connection.post(TXT2IMG, payload, self.connection.limits.picture_s)
        except KeyboardInterrupt:
            self.jobs.interrupt()
            raise
        finally:
            self.jobs.end()
        result = Txt2ImgResult.read(read_json(answer), answer.url)
        result.refuse_black()
        return replace(result, elapsed_s=time.monotonic() - began)

    def _recover(self, error: HostError, failures: int) -> None:
        if isinstance(error, (UnknownOutcome, ApiMissing)):
            self.jobs.wait_until_idle()
        else:
            self.sleep(pause_s(self.connection.limits, failures, error))
            if isinstance(error, HostUnreachable) and self.connection.listens():
                self.sleep(self.connection.limits.settle_s)  # as in jobs.py: it is just starting

    def _overflow(self, error: NotANumber, request: GenerationRequest, checkpoint: Checkpoint | None) -> HostError:
        title = checkpoint.title if checkpoint else None
        model = f"the model {checkpoint.name}" if checkpoint else "the loaded model"
        switches = self.capability.precision_switches
        return diagnose_overflow(
            error, request, TRIAL, lambda variant: self._send(variant, title), self.connection, model, switches
        )

    def _diagnose(self, error: HostError) -> HostError:
        """The error itself, or that the server fails at everything: options of a wrong type do that to it for good."""
        if type(error) is not HostError:
            return error
        try:
            self._send(TRIAL, None)
            return error  # it is this request that fails
        except HostError as second:
            if type(second) is not HostError:
                return error
        try:
            misfits = self.capability.misfits(read_json(self.connection.get(OPTIONS)))
        except HostError:
            misfits = []
        cause = f"correct {', '.join(misfits)} in its settings or its config.json and " if misfits else ""
        return HostBroken(
            f"the WebUI fails at everything, not at this picture alone: {error.what}",
            where=self.connection.url,
            to_try=f"{cause}start it anew",
        )

    @contextmanager
    def _reporting_steps(self, request: GenerationRequest) -> Iterator[None]:
        """Tells `progress` the step while the body waits for the picture."""
        if self.progress is silent:
            yield
            return
        done = threading.Event()

        def watch() -> None:
            while not done.wait(self.connection.limits.poll_s):
                try:
                    state = self.jobs.progress()
                except HostError:
                    continue
                if not state.idle:
                    self.progress(Progress("draw", state.step, state.steps or request.steps, f"seed {request.seed}"))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


# The least that any server can draw, without a sampler's name: it takes its first.
TRIAL = GenerationRequest(prompt="", seed=1, steps=1, width=64, height=64)
