"""Sample pictures as trainers leave them: which step, which prompt, which seed, read from names and picture texts.

    kohya-ss/sd-scripts, library/train_util.py, sample_image_inference
        brand_e000003_00_20260101120000_1234.png · brand_000600_01_20260101120000.png
    ostris/ai-toolkit, jobs/process/BaseSDTrainProcess.py, `[time]_{step_num}_[count]`
        1767225600123__000000600_2.jpg
    Nerogar/OneTrainer, modules/trainer/GenericTrainer.py, samples/{i} - {prompt}/
        0 - a red dress/2026-01-01_12-00-00-training-sample-600-3-0.png      (step, epoch, step of the epoch)
    bghira/SimpleTuner, helpers/training/validation.py
        step_600_redress_1024x1024.png · step_600_redress_0_1024x1024.png
    Modiste, trainer/loop/samples.py
        step-000600-0.png

A `samples.csv` beside them says the same for any other program: columns file, and of step, epoch, prompt, seed, photo
those that are known.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ...core.errors import InputError

TABLE = "samples.csv"
COLUMNS = ("file", "step", "epoch", "prompt", "seed", "photo")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class TrainerSample:
    """One sample picture. `prompt` is what tells its prompt from the others: its text or number; None: unknown."""

    file: Path
    trainer: str
    step: int | None = None
    epoch: int | None = None
    prompt: str | None = None
    seed: int | None = None
    photo: str | None = None  # the photo that it is compared with, where a table says so

    @property
    def place(self) -> int | None:
        """Where in the training it was drawn."""
        return self.step if self.step is not None else self.epoch


PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("Modiste", re.compile(r"^step-(?P<step>\d{6,})-(?P<prompt>\d+)$")),
    ("OneTrainer", re.compile(r"-training-sample-(?P<step>\d+)-(?P<epoch>\d+)-\d+$")),
    ("ai-toolkit", re.compile(r"^(?:rank\d+_sample\d+_)?\d+__(?P<step>\d{9})_(?P<prompt>\d+)$")),
    (
        "SimpleTuner",
        re.compile(r"^step_(?P<step>\d+)_(?P<prompt>.+?)_(?:\d+_)?(?:\d+x\d+|\(\d+, ?\d+\)|\d+(?:\.\d+)?)$"),
    ),
    (
        "sd-scripts",
        re.compile(r"^(?:.*_)?(?:e(?P<epoch>\d{6})|(?P<step>\d{6,}))_(?P<prompt>\d{2,})_\d{14}(?:_(?P<seed>\d+))?$"),
    ),
)
PROMPT_FOLDER = re.compile(r"^\d+ - (?P<prompt>.*)$")


def read_samples(folder: Path) -> list[TrainerSample]:
    """The sample pictures below `folder`, in the order of their names; those whose name says nothing have no place.

    InputError where there is no picture, or the table is not one.
    """
    if not folder.is_dir():
        raise InputError("this is no folder of samples", where=str(folder), to_try="the folder that the trainer wrote")
    if (folder / TABLE).is_file():
        return list(_of_table(folder / TABLE))
    samples = [sample_of(file) for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES]
    if not samples:
        raise InputError(
            "there is no sample picture", where=str(folder), to_try=f"a folder of PNG, JPEG or WebP files, or a {TABLE}"
        )
    return samples


def sample_of(file: Path) -> TrainerSample:
    """What the name of a sample says, by the first pattern that fits."""
    for trainer, pattern in PATTERNS:
        if match := pattern.search(file.stem):
            named = match.groupdict()
            sample = TrainerSample(file, trainer, *(_number(named.get(name)) for name in ("step", "epoch")))
            return _with_text(
                replace(sample, prompt=_prompt_of(file, named.get("prompt")), seed=_number(named.get("seed")))
            )
    return _with_text(TrainerSample(file, "unknown"))


def _prompt_of(file: Path, named: str | None) -> str | None:
    """Of the name, or of the folder, which OneTrainer names after the prompt."""
    folder = PROMPT_FOLDER.match(file.parent.name)
    return folder["prompt"] if named is None and folder else named


def _with_text(sample: TrainerSample) -> TrainerSample:
    """With the seed and the prompt of A1111's `parameters` text, where the name does not say them."""
    if sample.file.suffix.lower() != ".png" or (sample.seed is not None and sample.prompt is not None):
        return sample
    from PIL import Image

    try:
        with Image.open(sample.file) as picture:
            text = str(picture.info.get("parameters", ""))
    except (OSError, SyntaxError, ValueError):
        return sample
    seed = re.search(r"\bSeed: (\d+)", text)
    prompt = text.partition("\n")[0].strip() or None
    return replace(
        sample,
        seed=sample.seed if sample.seed is not None or not seed else int(seed[1]),
        prompt=sample.prompt if sample.prompt is not None else prompt,
    )


def _of_table(table: Path) -> Iterator[TrainerSample]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"the table can't be read: {error}", where=str(table), to_try="save it as CSV in UTF-8"
        ) from error
    unknown = {name for row in rows for name in row if name not in COLUMNS}
    if not rows or "file" not in rows[0] or unknown:
        raise InputError(
            f"the table needs a column file and knows {', '.join(COLUMNS[1:])}",
            where=str(table),
            to_try=f"columns it has: {', '.join(map(str, rows[0])) if rows else 'none'}",
        )
    for number, row in enumerate(rows, start=2):
        file = table.parent / str(row["file"])
        if not file.is_file():
            raise InputError(f"line {number} names a picture that is not there", where=str(file), to_try="correct it")
        numbers = {name: _number_in(row.get(name), table, number, name) for name in ("step", "epoch", "seed")}
        texts = {name: row.get(name) or None for name in ("prompt", "photo")}
        yield TrainerSample(file, "table", **numbers, **texts)


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def _number_in(text: str | None, table: Path, line: int, column: str) -> int | None:
    try:
        return _number(text)
    except ValueError:
        raise InputError(
            f"line {line} has no whole number under {column}: {text!r}", where=str(table), to_try="correct that line"
        ) from None
