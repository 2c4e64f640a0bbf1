"""How long a journal of many pictures takes to plan a resume: `python -m modiste.bench.journal [--rows N] [--json]`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from ..runs.checksums import seal_all
from ..runs.journal import Journal, Key

SEEDS = 40  # pictures a photo
DONE = 30  # of these
SETTINGS = {"bench": "journal"}


def measure(rows: int) -> dict[str, float]:
    """CPU seconds to write `rows` pictures down, to open the journal, and to find what is to be drawn (a quarter)."""
    keys = [Key(f"{row // SEEDS:064x}", "sentence", row % SEEDS, "0" * 16) for row in range(rows)]
    with TemporaryDirectory() as folder:
        picture = Path(folder) / "images" / "x.png"
        picture.parent.mkdir()
        picture.touch()
        with Journal.open(Path(folder), SETTINGS) as journal:
            start = time.process_time()
            journal.plan(keys)
            written = time.process_time()
            database = journal._database
            database.execute(f"UPDATE pictures SET state = 'done', path = 'images/x.png' WHERE seed < {DONE}")
            seal_all(database)
        closed = time.process_time()
        with Journal.open(Path(folder), SETTINGS) as journal:
            opened = time.process_time()
            todo = journal.plan(keys)
            end = time.process_time()
            if journal.notices or len(todo) != sum(key.seed >= DONE for key in keys):
                raise AssertionError(f"{len(todo)} pictures planned; {journal.notices}")
    return {
        "rows": rows,
        "plan_cpu_s": round(written - start, 2),
        "open_cpu_s": round(opened - closed, 2),
        "resume_cpu_s": round(end - opened, 2),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m modiste.bench.journal", description=(__doc__ or "").partition(":")[0]
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    result = measure(options.rows)
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"{options.rows:,} pictures: planned in {result['plan_cpu_s']} CPU s, opened again and checked in "
            f"{result['open_cpu_s']}, what is left planned in {result['resume_cpu_s']}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
