"""A disk that fails at its Nth operation: what a program does then is asked for every N."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# What our files are written with; whole functions of the system, so that nothing of ours is replaced.
OPERATIONS = (
    *((os, name) for name in ("fsync", "unlink", "rmdir", "replace", "rename", "ftruncate", "open")),
    *((Path, name) for name in ("replace", "rename", "mkdir", "open", "unlink")),
)


class Killed(BaseException):
    """What no handler cleans up after, as after a kill."""


def full_disk() -> OSError:
    """What the system says of a disk without room."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failing_disk() -> OSError:
    """What the system says of a disk that is broken."""
    return OSError(errno.EIO, os.strerror(errno.EIO))


class FailingDisk:
    """Lets `count` operations through; each one after them fails, so that nobody can tidy up."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        count: int,
        failure: Callable[[], BaseException],
        operations: tuple[tuple[Any, str], ...] = OPERATIONS,
    ):
        self.calls, self.count, self.failure = 0, count, failure
        for owner, name in operations:
            patch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls > self.count:
                raise self.failure()
            return operation(*arguments, **named)

        return run


def every_failure(
    work: Callable[[], Any], failure: Callable[[], BaseException], most: int = 200, operations: Any = OPERATIONS
) -> Iterator[tuple[int, BaseException | None]]:
    """Runs `work` with a disk that fails at its first operation, at its second, … until it fails at none.

    Yields how many operations went well, and what `work` raised.
    """
    for count in range(most):
        raised: BaseException | None = None
        with pytest.MonkeyPatch.context() as patch:
            disk = FailingDisk(patch, count, failure, operations)
            try:
                work()
            except BaseException as error:
                raised = error
            calls = disk.calls
        yield count, raised
        if calls <= count:
            return
    raise AssertionError(f"the work takes more than {most} operations")
