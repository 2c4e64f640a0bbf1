"""A report's two files: the page for people, and the same as data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..core.files import make_folder, write_whole

if TYPE_CHECKING:
    from .prompt import ReportSection

PAGE, DATA = "report.html", "report.json"


def write_report_files(report: ReportSection, page: str, folder: Path) -> Path:
    """Writes `report.html`, then `report.json`, each whole, and returns the page's path.

    The data comes last: where it lies the report is complete.
    """
    make_folder(folder)
    # Names of files may hold halves of characters that no text encoding has.
    write_whole(folder / PAGE, page.encode("utf-8", "replace"))
    write_whole(folder / DATA, (report.model_dump_json(indent=2) + "\n").encode())
    return folder / PAGE
