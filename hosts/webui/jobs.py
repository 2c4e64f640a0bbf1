"""Which job the server is at: ours, somebody else's, none. And how ours is ended without ending another's.

`/sdapi/v1/progress` knows one job, whoever's it is; `/internal/progress` knows ours by its id, but only where the
server has a user interface (not with --nowebui), and calls a failed one active until the next begins. No route gives
a lost picture back: a job whose answer is lost can only be waited for and drawn again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ApiMissing, HostError, HostUnreachable, UnknownOutcome, UnreadableAnswer
from .responses import read_json
from .retry import PASSING

if TYPE_CHECKING:
    from ..connection import Connection
    from .capability import Capability

PROGRESS = "/sdapi/v1/progress?skip_current_image=true"
TASK, PENDING = "/internal/progress", "/internal/pending-tasks"
ONLY_OURS_S = 0.2  # within this time after the server was idle, what it begins is what we sent


@dataclass(frozen=True)
class ServerProgress:
    """The server's state at one moment."""

    job: str  # empty: idle
    began: str  # when its last job began, in the server's clock, to the second
    step: int
    steps: int
    interrupted: bool  # somebody pressed Interrupt, Skip or Stop in that job

    @property
    def idle(self) -> bool:
        """Nothing is being drawn."""
        return not self.job


class Jobs:
    """The server's jobs as one client can see them."""

    def __init__(self, connection: Connection, capability: Capability, sleep: Callable[[float], None] = time.sleep):
        self.connection, self.capability, self.sleep = connection, capability, sleep
        self._idle_at = float("-inf")
        self.current: str | None = None  # the id of our job under way
        self._last = ""  # of our last one
        self._only_ours = False

    def begin(self) -> str:
        """An id for the job that is sent next."""
        self._only_ours = time.monotonic() - self._idle_at < ONLY_OURS_S
        self.current = self._last = f"task(modiste-{uuid.uuid4().hex})"
        return self.current

    def end(self) -> None:
        """Its answer is here, or given up."""
        self.current = None

    def progress(self) -> ServerProgress:
        """What the server draws now."""
        document = read_json(self.connection.get(PROGRESS))
        try:
            state = document["state"]
            progress = ServerProgress(
                job=str(state.get("job") or "") or ("a job" if state.get("job_count") else ""),
                began=str(state.get("job_timestamp")),
                step=int(state["sampling_step"]),
                steps=int(state["sampling_steps"]),
                interrupted=any(state.get(name) for name in ("interrupted", "skipped", "stopping_generation")),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UnreadableAnswer("no state of a WebUI", where=self.connection.url) from None
        if progress.idle:
            self._idle_at = time.monotonic()
        return progress

    def was_interrupted(self, began: Any) -> bool:
        """Whether the job that began at that time (`info.job_timestamp`) was interrupted; False where it can't be told.

        An interrupted job still answers 200, with a half-drawn picture.
        """
        try:
            state = self.progress()
        except (*PASSING, ApiMissing):
            return False
        return state.interrupted and state.began == began

    def wait_until_idle(self) -> None:
        """Returns when our lost job has surely ended; UnknownOutcome where that can't be seen in time.

        A server that is away is waited for: it may be starting anew, and its page answers seconds before its API is
        there. Idle counts when seen twice, because between two queued jobs a server looks idle too.
        """
        limits, times_idle = self.connection.limits, 0
        began = heard = time.monotonic()
        while time.monotonic() - began < limits.idle_s:
            try:
                times_idle = times_idle + 1 if self.progress().idle and not self._is_pending() else 0
                heard = time.monotonic()
            except (HostUnreachable, ApiMissing):
                times_idle = 0
                if time.monotonic() - heard > limits.away_s:
                    raise
            except PASSING:
                times_idle = 0
            if times_idle == 2:
                return
            self.sleep(limits.poll_s)
        raise UnknownOutcome(
            f"the answer of a picture is lost, and the WebUI was not idle within {limits.idle_s:g} s",
            where=self.connection.url,
            to_try="wait until it is idle; the same command goes on",
        )

    def _is_pending(self) -> bool:
        if not self.capability.has(PENDING):
            return False
        tasks = read_json(self.connection.get(PENDING))
        return isinstance(tasks, dict) and self._last in tasks.get("tasks", ())

    def interrupt(self) -> bool:
        """Ends our job if it is surely ours that is being drawn; whether it was told to."""
        if self.current is None:
            return False
        try:
            if self._is_drawing_ours():
                read_json(self.connection.post("/sdapi/v1/interrupt", {}))
                return True
        except HostError:
            pass  # it can't be told: the job ends by itself
        return False

    def _is_drawing_ours(self) -> bool:
        if self.progress().idle:
            return False
        if self.capability.has(TASK):
            task = read_json(self.connection.post(TASK, {"id_task": self.current, "live_preview": False}))
            return bool(isinstance(task, dict) and task.get("active"))
        return self._only_ours
