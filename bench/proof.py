"""`python -m modiste.bench.proof [--json] [--runs N]`: does what a run reports hold?

Whole runs of 16 photos and 40 images each through the real budget, search, confirmation and Holm's test, on simulated
pictures whose truth is known: with no effect at all, a small one and a large one. No pictures are drawn; the setting
is that of `modiste/search/run_simulation.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence

from ..search.run_simulation import EFFECTS, IMAGES, PHOTOS, RunFigures, RunSetting, simulate_runs

RUNS = 200


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulates and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m modiste.bench.proof", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"simulated runs of each effect (default {RUNS})")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    if chosen.runs < 2:
        parser.error("--runs must be 2 or more")
    figures = {name: simulate_runs(RunSetting(effect), chosen.runs, chosen.seed) for name, effect in EFFECTS.items()}
    print(as_json(figures) if chosen.json else as_text(figures))


def as_json(figures: Mapping[str, RunFigures]) -> str:
    """Effect → its figures; shares 0 … 1, points in hundredths of similarity."""
    names = ("coverage", "false_photo", "false_run", "bias_points", "regret_points")
    return json.dumps(
        {effect: {name: round(getattr(row, name), 4) for name in names} for effect, row in figures.items()}
    )


def as_text(figures: Mapping[str, RunFigures]) -> str:
    """The table for people; ± is half a 95 % interval over runs."""
    lines = [
        f"{PHOTOS} photos a run, {IMAGES} images a photo, {next(iter(figures.values())).runs} runs of each effect",
        "",
    ]
    lines.append(f"{'':44}" + "".join(f"{name:>18}" for name in figures))

    def line(label: str, cell) -> None:
        lines.append(f"{label:44}" + "".join(f"{cell(row):>18}" for row in figures.values()))

    line("true gain of the candidates, points", lambda row: f"{row.true_gain_points:+.2f}")
    line("photos' intervals that hold the truth", lambda row: f"{_share(row.coverage)} ± {_share(row.coverage_error)}")
    line("photos that claim a gain that is none", lambda row: _share(row.false_photo))
    line("runs that prove a gain that is none", lambda row: _share(row.false_run))
    line("photos with a proven gain, a run", lambda row: f"{row.proven:.2f}")
    line("reported mean gain − true, points", lambda row: f"{row.bias_points:+.2f} ± {row.bias_error:.2f}")
    line("regret against the best prompt, points", lambda row: f"{row.regret_points:.2f} ± {row.regret_error:.2f}")
    line("the same of the best single image", lambda row: f"{row.single_regret_points:.2f}")
    return "\n".join(lines)


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    main()
