"""How long a journal of many pictures takes to plan a resume: `python -m modiste.bench.journal [--rows N] [--json]`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from ..runs.journal import Journal, Key

SEEDS = 40  # pictures a photo
DONE = 30  # of these


def measure(rows: int) -> dict[str, float]:
    """CPU seconds to write `rows` pictures down, and to find among them what is still to be drawn (a quarter)."""
    keys = [Key(f"{row // SEEDS:064x}", "sentence", row % SEEDS, "0" * 16) for row in range(rows)]
    with TemporaryDirectory() as folder, Journal.open(Path(folder), {"bench": "journal"}) as journal:
        start = time.process_time()
        journal.plan(keys)
        written = time.process_time()
        journal._database.execute(f"UPDATE pictures SET state = 'done', path = 'images/x.png' WHERE seed < {DONE}")
        resumed = time.process_time()
        todo = journal.plan(keys)
        end = time.process_time()
    if len(todo) != sum(key.seed >= DONE for key in keys):
        raise AssertionError(f"{len(todo)} pictures planned")
    return {"rows": rows, "plan_cpu_s": round(written - start, 2), "resume_cpu_s": round(end - resumed, 2)}


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
            f"{options.rows:,} pictures: planned in {result['plan_cpu_s']} CPU s, resumed in {result['resume_cpu_s']}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
