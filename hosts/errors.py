"""Errors of the drawing hosts.

HostError              exit 4   anything that a host did or failed to do
├── RequestRefused     exit 2   the request can't be drawn there (unknown sampler, LoRA, size): nothing was sent
│   └── NoPlace                 a ComfyUI workflow does not say where a value goes
├── AccessDenied       exit 2   name and password are missing or wrong
├── ApiMissing         exit 2   somebody answers, but not with the API (a WebUI without --api, another program)
├── UntrustedServer    exit 2   no secure connection: its certificate is not believed, or it speaks plain HTTP
├── HostUnreachable    exit 4   nobody answers
├── HostBusy           exit 4   asked to come again later (429, 503), perhaps with a time
├── UnknownOutcome     exit 4   sent, and no answer came: the host may still be drawing it
├── OutOfMemory        exit 4   the model's device is too small for the request
├── NotANumber         exit 4   the model's numbers overflowed
│   └── BrokenPicture           with this seed or prompt alone: other pictures can be drawn
├── HostBroken         exit 4   every request fails, whatever it asks: the host must be started anew
└── WrongResult        exit 4   the host answered, but not with what was asked
    ├── UnreadableAnswer        cut off, too long, HTML, not base64, not a picture
    ├── Interrupted             somebody pressed Interrupt: the picture is half drawn or missing
    └── LoraWithoutEffect       the same picture with the LoRA as without it
"""

from ..core.errors import ModisteError


class HostError(ModisteError):
    """The host failed."""

    exit_code = 4


class RequestRefused(HostError):
    """The request names something that the host does not have."""

    exit_code = 2


class NoPlace(RequestRefused):
    """The workflow has no place for what is asked."""


class AccessDenied(HostError):
    """The host wants a name and a password, or others."""

    exit_code = 2


class ApiMissing(HostError):
    """What answers at the address does not speak the API."""

    exit_code = 2


class UntrustedServer(HostError):
    """TLS ended the connection: nothing was sent, and asking again changes nothing."""

    exit_code = 2


class HostUnreachable(HostError):
    """Nobody answers at the host's address."""


class HostBusy(HostError):
    """The host, or a proxy before it, asks to come again in `retry_after_s` seconds; None: it does not say when."""

    def __init__(self, what: str, *, where: str = "", to_try: str = "", retry_after_s: float | None = None):
        super().__init__(what, where=where, to_try=to_try)
        self.retry_after_s = retry_after_s


class UnknownOutcome(HostError):
    """The request was sent and its answer is lost: it may be drawn, being drawn, or never be drawn."""


class OutOfMemory(HostError):
    """The device has too little memory for the request."""


class NotANumber(HostError):
    """The model's numbers overflowed, which half precision does now and then."""


class BrokenPicture(NotANumber):
    """The numbers overflow with this seed or this prompt, and not with others: a run can go on without the picture."""


class HostBroken(HostError):
    """The host fails at everything until it is started anew."""


class WrongResult(HostError):
    """The host answered with something other than what was asked."""


class UnreadableAnswer(WrongResult):
    """The answer's bytes are not what the API promises."""


class Interrupted(WrongResult):
    """Somebody pressed Interrupt or Skip on the host while the picture was drawn."""


class LoraWithoutEffect(WrongResult):
    """The LoRA changes nothing in the picture."""
