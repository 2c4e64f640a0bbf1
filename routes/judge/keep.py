"""The best file, copied with its verdict in the description that hosts show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import InputError
from ...trainer.lora.file import read_tensors, write_tensors

if TYPE_CHECKING:
    from ...reports.judging import JudgeReport

DESCRIPTION = "modelspec.description"  # https://github.com/Stability-AI/ModelSpec


def copy_best(report: JudgeReport, target: Path) -> Path:
    """Copies the judged file to `target`, a file or a folder, with the verdict before its own description.

    The weights stay as they are. InputError where something lies there already.
    """
    source = Path(report.verdict.file)
    if target.is_dir() or not target.suffix:
        target = target / source.name
    if source.is_dir():
        raise InputError("the best one is a whole model, which is not copied", where=str(source), to_try="use it there")
    if target.exists():
        raise InputError("the best file is not copied over another", where=str(target), to_try="a name that is free")
    tensors, metadata = read_tensors(source)
    strength = "" if report.verdict.strength is None else f" Strength {report.verdict.strength:g}."
    description = f"{report.verdict.sentence}{strength} {metadata.get(DESCRIPTION, '')}".strip()
    write_tensors(tensors, target, {**metadata, DESCRIPTION: description})
    return target
