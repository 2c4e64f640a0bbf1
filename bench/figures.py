"""`python -m modiste.bench.figures`: draws the pictures of docs/performance.md, in both languages, from its tables.

A section with a picture `img/bench-….svg` has a table: its first column names the bars, the first other column with one
figure in each row gives their lengths. Figures that were measured anew are written into the page, then this is run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..core.files import write_whole
from ..reports.charts import AmountBar, amounts, as_file

DOCS = Path(__file__).parents[1] / "docs"
PAGES = (DOCS / "performance.md", DOCS / "zh-TW" / "performance.md")
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]*img/bench-[\w-]+\.svg)\)")
FIGURE = re.compile(r"\d+(?:[.,]\d+)*")


def main() -> None:
    """Writes every picture, and says which."""
    for page in PAGES:
        for path, chart in pictures(page):
            write_whole(path, chart.encode())
            print(path.relative_to(DOCS.parent))


def pictures(page: Path) -> Iterator[tuple[Path, str]]:
    """Each picture that the page shows of its figures: file and SVG."""
    for section in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        shown = PICTURE.search(section)
        if shown:
            yield (page.parent / shown[1]).resolve(), as_file(chart_of(section))


def chart_of(section: str) -> str:
    """The bars of a section's table. ValueError for a section without figures."""
    header, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")
    ]
    for column in range(1, len(header)):
        figures = [FIGURE.findall(row[column]) for row in rows]
        if all(len(found) == 1 for found in figures):
            bars = [
                AmountBar(row[0].replace("`", ""), float(found[0].replace(",", "")), row[column])
                for row, found in zip(rows, figures, strict=True)
            ]
            return amounts(header[column], bars)
    raise ValueError(f"no column with a figure in each row: {section.partition(chr(10))[0]}")


if __name__ == "__main__":
    main()
