"""`python -m modiste.bench.train [--json] [--steps N] [--diffusers DIR] [--sd-scripts DIR]`: what does a step cost?

A LoRA of rank 16 on a random Stable Diffusion 1.5, batch 1, 256 px, on the CPU: Modiste's trainer, diffusers' example
and sd-scripts, one after the other on the same photos, each a process of its own with the same threads. A rival whose
checkout is not named (DIFFUSERS_PATH, SD_SCRIPTS_PATH) is left out, and that is said; nothing is fetched. A rival that
needs other libraries has them in a Python of its own (DIFFUSERS_PYTHON, SD_SCRIPTS_PYTHON).

    CPU s/step   CPU seconds from one step's end to a later one's, over the steps between: no start, no export
    peak         the most memory that the process ever held, its start and export included

On a shared machine CPU seconds are steadier than the clock, and a neighbour still changes them. With a GPU, 512 px in
bfloat16 with batches of 1 and 8 besides: steps a second, share of the card's peak, memory.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..core.errors import InputError
from .train_commands import DIFFUSERS, MODISTE, ROOT, SD_SCRIPTS, TrainingTask, Way

RIVALS = (DIFFUSERS, SD_SCRIPTS)
PHOTOS = 4
WARM_UP = 3  # steps that first touch memory, and are not counted
GPU_RESOLUTION, GPU_BATCHES = 512, (1, 8)
GIB = 2**30
TAIL = 4000  # characters of what a process said that failed


@dataclass(frozen=True)
class TrainRow:
    """One trainer in one format: a step's seconds by CPU and clock; memory of the machine and of the card."""

    way: str
    precision: str
    resolution: int
    batch: int
    device: str
    steps: int
    cpu_s: float
    s: float
    memory_gib: float
    card_gib: float | None = None
    peak_share: float | None = None  # ours, of what a plain matrix product reaches in that format on the card


@dataclass
class Step:
    """What a process had used when it said that a step was done."""

    done: int
    cpu_s: float
    at: float  # seconds of the clock
    card_bytes: int = 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the model, runs every trainer, prints the table."""
    parser = argparse.ArgumentParser(prog="python -m modiste.bench.train", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--steps", type=int, default=10, help=f"of each run; the first {WARM_UP} are not counted")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precisions", default="auto,fp32,bf16", help="auto is the plan's choice, Modiste's alone")
    parser.add_argument("--base", type=Path, help="a diffusers folder; made with random weights where it is not there")
    for way in RIVALS:
        name = f"--{way.variable.removesuffix('_PATH').lower().replace('_', '-')}"
        parser.add_argument(name, dest=way.variable, default=os.environ.get(way.variable), help="its checkout")
    chosen = parser.parse_args(arguments)
    if chosen.steps < WARM_UP + 2:
        parser.error(f"--steps {chosen.steps}: the first {WARM_UP} are not counted, and two are needed")
    checkouts = {way.name: vars(chosen)[way.variable] for way in RIVALS}
    with tempfile.TemporaryDirectory() as folder:
        base = chosen.base or Path(folder) / "base"
        if not (base / "model_index.json").is_file():
            say(f"random weights into {base} …")
            subprocess.run(
                [sys.executable, "-m", f"{__package__}.train_base", str(base)], check=True, env=_importable()
            )
        job = TrainingTask(
            base.absolute(), make_photos(Path(folder) / "photos"), chosen.steps, resolution=chosen.resolution
        )
        rows = compare(job, chosen.precisions.split(","), checkouts, chosen.threads, Path(folder))
    print(json.dumps(as_json(rows), indent=2) if chosen.json else as_text(rows))


def compare(
    job: TrainingTask, precisions: Sequence[str], checkouts: dict[str, str | None], threads: int, folder: Path
) -> list[TrainRow]:
    """Every trainer in every format; on the CPU, and where there is a GPU on that."""
    jobs = [replace(job, precision=precision) for precision in precisions]
    if has_gpu():
        on_card = replace(job, resolution=GPU_RESOLUTION, precision="bf16", device="cuda")
        jobs += [replace(on_card, batch=batch) for batch in GPU_BATCHES]
    ways = [MODISTE]
    for way in RIVALS:
        checkout = checkouts.get(way.name)
        reason = way.missing(Path(checkout) if checkout else None)
        say(f"{way.name} is left out: {reason}") if reason else ways.append(way)
    rows = []
    for job in jobs:
        for way in ways if job.precision != "auto" else [MODISTE]:
            say(f"{way.name}, {job.precision}, {job.resolution} px, batch {job.batch}, {job.device} …")
            checkout = Path(checkouts.get(way.name) or ROOT).absolute()
            rows.append(measured(way, job, checkout, threads, Path(tempfile.mkdtemp(dir=folder))))
            say(f"{rows[-1].cpu_s} CPU s/step, {rows[-1].memory_gib} GiB")
    return rows


# ── one process ──


def measured(way: Way, job: TrainingTask, checkout: Path, threads: int, folder: Path) -> TrainRow:
    """Runs it to its end in `folder`, which is empty."""
    command, environment = way.command(job, checkout, folder), way.environment(job, checkout, threads)
    environment["MODISTE_HOME"] = str(folder / "home")
    (folder / "work").mkdir()
    with (folder / "said").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder / "work", env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        with process.stdout:
            steps = list(_steps(process, way, job, log))
        _, status, used = os.wait4(process.pid, 0)  # for the memory of this child alone
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or len(steps) < 2:
        tail = (folder / "said").read_bytes()[-TAIL:].decode(errors="replace")
        raise InputError(
            f"{way.name} ended with {process.returncode} after {len(steps)} steps:\n{tail}", where=str(folder)
        )
    first = next((step for step in steps[:-1] if step.done >= WARM_UP), steps[0])
    last, made = steps[-1], steps[-1].done - first.done
    row = TrainRow(
        way=way.name,
        precision=job.precision,
        resolution=job.resolution,
        batch=job.batch,
        device=job.device,
        steps=made,
        cpu_s=round((last.cpu_s - first.cpu_s) / made, 3),
        s=round((last.at - first.at) / made, 4),
        memory_gib=round(used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / GIB, 2),
        card_gib=round(max(step.card_bytes for step in steps) / GIB, 2) if job.device == "cuda" else None,
    )
    return _against_plan(row, folder / "out" / "train.json") if way is MODISTE else row


def _steps(process: subprocess.Popen, way: Way, job: TrainingTask, log) -> Iterator[Step]:
    """A step when it is first said to be done."""
    import psutil

    watched, before, rest, done = psutil.Process(process.pid), card_bytes(job.device), b"", 0
    while data := os.read(process.stdout.fileno(), 1 << 16):
        log.write(data)
        *lines, rest = re.split(rb"[\r\n]", rest + data)
        for match in filter(None, (re.search(way.steps, line) for line in [*lines, rest])):
            if int(match[1]) > done:
                done, cpu = int(match[1]), watched.cpu_times()
                yield Step(done, cpu.user + cpu.system, time.perf_counter(), card_bytes(job.device) - before)


def _against_plan(row: TrainRow, record: Path) -> TrainRow:
    """With the format that the plan chose and, on a card, the share of its peak.

    On a CPU the plan's peak goes by the clock, which neighbours share: measured so, a step reached 300 % of it.
    """
    plan = json.loads(record.read_text())["plan"]
    chosen = f"auto: {plan['precision']}" if row.precision == "auto" else row.precision
    peak = plan["step_flop"] / plan["step_s"] / plan["peak_share"]
    share = round(plan["step_flop"] * row.batch / row.s / peak, 3) if row.device == "cuda" else None
    return replace(row, precision=chosen, peak_share=share)


def has_gpu() -> bool:
    """Asked in a process of its own: torch here would count against the memory of all that is started later."""
    code = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", code]).returncode == 0


def card_bytes(device: str) -> int:
    """Memory of the card that is taken, by whomever."""
    if device != "cuda":
        return 0
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout) * 2**20


def _importable() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT))))}


def make_photos(folder: Path) -> Path:
    """A few of the sample photos, each with a caption of what is true of it."""
    source = ROOT / "examples" / "photos"
    known = json.loads((source / "garments.json").read_text(encoding="utf-8"))
    folder.mkdir()
    for name in sorted(known)[:PHOTOS]:
        shutil.copy(source / name, folder)
        words = [str(word) for word in known[name]["attributes"].values() if word]
        (folder / name).with_suffix(".txt").write_text(", ".join(words))
    return folder


# ── what came out ──


def ratios(rows: Sequence[TrainRow]) -> dict[str, dict[str, float]]:
    """Of each row of ours: how many times fewer CPU seconds (or seconds, on a card) and what share of the memory than
    the better rival in the same format; the plan's choice stands against the rivals as they come, in float32."""
    shares = {}
    for ours in (row for row in rows if row.way == MODISTE.name):
        precision = "fp32" if ours.precision.startswith("auto") else ours.precision
        same = (precision, ours.resolution, ours.batch, ours.device)
        theirs = [
            row
            for row in rows
            if row.way != MODISTE.name and (row.precision, row.resolution, row.batch, row.device) == same
        ]
        if theirs:
            name = f"{ours.precision} against {precision}, {ours.resolution} px, batch {ours.batch}, {ours.device}"
            seconds, memory = ("cpu_s", "memory_gib") if ours.device == "cpu" else ("s", "card_gib")
            shares[name] = {
                "times_faster": round(min(getattr(row, seconds) for row in theirs) / getattr(ours, seconds), 2),
                "memory_share": round(getattr(ours, memory) / min(getattr(row, memory) for row in theirs), 3),
            }
    return shares


def as_json(rows: Sequence[TrainRow]) -> dict[str, object]:
    """All of it as one document."""
    return {"rows": [asdict(row) for row in rows], "ratios": ratios(rows)}


def as_text(rows: Sequence[TrainRow]) -> str:
    """The table for people."""
    lines = [f"{'':40}{'format':12}{'px':>5}{'batch':>6}{'CPU s/step':>12}{'s/step':>9}{'peak GiB':>10}{'of peak':>9}"]
    for row in rows:
        memory = row.memory_gib if row.card_gib is None else row.card_gib
        share = f"{row.peak_share:.0%}" if row.peak_share else ""
        name = row.way if row.device == "cpu" else f"{row.way}, {row.device}"
        lines.append(
            f"{name:40}{row.precision:12}{row.resolution:>5}{row.batch:>6}"
            f"{row.cpu_s:>12.2f}{row.s:>9.3f}{memory:>10.2f}{share:>9}"
        )
    lines += [
        f"{name}: {ratio['times_faster']:.2f} times faster than the better rival, {ratio['memory_share']:.0%} of memory"
        for name, ratio in ratios(rows).items()
    ]
    return "\n".join(lines)


def say(line: str) -> None:
    """Progress, beside the result."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
