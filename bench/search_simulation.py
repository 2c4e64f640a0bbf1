"""`python -m modiste.bench.search_simulation [--json] [--trials N]`: regret and honesty of searching,
simulated.

Two tables: choosing one of ten strategies with 40 images, and choosing a subset of eleven attributes with 12,
24 and 36. No pictures are drawn; the setting and its assumed variances are those of
`modiste/search/simulation.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from ..search.simulation import (
    AttributeSetting,
    ChoiceOutcome,
    StrategySetting,
    SubsetOutcome,
    simulate_choice,
    simulate_subsets,
)

BUDGET = 40
BUDGETS = (12, 24, 36)


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulates and prints both tables."""
    parser = argparse.ArgumentParser(prog="python -m modiste.bench.search_simulation", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--trials", type=int, default=2000, help="simulated photos (default 2000)")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    if chosen.trials < 2:
        parser.error("--trials must be 2 or more")
    choices = simulate_choice(BUDGET, chosen.trials, chosen.seed)
    subsets = simulate_subsets(BUDGETS, chosen.trials, chosen.seed)
    print(as_json(choices, subsets, chosen.trials) if chosen.json else as_text(choices, subsets))


def as_json(choices: Sequence[ChoiceOutcome], subsets: Sequence[SubsetOutcome], trials: int) -> str:
    """Both tables and their settings as one JSON document."""
    document = {
        "trials": trials,
        "strategy_choice": {
            "setting": asdict(StrategySetting()),
            "images": BUDGET,
            "rows": [asdict(row) for row in choices],
        },
        "attribute_subset": {
            "setting": asdict(AttributeSetting()),
            "rows": [asdict(row) for row in subsets],
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def as_text(choices: Sequence[ChoiceOutcome], subsets: Sequence[SubsetOutcome]) -> str:
    """Both tables for people; ± is one standard error."""
    setting = StrategySetting()
    lines = [f"{setting.arms} strategies, {BUDGET} images (cosine)", ""]
    lines.append(f"{'':36}{'regret':>16}{'reported − true':>20}")
    for row in choices:
        regret = f"{row.regret:.4f} ± {row.regret_se:.4f}"
        lines.append(f"{row.method:36}{regret:>16}{f'{row.bias:+.4f} ± {row.bias_se:.4f}':>20}")
    attributes = AttributeSetting().attributes
    lines += ["", f"subset of {attributes} attributes, true gain over all of them (cosine)", ""]
    lines.append(f"{'images':36}" + "".join(f"{images:>18}" for images in BUDGETS))
    for method in dict.fromkeys(row.method for row in subsets):
        figures = [f"{row.gain:+.4f} ± {row.gain_se:.4f}" for row in subsets if row.method == method]
        lines.append(f"{method:36}" + "".join(f"{figure:>18}" for figure in figures))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
