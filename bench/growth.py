"""`python -m modiste.bench.growth [--json] [--part tag|rank|side|processes|clock]…`: how cost grows, on `mini`.

    tag        photos of a catalogue   10 … 1,000, tagged for the first time
    rank       rank of a LoRA          4 … 128, a step of training
    side       pixels a side           64 … 512, a picture of 4 steps, one at a time
    processes  shares of a catalogue   1 … 4 processes of one thread that tag 2,000 photos by `--shard`, starts included
    clock      the same by the clock   says something where there is a free core a process

Processor seconds, one amount after the other: a busy machine changes them little; `clock` alone is by the clock. An
exponent k is the slope of a straight line through the logarithms: twice the work costs 2^k.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from random import Random

from ..core.progress import Progress
from ..fashion.batch_tagging import CATALOGUE_BATCH, tag_photos
from ..fashion.encoder_cache import ObservationCache
from ..fashion.shards import Catalogue
from ..fashion.tagger import Tagger
from ..hosts.local import LocalHost
from ..hosts.request import GenerationRequest
from ..models.presets import preset
from .drawing import rung
from .side_by_side import Spent, draw_photos, spent_by

CATALOGUES, RANKS, SIDES, PROCESSES = (10, 100, 1000), (4, 16, 64, 128), (64, 128, 256, 512), (1, 2, 4)
SHARED = 2000  # photos that the processes share
TRAINED, DRAWN = 12, 4  # steps


@dataclass(frozen=True)
class Growth:
    """The seconds of each amount of work, and the exponents through them."""

    part: str
    unit: str
    seconds: dict[int, float]

    @property
    def exponent(self) -> float:
        """Of all amounts."""
        return slope([(math.log(amount), math.log(cost)) for amount, cost in self.seconds.items()])

    @property
    def last_exponent(self) -> float:
        """Of the last two: what is paid once weighs least there."""
        return slope([(math.log(amount), math.log(cost)) for amount, cost in list(self.seconds.items())[-2:]])


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the line of least squares."""
    x_mean, y_mean = (sum(values) / len(points) for values in zip(*points, strict=True))
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / sum((x - x_mean) ** 2 for x, _ in points)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the parts, prints the table."""
    parser = argparse.ArgumentParser(prog="python -m modiste.bench.growth", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--part", action="append", choices=list(PARTS))
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(part, Path(folder)) for part in chosen.part or PARTS]
    print(json.dumps([as_json(row) for row in rows], indent=2) if chosen.json else as_text(rows))


def measured(part: str, folder: Path) -> Growth:
    """One part, its amounts one after the other."""
    unit, costs = PARTS[part]
    seconds = {}
    for amount, cost in costs(folder):
        seconds[amount] = round(cost, 4)
        print(f"{part} {amount}: {cost:.3f} s", file=sys.stderr, flush=True)
    return Growth(part, unit, seconds)


def tagging(folder: Path) -> Iterator[tuple[int, float]]:
    """Catalogues of different photos; the models are open, the vocabulary is read."""
    from ..mini.garment import sample_garment
    from ..mini.renderer import render
    from ..models.vision import open_tagger

    tagger = open_tagger(preset("mini"), "cpu", cpu_batch=CATALOGUE_BATCH)
    tagger.prepare()
    for amount in CATALOGUES:
        photos = folder / f"photos-{amount}"
        photos.mkdir()
        for index in range(amount):
            render(sample_garment(Random(amount * 10 + index)), size=96).save(photos / f"{index:05}.jpg")
        with ObservationCache(tagger.key, folder / f"cache-{amount}") as cache:
            yield amount, spent(partial(tag_all, photos, tagger, cache))


def training(folder: Path) -> Iterator[tuple[int, float]]:
    """A step, over the steps behind the first report of a training."""
    from ..fashion.photos import read_photo
    from ..trainer.config import read_config
    from ..trainer.train import train
    from .train import make_photos

    photos = make_photos(folder / "training-photos")
    for rank in RANKS:
        reports: list[tuple[int, float]] = []

        def hear(now: Progress, reports: list[tuple[int, float]] = reports) -> None:
            if now.stage == "train" and now.done:
                reports.append((now.done, time.process_time()))

        data = {"folders": [str(photos)], "resolution": 64, "buckets": False, "held_out": 0, "held_out_least": 0}
        fields = {"base": preset("mini").checkpoint, "device": "cpu", "steps": TRAINED, "save_every": TRAINED}
        config = read_config({**fields, "network": {"rank": rank, "alpha": float(rank)}, "data": data})
        train(config, folder / f"rank-{rank}", read_photo, progress=hear)
        (first, began), (last, ended) = reports[0], reports[-1]
        yield rank, (ended - began) / (last - first)


def drawing(folder: Path) -> Iterator[tuple[int, float]]:
    """A picture behind a first one."""
    host = LocalHost(preset("mini").checkpoint, device="cpu", batch_size=1)
    for side in SIDES:
        first, second = rung(1, 2, DRAWN, side)
        list(host.generate([first]))
        yield side, spent(partial(draw, host, second))


def processes(folder: Path) -> Iterator[tuple[int, float]]:
    """Processor seconds of all processes together."""
    return ((count, cost.cpu_s) for count, cost in shared_tagging(folder).items())


def clock(folder: Path) -> Iterator[tuple[int, float]]:
    """Seconds until the last process has ended."""
    return ((count, cost.wall_s) for count, cost in shared_tagging(folder).items())


@cache
def shared_tagging(folder: Path) -> dict[int, Spent]:
    """What so many processes take that tag the same catalogue in shares, all starting at once; measured once."""
    photos = draw_photos(folder / "shared", SHARED)
    costs = {}
    for count in PROCESSES:
        words = ["tag", str(photos), "--preset", "mini", "--device", "cpu", "--out", str(folder / f"{count}.jsonl")]
        commands = [[*words, "--shard", f"{number}/{count}"] for number in range(1, count + 1)]
        costs[count] = spent_by(commands, folder / f"by-{count}", threads=1)
    return costs


def tag_all(photos: Path, tagger: Tagger, cache: ObservationCache) -> None:
    """What the command `tag` does, without its output."""
    list(tag_photos(Catalogue([photos]), tagger, cache=cache, skipped=[]))


def draw(host: LocalHost, request: GenerationRequest) -> None:
    """One picture."""
    next(host.generate([request]))


def spent(work: Callable[[], object]) -> float:
    """Processor seconds of `work`, once."""
    began = time.process_time()
    work()
    return time.process_time() - began


PARTS: dict[str, tuple[str, Callable[[Path], Iterator[tuple[int, float]]]]] = {
    "tag": ("photos", tagging),
    "rank": ("rank", training),
    "side": ("pixels a side", drawing),
    "processes": ("processes, together", processes),
    "clock": ("processes, by the clock", clock),
}


def as_json(row: Growth) -> dict[str, object]:
    """The row with its exponents."""
    return {**asdict(row), "exponent": round(row.exponent, 3), "last_exponent": round(row.last_exponent, 3)}


def as_text(rows: Sequence[Growth]) -> str:
    """The table for people."""
    lines = []
    for row in rows:
        costs = ", ".join(f"{amount}: {cost:.3f} s" for amount, cost in row.seconds.items())
        lines.append(f"{row.part}, {row.unit}: {costs}; exponent {row.exponent:.2f}, last {row.last_exponent:.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
