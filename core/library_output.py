"""Keeps progress bars and advice of libraries off stderr while they read and write models."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARIES = ("diffusers.utils.logging", "transformers.utils.logging")  # only those already imported are changed


@contextmanager
def without_bars() -> Iterator[None]:
    """Turns off the progress bars of diffusers and transformers inside `with`, in all threads."""
    imported = [sys.modules[name] for name in LIBRARIES if name in sys.modules]
    with_bars = [library for library in imported if library.is_progress_bar_enabled()]
    for library in with_bars:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in with_bars:
            library.enable_progress_bar()


@contextmanager
def suppress_log(logger: str, start: str) -> Iterator[None]:
    """Drops the messages of `logger` that begin with `start`, inside `with`."""

    def keep(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(start)

    log = logging.getLogger(logger)
    log.addFilter(keep)
    try:
        yield
    finally:
        log.removeFilter(keep)
