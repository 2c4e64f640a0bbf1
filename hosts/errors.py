"""Errors of the drawing hosts.

HostError              exit 4   anything that a host did or failed to do
├── RequestRefused     exit 2   the request can't be drawn there (unknown sampler, LoRA, size): nothing was sent
├── HostUnreachable    exit 4   nobody answers
├── OutOfMemory        exit 4   the model's device is too small for the request
└── WrongResult        exit 4   the host answered, but not with what was asked
"""

from ..errors import ModisteError


class HostError(ModisteError):
    """The host failed."""

    exit_code = 4


class RequestRefused(HostError):
    """The request names something that the host does not have."""

    exit_code = 2


class HostUnreachable(HostError):
    """Nobody answers at the host's address."""


class OutOfMemory(HostError):
    """The device has too little memory for the request."""


class WrongResult(HostError):
    """The host answered with something other than what was asked."""
