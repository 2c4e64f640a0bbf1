"""How threads of one computation wait for each other: asleep, so that a busy machine is shared fairly.

torch divides each sum among OpenMP's threads, and the first to finish waits for the last. By default it waits awake for
some milliseconds. Where another program has the last one's core, that wait is all that it does with its own: small
models, whose sums take microseconds, then need many times the processor time that they need alone.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

POLICY = "OMP_WAIT_POLICY"
SAID_BY_USER = (POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def wait_asleep(environ: MutableMapping[str, str] = os.environ) -> None:
    """Sets OpenMP's policy for this process and those that it starts, unless the user has set one.

    OpenMP reads it when torch is first imported: a command calls this before anything else. No result depends on it.
    """
    if not any(name in environ for name in SAID_BY_USER):
        environ[POLICY] = "PASSIVE"
