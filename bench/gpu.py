"""`python -m modiste.bench.gpu [--json] [--out FILE] [--minutes 8]`: what a CUDA card makes of Modiste.

It needs a card and nothing else: models of the published shapes are made with random weights, into a folder that is
removed again (10 GB). Each part runs by itself in a time of its own; one that fails or is too slow is named, and the
others go on. Rows that a part had measured by then count.

    weights-sd15, weights-sdxl   the random models
    draw-sd15, draw-sdxl         512 and 1024 px by every plan of hosts/drawing_plan.py, its arithmetic beside the peak
    lora-step                    rank 16, 512 px, batch 1 and 8: steps a second, share of a matrix product's FLOP/s
    resume                       a run that was stopped and went on: the same weights to the bit?
    search                       the prompt route of one photo at 512 px
    tag                          photos a second
    adamw8bit, compile           the step again, where bitsandbytes and Triton are installed

Exit codes: 0 all that could run has run · 2 there is no such device · 3 a part failed or ran out of time.
`--device cpu --tiny` runs the same parts with models of a few thousand weights: the figures mean nothing then.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.files import write_whole
from ..core.library_versions import installed_versions
from .gpu_meter import Figures
from .train_commands import ROOT

MINUTES = 8.0
# Seconds that a part may take; what it leaves goes to those behind it. Together more than MINUTES: on a card that is
# slow everywhere the last ones are left out.
LIMITS = {
    "weights-sd15": 60,
    "draw-sd15": 80,
    "lora-step": 80,
    "resume": 70,
    "search": 90,
    "tag": 60,
    "weights-sdxl": 60,
    "draw-sdxl": 110,
    "adamw8bit": 60,
    "compile": 120,
}
NEEDS_PART = {
    **dict.fromkeys(("draw-sd15", "lora-step", "resume", "search", "tag", "adamw8bit", "compile"), "weights-sd15"),
    "draw-sdxl": "weights-sdxl",
}
NEEDS_LIBRARY = {"adamw8bit": "bitsandbytes", "compile": "triton"}
LEAST_S = 10.0  # for a part: less does not even import the libraries
TAIL = 1500  # characters of what a part said that failed


@dataclass
class PartResult:
    """What came of a part: `ok`, `left out`, `failed` or `out of time`, and why."""

    part: str
    state: str
    rows: list[Figures] = field(default_factory=list)
    reason: str = ""
    s: float = 0.0

    @property
    def bad(self) -> bool:
        """Whether something went wrong that was meant to run."""
        return self.state in ("failed", "out of time")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs every part and prints what came out; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m modiste.bench.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--out", type=Path, help="also write that document here, after every part")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="in which everything ends")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="models of a few thousand weights: does it run at all?")
    parser.add_argument("--only", nargs="+", choices=LIMITS, metavar="PART", help=f"of {', '.join(LIMITS)}")
    chosen = parser.parse_args(arguments)
    try:
        machine = describe_machine(chosen.device)
    except InputError as error:
        say(f"{error}; `--device cpu --tiny` shows on any machine that the parts run")
        return error.exit_code
    results: list[PartResult] = []
    ends = time.monotonic() + 60 * chosen.minutes
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for part in parts_of(chosen.only):
            say(f"{part} …")
            results.append(measure(part, Path(folder), chosen.device, chosen.tiny, ends, results))
            say(f"{part}: {results[-1].state} {results[-1].reason}".rstrip())
            if chosen.out:
                write_whole(chosen.out, as_json(machine, results).encode())
    print(as_json(machine, results) if chosen.json else as_text(machine, results))
    return 3 if any(result.bad for result in results) else 0


def parts_of(only: Sequence[str] | None) -> list[str]:
    """The parts to run in their order: all, or those named and what makes their models."""
    named = set(only or LIMITS)
    return [part for part in LIMITS if part in named or part in {NEEDS_PART.get(name) for name in named}]


def measure(part: str, folder: Path, device: str, tiny: bool, ends: float, before: Sequence[PartResult]) -> PartResult:
    """One part in a process of its own, ended when its time is over or everybody's is (`ends`, monotonic)."""
    limit_s = ends - time.monotonic()
    if not tiny:  # those ask whether it runs at all, not how fast
        limit_s = min(LIMITS[part], limit_s)
    reason = why_not(part, limit_s, before)
    if reason:
        return PartResult(part, "left out", reason=reason)
    command = [sys.executable, "-m", f"{__package__}.gpu_parts", part, str(folder), "--device", device]
    return run_part(part, [*command, "--ends", f"{limit_s:.0f}", *["--tiny"] * tiny], folder, limit_s)


def why_not(part: str, limit_s: float, before: Sequence[PartResult]) -> str:
    """Why a part is left out; empty where it runs."""
    library, maker = NEEDS_LIBRARY.get(part), NEEDS_PART.get(part)
    if limit_s < LEAST_S:
        return "no time is left"
    if any(result.part == maker and result.state != "ok" for result in before):
        return f"{maker} made no models"
    if library and find_spec(library) is None:
        return f"{library} is not installed"
    return ""


def run_part(part: str, command: Sequence[str], folder: Path, limit_s: float) -> PartResult:
    """What a process measured and how it ended; rows that it had written count however that was."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT))))}
    environment |= {"HF_HUB_OFFLINE": "1", "MODISTE_HOME": str(folder / "home")}
    began, said = time.monotonic(), folder / f"{part}.log"
    with said.open("wb") as log:
        process = subprocess.Popen(list(command), cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            process.wait(limit_s)
            state, reason = ("ok", "") if process.returncode == 0 else ("failed", "")
        except subprocess.TimeoutExpired:
            state, reason = "out of time", f"ended after {limit_s:.0f} s"
        finally:
            process.kill()
            process.wait()
    if state == "failed":
        tail = said.read_bytes()[-TAIL:].decode(errors="replace").strip()
        reason = f"exit code {process.returncode}: {tail}"
    rows = folder / f"{part}.jsonl"
    lines = rows.read_text(encoding="utf-8").splitlines() if rows.is_file() else []
    return PartResult(part, state, [json.loads(line) for line in lines], reason, round(time.monotonic() - began, 1))


def describe_machine(device: str) -> dict[str, Any]:
    """The device and the libraries, asked in a process of its own. InputError where torch sees no such device."""
    code = """
import json, sys, torch
device = sys.argv[1]
card = {}
if device.startswith("cuda"):
    if not torch.cuda.is_available():
        sys.exit("torch %s sees no CUDA device" % torch.__version__)
    free, total = torch.cuda.mem_get_info(device)
    card = {"card": torch.cuda.get_device_name(device), "memory_gib": round(total / 2**30, 1),
            "free_gib": round(free / 2**30, 1), "cuda": torch.version.cuda,
            "capability": ".".join(map(str, torch.cuda.get_device_capability(device)))}
print(json.dumps(card))
"""
    asked = subprocess.run([sys.executable, "-c", code, device], capture_output=True, text=True)
    if asked.returncode:
        why = asked.stderr.strip().splitlines()[-1:] or ["python ended"]
        raise InputError(
            why[0], where=f"--device {device}", to_try="a machine with a CUDA card and a CUDA build of torch"
        )
    return {
        "device": device,
        **json.loads(asked.stdout),
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "versions": installed_versions(),
    }


# ── what came out ──


def as_json(machine: dict[str, Any], results: Sequence[PartResult]) -> str:
    """All of it as one document."""
    return json.dumps({"machine": machine, "parts": [asdict(result) for result in results]}, indent=1)


def as_text(machine: dict[str, Any], results: Sequence[PartResult]) -> str:
    """The table for people."""
    lines = [", ".join(f"{name} {value}" for name, value in machine.items() if name != "versions")]
    for result in results:
        lines += ["", f"{result.part}: {result.state}, {result.s:.0f} s"]
        lines += [f"    {line}" for line in result.reason.splitlines()]
        for row in result.rows:
            lines.append(f"  {row['what']}")
            figures = [(name, value) for name, value in row.items() if name != "what" and value is not None]
            lines += [f"    {name:18}{value}" for name, value in figures]
    return "\n".join(lines)


def say(line: str) -> None:
    """Progress, beside the result."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
