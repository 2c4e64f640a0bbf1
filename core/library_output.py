"""Libraries open and write models without bars and advice on stderr, which belongs to whoever runs us."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LIBRARIES = ("diffusers.utils.logging", "transformers.utils.logging")  # as far as they are imported


@contextmanager
def without_bars() -> Iterator[None]:
    """Inside `with`, diffusers and transformers draw none; afterwards they do as before. For the whole process."""
    bars = [sys.modules[name] for name in LIBRARIES if name in sys.modules]
    shown = [library for library in bars if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


@contextmanager
def suppress_log(logger: str, start: str) -> Iterator[None]:
    """Inside `with`, `logger` keeps messages to itself that begin with `start`."""

    def wanted(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(start)

    speaker = logging.getLogger(logger)
    speaker.addFilter(wanted)
    try:
        yield
    finally:
        speaker.removeFilter(wanted)
