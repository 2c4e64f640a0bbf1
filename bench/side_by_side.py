"""`python -m modiste.bench.side_by_side [--json] [--part train|draw|tag]…`: two runs at once on one machine, on `mini`.

    train   60 steps of a LoRA            `finetune`
    draw    64 pictures                   `generate`
    tag     1,000 photos, never seen      `tag`

Each part is a command as a user starts it, with threads as they are by default: twice in turn, then twice at once. Two
that run at once are to take no longer than 1.2 times what they take one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from ..core.errors import InputError

ROOT = Path(__file__).parents[1]
STEPS, PICTURES, PHOTOS = 60, 64, 1000
GOAL = 1.2  # times the seconds of one after the other
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # left as a user's environment has them: not set
TAIL = 2000  # characters of what a command said that failed


@dataclass(frozen=True)
class Spent:
    """What commands took together, from the first one's start to the last one's end."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class SideBySide:
    """One part: a single run, two in turn, and two at once."""

    part: str
    alone: Spent
    in_turn: Spent
    at_once: Spent

    @property
    def ratio(self) -> float:
        """Seconds by the clock of two at once, over those of two in turn."""
        return self.at_once.wall_s / self.in_turn.wall_s


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the parts, prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m modiste.bench.side_by_side", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--part", action="append", choices=list(PARTS))
    chosen = parser.parse_args(arguments)
    rows = []
    for part in chosen.part or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measured(part, Path(folder)))
    print(json.dumps([as_json(row) for row in rows], indent=2) if chosen.json else as_text(rows))


def measured(part: str, folder: Path) -> SideBySide:
    """Two in turn first, then two at once; nothing of one run is known to another."""
    command_for = PARTS[part](folder)
    turns = [spent_by([command_for(folder / name)], folder / name) for name in ("first", "second")]
    at_once = spent_by([command_for(folder / name) for name in ("third", "fourth")], folder / "at-once")
    in_turn = Spent(sum(turn.wall_s for turn in turns), sum(turn.cpu_s for turn in turns))
    row = SideBySide(part, turns[0], in_turn, at_once)
    print(as_text([row]), file=sys.stderr, flush=True)
    return row


def spent_by(commands: Sequence[Sequence[str]], folder: Path, threads: int | None = None) -> Spent:
    """What commands of Modiste take that are started at the same time, each with a home of its own below `folder`.

    `threads` of each; None: as many as a command has by default. InputError with what a command said that failed.
    """
    folder.mkdir()
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    processes = []
    for number, words in enumerate(commands):
        environment = {name: value for name, value in os.environ.items() if name not in THREADS}
        environment |= {"MODISTE_HOME": str(folder / f"home-{number}")}
        environment |= {} if threads is None else dict.fromkeys(THREADS, str(threads))
        with (folder / f"{number}.log").open("wb") as log:
            command = [sys.executable, str(ROOT / "harness.py"), *words]
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
    codes = [process.wait() for process in processes]
    ended, after = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    for number, code in enumerate(codes):
        if code not in (0, 3):
            text = (folder / f"{number}.log").read_text(encoding="utf-8", errors="replace")
            raise InputError(f"{' '.join(commands[number])} ended with {code}: {text[-TAIL:]}")
    return Spent(ended - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


# ── the parts: what is made before, and the command for an output ──


def training(folder: Path) -> Callable[[Path], list[str]]:
    """A LoRA of the four sample photos."""
    from .train import make_photos

    photos = make_photos(folder / "photos")
    words = ["finetune", str(photos), "--preset", "mini", "--device", "cpu", "--steps", str(STEPS)]
    return lambda out: [*words, "--out", f"{out}-run"]


def drawing(folder: Path) -> Callable[[Path], list[str]]:
    """Pictures of one prompt."""
    words = ["generate", "a red midi dress", "--preset", "mini", "--device", "cpu", "--count", str(PICTURES)]
    return lambda out: [*words, "--out", f"{out}-pictures"]


def tagging(folder: Path) -> Callable[[Path], list[str]]:
    """A catalogue of small drawn garments."""
    photos = draw_photos(folder / "photos", PHOTOS)
    words = ["tag", str(photos), "--preset", "mini", "--device", "cpu"]
    return lambda out: [*words, "--out", f"{out}.jsonl"]


def draw_photos(folder: Path, count: int, drawn: int = 500) -> Path:
    """So many garments of 96 px, no file like another; of more than `drawn` the rest are these encoded otherwise."""
    from ..mini.garment import sample_garment
    from ..mini.renderer import render

    folder.mkdir()
    for index in range(min(count, drawn)):
        picture = render(sample_garment(Random(index)), size=96)
        for number, place in enumerate(range(index, count, drawn)):
            picture.save(folder / f"{place:06}.jpg", quality=95 - number)
    return folder


PARTS: dict[str, Callable[[Path], Callable[[Path], list[str]]]] = {
    "train": training,
    "draw": drawing,
    "tag": tagging,
}


def as_json(row: SideBySide) -> dict[str, object]:
    """The row with its ratio."""
    return {**asdict(row), "ratio": round(row.ratio, 3), "goal": GOAL}


def as_text(rows: Sequence[SideBySide]) -> str:
    """The table for people: seconds by the clock, of processors in brackets."""
    lines = [f"{'':8}{'one':>16}{'two in turn':>18}{'two at once':>18}{'ratio':>8}"]
    for row in rows:
        cells = [f"{cost.wall_s:.1f} ({cost.cpu_s:.1f})" for cost in (row.alone, row.in_turn, row.at_once)]
        lines.append(f"{row.part:8}{cells[0]:>16}{cells[1]:>18}{cells[2]:>18}{row.ratio:>8.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
