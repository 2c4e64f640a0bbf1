"""One large file from a hub into a file here: goes on after a break, within a run and from one to the next.

huggingface_hub begins such a file anew when its process ended; on a home line that is an hour of a Stable Diffusion.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ..core.disk import writing
from ..core.errors import ModisteError
from ..core.files import sha256_of
from .hub_files import HubFile

BLOCK_BYTES = 1 << 18
TIMEOUT_S = (10.0, 30.0)  # to connect; between two blocks
TRIES = 5  # without one new byte
WAIT_S = 0.5  # before the second try; twice as long before each further one
PART = ".modiste-part"


class DownloadError(ModisteError):
    """A file could not be fetched; what is here of it stays, and the same command goes on."""

    exit_code = 4


def fetch_file(url: str, headers: dict[str, str], file: HubFile, target: Path, arrived: Callable[[int], None]) -> None:
    """Fetches `file` to `target`, whole and with the hub's digest; `arrived` gets the bytes that are here so far."""
    part = target.with_name(target.name + PART)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    while (here := _size(part)) != file.size:
        try:
            _append(url, headers, file, part, arrived)
        except _Broken as broken:
            failures = failures + 1 if _size(part) <= here else 0
            if failures >= TRIES:
                raise DownloadError(
                    f"{file.name} stopped after {_size(part):,} of {file.size:,} bytes: {broken}",
                    where=url,
                    to_try="check the network; the same command goes on from there",
                ) from None
            time.sleep(WAIT_S * 2 ** (failures - 1))
    if file.sha256 is not None and sha256_of([part]) != file.sha256:
        part.unlink()
        raise DownloadError(
            f"{file.name} did not arrive as the hub has it (its sha256 differs), and is not kept",
            where=url,
            to_try="the same command again; a proxy on the way may have changed it",
        )
    with writing(target):
        part.replace(target)


class _Broken(Exception):
    """The connection failed, or ended before the file did."""


def _append(url: str, headers: dict[str, str], file: HubFile, part: Path, arrived: Callable[[int], None]) -> None:
    import requests

    here = _size(part)
    if here > file.size:
        part.unlink()
        here = 0
    wanted = {**headers, "Accept-Encoding": "identity", **({"Range": f"bytes={here}-"} if here else {})}
    try:
        with requests.get(url, headers=wanted, stream=True, timeout=TIMEOUT_S) as answer:
            if answer.status_code >= 500 or answer.status_code == 429:
                raise _Broken(f"the hub answered {answer.status_code}")
            if answer.status_code >= 400:
                raise DownloadError(
                    f"the hub answered {answer.status_code} to {file.name}",
                    where=url,
                    to_try="HF_TOKEN of an account that may read it; the model's page says what it asks for",
                )
            goes_on = answer.status_code == 206
            here = here if goes_on else 0
            with _opened(part, "ab" if goes_on else "wb") as out:
                for block in answer.iter_content(BLOCK_BYTES):
                    with writing(part):  # the connection's errors are OSErrors too: only the disk's are meant
                        out.write(block)
                    here += len(block)
                    arrived(min(here, file.size))
    except requests.RequestException as error:
        raise _Broken(type(error).__name__) from error
    if here < file.size:
        raise _Broken("the connection ended early")


def _opened(part: Path, mode: str) -> IO[bytes]:
    with writing(part):
        return part.open(mode, buffering=0)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
