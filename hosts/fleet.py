"""Several servers as one host: a queue that whoever is free pulls from, so that each draws as much as it can.

    one picture in flight on each         a server takes the next request when it has finished the last
    a model gate                          all of them must draw with the same model, also after an absence
    a server that fails                   its request goes back to the queue; the server rests, twice as long each time
    a server that replaces in silence     is out for the rest of the run
    a server that is slow or hangs        whoever is idle draws its request too, and the first picture counts

Hosts are only known by their protocol (hosts/request.py): WebUI and ComfyUI alike.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.errors import InputError
from .errors import (
    AccessDenied,
    ApiMissing,
    BrokenPicture,
    HostBroken,
    HostError,
    HostUnreachable,
    RequestRefused,
    UntrustedServer,
    WrongResult,
)
from .request import GenerationRequest, GenerationResult, HostDescription

if TYPE_CHECKING:
    from .lora_proof import LoraProof
    from .request import Dialect, Host

log = logging.getLogger("modiste")

REST_S, LONGEST_REST_S = 5.0, 60.0
PATIENCE = 2.0  # times its own pace that an idle server waits before it draws another's request too
UNKNOWN_PACE_S = 30.0  # of a server that has drawn nothing yet
INTERRUPT_S = 3.0  # to end what is under way when the run is interrupted
FATAL = (AccessDenied, ApiMissing, HostBroken, UntrustedServer)


@dataclass
class Member:
    """A server of the fleet, and how it does."""

    host: Host
    name: str
    busy_since: float | None = None
    resting_until: float = 0.0
    failures: int = 0  # in a row
    lost: HostError | None = None  # why it is out for the rest of the run
    pace_s: float = UNKNOWN_PACE_S  # a picture, as last seen
    gated: bool = False  # its model was compared since it was last away

    def free(self, now: float) -> bool:
        """Whether it can take a request."""
        return self.lost is None and self.busy_since is None and now >= self.resting_until

    def rest(self, error: HostError, rest_s: float) -> None:
        """After a failure: for a while, or for good where waiting helps nothing."""
        self.failures += 1
        self.gated = False
        if isinstance(error, FATAL) or type(error) is WrongResult:
            self.lost = error
            log.warning("%s is out for the rest of the run: %s", self.name, error)
        else:
            pause_s = min(LONGEST_REST_S, rest_s * 2 ** (self.failures - 1))
            self.resting_until = time.monotonic() + pause_s
            log.warning("%s rests for %.0f s: %s", self.name, pause_s, error)


@dataclass
class QueuedRequest:
    """A request in the queue: who is at it, and who failed at it."""

    place: int
    request: GenerationRequest
    at: set[str] = field(default_factory=set)
    failed: dict[str, HostError] = field(default_factory=dict)
    result: GenerationResult | None = None


@dataclass(frozen=True)
class Outcome:
    """What a member made of a job."""

    member: Member
    job: QueuedRequest
    result: GenerationResult | HostError | BaseException
    elapsed_s: float


class Fleet:
    """One host made of several; `rest_s` is the first pause of a server that failed."""

    def __init__(self, hosts: Sequence[Host], names: Sequence[str], *, rest_s: float = REST_S):
        doubled = {name for name in names if list(names).count(name) > 1}
        if doubled:
            raise InputError(f"the same server twice: {', '.join(doubled)}", to_try="each --url once")
        self.members = [Member(host, name) for host, name in zip(hosts, names, strict=True)]
        self.rest_s = rest_s
        self.dialect: Dialect = hosts[0].dialect
        self.takes_negative: bool = getattr(hosts[0], "takes_negative", True)
        self._outcomes: queue.Queue[Outcome] = queue.Queue()
        self._described: HostDescription | None = None

    # ── what it is ──────────────────────────────────────────────────────────────────────────────────────────────────

    def describe(self) -> HostDescription:
        """The model that all of them have, and the samplers that all of them know.

        A server that can't be reached is left out until it can; raises the last error where none can be, and
        InputError where two draw with different models.
        """
        if self._described is None:
            descriptions = self._describe_all()
            first = next(iter(descriptions.values()))
            common = tuple(name for name in first.samplers if all(name in d.samplers for d in descriptions.values()))
            self._described = HostDescription(
                kind=first.kind,
                url=", ".join(member.name for member in self.members),
                checkpoint=first.checkpoint,
                checkpoint_hash=next(filter(None, (known.checkpoint_hash for known in descriptions.values())), None),
                samplers=common,
                workflow=first.workflow,
                drawing=first.drawing,
            )
        return self._described

    def _describe_all(self) -> dict[str, HostDescription]:
        descriptions: dict[str, HostDescription] = {}
        for member in self.members:
            try:
                descriptions[member.name] = member.host.describe()
                member.gated = True
            except HostError as error:
                member.rest(error, self.rest_s)
                last = error
        if not descriptions:
            raise last
        models = {
            name: (description.checkpoint, description.checkpoint_hash) for name, description in descriptions.items()
        }
        if len({checkpoint for checkpoint, _ in models.values()}) > 1 or _hashes_differ(models.values()):
            drawn_with = "; ".join(
                f"{name}: {checkpoint} {digest or ''}" for name, (checkpoint, digest) in models.items()
            )
            raise InputError(
                f"the servers draw with different models ({drawn_with})",
                to_try="load the same file in all of them, or --checkpoint",
            )
        return descriptions

    def check(self, request: GenerationRequest) -> None:
        """Refuses what none of the servers that can be reached would draw."""
        self.describe()
        refused: RequestRefused | None = None
        for member in self.members:
            if not member.gated:
                continue
            try:
                member.host.check(request)
                return
            except RequestRefused as error:
                refused = refused or error
            except HostError as error:
                member.rest(error, self.rest_s)
        if refused:
            raise refused

    def count_tokens(self, text: str) -> int | None:
        """By the first server that can tell."""
        counts = (member.host.count_tokens(text) for member in self.members if member.gated)
        return next((count for count in counts if count is not None), None)

    # ── drawing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationResult]:
        """Pictures in the order of the requests, each as soon as it and those before it are there."""
        for request in requests:
            self.check(request)
        jobs = [QueuedRequest(place, request) for place, request in enumerate(requests)]
        try:
            for job in jobs:
                while job.result is None:
                    self._hand_out([queued for queued in jobs[job.place :] if queued.result is None])
                    if outcome := self._next_outcome(job):
                        self._take(outcome)
                yield job.result
        except KeyboardInterrupt:
            self.interrupt()
            raise

    @property
    def lora_readers(self) -> tuple[str, ...]:
        """Whose rules the servers that can be reached read LoRA files by."""
        self.describe()
        readers = [getattr(member.host, "lora_readers", ()) for member in self.members if member.gated]
        return tuple(dict.fromkeys(reader for of_member in readers for reader in of_member))

    def prove(self, request: GenerationRequest, lora: str) -> LoraProof:
        """By each server that can be reached and has the LoRA, on its own; the weakest proof of them."""
        self.check(request)
        proofs: list[LoraProof] = []
        for member in self.members:
            if not member.gated:
                continue
            try:
                proofs.append(member.host.prove(request, lora))  # type: ignore[attr-defined]  # servers have it
            except RequestRefused:
                log.warning("%s does not have the LoRA %s", member.name, lora)
            except HostError as error:
                member.rest(error, self.rest_s)
        if not proofs:
            raise HostUnreachable("no server could prove the LoRA", where=self.describe().url or "")
        return min(proofs, key=lambda proof: (proof.proven, proof.effect))

    def interrupt(self) -> None:
        """Ends our own pictures on every server, as far as the hosts can."""
        ends = [getattr(member.host, "interrupt", None) for member in self.members if member.busy_since is not None]
        threads = [threading.Thread(target=end, daemon=True) for end in ends if end is not None]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(INTERRUPT_S)

    def _hand_out(self, waiting: list[QueuedRequest]) -> None:
        """Gives every free member a job: one that nobody is at, else one that another takes too long for."""
        now = time.monotonic()
        for member in self.members:
            if not member.free(now):
                continue
            job = next((queued for queued in waiting if not queued.at and member.name not in queued.failed), None)
            job = job or next((queued for queued in waiting if self._is_slow(queued, member, now)), None)
            if job is not None:
                job.at.add(member.name)
                member.busy_since = now
                threading.Thread(target=self._work, args=(member, job), daemon=True).start()

    def _is_slow(self, job: QueuedRequest, idle: Member, now: float) -> bool:
        """Whether the idle member should draw a job too that others have been at for longer than it would take."""
        if idle.name in job.at or idle.name in job.failed:
            return False
        began = [member.busy_since for member in self.members if member.name in job.at and member.busy_since]
        return bool(began) and all(now - since > PATIENCE * idle.pace_s for since in began)

    def _work(self, member: Member, job: QueuedRequest) -> None:
        """In a thread of its own: one picture, after the model gate."""
        began = time.monotonic()
        try:
            if not member.gated:
                self._pass_gate(member)
            began = time.monotonic()
            result: GenerationResult | BaseException = next(iter(member.host.generate([job.request])))
        except BaseException as error:  # it is raised again by whoever waits for it
            result = error
        self._outcomes.put(Outcome(member, job, result, time.monotonic() - began))

    def _pass_gate(self, member: Member) -> None:
        """After an absence a server may be another one."""
        forget = getattr(member.host, "forget", None)
        if forget is not None:
            forget()
        expected, actual = self.describe(), member.host.describe()
        models = [(description.checkpoint, description.checkpoint_hash) for description in (expected, actual)]
        if models[0][0] != models[1][0] or _hashes_differ(models):
            raise WrongResult(
                f"the server draws with {actual.checkpoint} {actual.checkpoint_hash or ''}, the others with "
                f"{expected.checkpoint} {expected.checkpoint_hash or ''}",
                where=member.name,
                to_try="load the same file there",
            )
        member.gated = True

    def _next_outcome(self, job: QueuedRequest) -> Outcome | None:
        """Waits for one; None when it is time to look again who is free. Raises where the job can't be drawn at all."""
        now = time.monotonic()
        able = [member for member in self.members if member.lost is None and member.name not in job.failed]
        if not able and not job.at:
            errors = [*job.failed.values(), *(member.lost for member in self.members if member.lost)]
            raise errors[0] if errors else HostUnreachable("no server is left", where=self.describe().url or "")
        waits_s = [member.resting_until - now for member in able if member.resting_until > now]
        waits_s += [PATIENCE * member.pace_s for member in able if member.free(now)]
        try:
            return self._outcomes.get(timeout=max(0.001, min(waits_s)) if waits_s else None)
        except queue.Empty:
            return None

    def _take(self, outcome: Outcome) -> None:
        """Books an outcome; one of an earlier call only frees its member."""
        member, job, result = outcome.member, outcome.job, outcome.result
        member.busy_since = None
        job.at.discard(member.name)
        if isinstance(result, GenerationResult):
            member.failures, member.pace_s = 0, outcome.elapsed_s
            job.result = job.result or result
        elif isinstance(result, HostError):
            job.failed[member.name] = result
            if not isinstance(result, (RequestRefused, BrokenPicture)):  # the server is well
                member.rest(result, self.rest_s)
        else:
            raise result


def _hashes_differ(models: Iterable[tuple[str, str | None]]) -> bool:
    """Whether two of (checkpoint, hash) have different hashes; a hash that is not known differs from none."""
    return len({digest for _, digest in models if digest}) > 1
