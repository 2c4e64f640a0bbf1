"""How many rows the fault matrix has, and which tests hold them: `python -m modiste.bench.matrix [--json]`."""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
MATRIX = ROOT / "docs" / "reliability.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)::([tT]est\w+)`")


@dataclass(frozen=True)
class Row:
    """A fault, what happens then, and the tests that hold it: (file, name)."""

    section: str
    fault: str
    outcome: str
    tests: tuple[tuple[str, str], ...]


def rows(text: str) -> list[Row]:
    """The rows of every table under a heading `## …`."""
    found, section = [], ""
    for line in text.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| ") else []
        if len(cells) == 3 and cells[0] != "fault":
            found.append(Row(section, cells[0], cells[1], tuple(TEST.findall(cells[2]))))
    return found


@cache
def tests_in(file: Path) -> frozenset[str]:
    """The names of the tests that a file defines, also in classes; hypothesis' state machines are assigned."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    targets = [target for node in nodes if isinstance(node, ast.Assign) for target in node.targets]
    return frozenset(functions | {target.id for target in targets if isinstance(target, ast.Name)})


def unheld(matrix: list[Row], root: Path = ROOT) -> list[str]:
    """In words: each row that names no test, and each test that there is not."""
    problems = [f"{row.section}: {row.fault} names no test" for row in matrix if not row.tests]
    for row in matrix:
        for file, name in row.tests:
            if not (root / file).is_file() or name not in tests_in(root / file):
                problems.append(f"{row.section}: {row.fault} names {file}::{name}, which there is not")
    return problems


def main(arguments: list[str] | None = None) -> int:
    """Prints the count; exit code 1 where a row has no test."""
    parser = argparse.ArgumentParser(
        prog="python -m modiste.bench.matrix", description=(__doc__ or "").partition(":")[0]
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    matrix = rows(MATRIX.read_text(encoding="utf-8"))
    sections = {row.section: sum(other.section == row.section for other in matrix) for row in matrix}
    problems, tests = unheld(matrix), {test for row in matrix for test in row.tests}
    result = {"rows": len(matrix), "tests": len(tests), "sections": sections, "unheld": problems}
    if options.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        for section, count in sections.items():
            print(f"{count:4} {section}")
        print(f"{len(matrix):4} rows, held by {len(tests)} tests; {len(problems)} without")
        print("".join(f"     {problem}\n" for problem in problems), end="")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
