"""A CSV of labels that a person gave: a column `image`, and a column for each group that was labelled."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import InputError

if TYPE_CHECKING:
    from .taxonomy import Taxonomy


def read_labels(file: Path, taxonomy: Taxonomy) -> dict[str, dict[str, str]]:
    """The photo's file name → group → label, for the columns that are groups of the vocabulary.

    InputError for a file without images or groups, and for a label that its group does not have.
    """
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the labels can't be read: {error}", where=str(file), to_try="a CSV in UTF-8") from error
    known = {group.id: {label.id for label in group.labels} for group in taxonomy.groups}
    columns = list(rows[0]) if rows else []
    groups = [name for name in columns if name in known]
    if "image" not in columns or not groups:
        raise InputError(
            "the labels need a column image and one or more named as groups",
            where=str(file),
            to_try=f"groups of this vocabulary: {', '.join(known)}",
        )
    labels = {}
    for number, row in enumerate(rows, 2):
        given = {group: (row[group] or "").strip() for group in groups}
        wrong = [f"{group} {label!r}" for group, label in given.items() if label and label not in known[group]]
        if wrong:
            raise InputError(
                f"line {number} has {wrong[0]}, which is no label of the vocabulary",
                where=str(file),
                to_try="`modiste tag --json` shows how labels are spelt",
            )
        labels[Path(row["image"] or "").name] = given
    return labels
