"""One command in several processes of this machine, one a card, with the variables that torchrun sets.

Our own, and not torchrun's agent: that gives workers 30 seconds to keep a checkpoint and drops their exit codes.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from ..core.disk import writing
from ..core.errors import InputError
from ..core.files import make_folder
from .stop_signals import stopping
from .terminal import say

POLL_S = 0.1
GRACE_S = 20.0  # for the others, after one process has failed: they may be about to say why, or wait for it for ever
KILL_S = 300.0  # for a step under way and a checkpoint, after SIGTERM


def launched() -> bool:
    """Whether this process is one of several already, started by this module, torchrun or accelerate."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def first_process() -> bool:
    """Whether this process speaks for all of them."""
    return int(os.environ.get("RANK", 0)) == 0


def require_cards(count: int, device: str) -> None:
    """InputError where fewer CUDA devices are here; `--device cpu` needs none."""
    import torch

    if device == "cpu":
        return
    cards = torch.cuda.device_count()
    if cards < count:
        there = f"{cards} CUDA {'device is' if cards == 1 else 'devices are'} here"
        fewer = f"--gpus {cards}" if cards > 1 else "without --gpus"
        raise InputError(f"{count} were asked for, {there}", where="--gpus", to_try=f"{fewer}, or --device cpu")


def run_in_processes(count: int, logs: Path, command: Sequence[str] | None = None) -> int:
    """Runs this program's own command line again in `count` processes; returns the exit code of the first that failed.

    The first process has our streams; the others write into `process-1.log` … in `logs`. A signal to us is a wish to
    stop that all of them get; a second Ctrl-C kills them.
    """
    command = [sys.executable, *sys.orig_argv[1:]] if command is None else command
    with writing(logs):
        make_folder(logs)
    with ExitStack() as open_files:
        files = [open_files.enter_context((logs / f"process-{rank}.log").open("wb")) for rank in range(1, count)]
        variables = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
        variables |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for number in range(count):
                file = files[number - 1] if number else None
                ranked = variables | {"RANK": str(number), "LOCAL_RANK": str(number)}
                # A session of its own: Ctrl-C reaches this process alone, which passes it on once.
                started = subprocess.Popen(command, env=ranked, stdout=file, stderr=file, start_new_session=True)
                processes.append(started)
            rank, code = _watched(processes)
        finally:
            for process in processes:
                process.kill()
                process.wait()
    if rank:
        say(f"process {rank} ended with code {code}: {_last_line(logs / f'process-{rank}.log')}")
    return code


def _watched(processes: Sequence[subprocess.Popen[bytes]]) -> tuple[int, int]:
    """Waits for all processes; rank and exit code of the first that failed, or 0 and 0. A killed one: 128 + signal."""
    kill_at, failed = None, None
    with stopping() as stop:
        while None in (codes := [process.poll() for process in processes]):
            failed = failed or _failure(codes)
            if kill_at is None and (stop() or failed):
                if not stop():
                    _wait(processes, GRACE_S)
                for process in processes:
                    process.terminate()  # does nothing where it has ended
                kill_at = time.monotonic() + KILL_S
            if kill_at is not None and time.monotonic() > kill_at:
                for process in processes:
                    process.kill()
            time.sleep(POLL_S)
    return failed or _failure(codes) or (0, 0)


def _failure(codes: Sequence[int | None]) -> tuple[int, int] | None:
    return next(((rank, 128 - code if code < 0 else code) for rank, code in enumerate(codes) if code), None)


def _wait(processes: Sequence[subprocess.Popen[bytes]], most_s: float) -> None:
    end = time.monotonic() + most_s
    while time.monotonic() < end and any(process.poll() is None for process in processes):
        time.sleep(POLL_S)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _last_line(log: Path) -> str:
    lines = log.read_bytes()[-2000:].decode("utf-8", "replace").strip().splitlines()
    return f"{lines[-1] if lines else 'it said nothing'}; see {log}"
