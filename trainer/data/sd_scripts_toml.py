"""A dataset config of sd-scripts (`--dataset_config FILE.toml`) → fields of a DataConfig.

    [general]  →  [[datasets]]  →  [[datasets.subsets]]        the inner one's value holds, as sd-scripts merges them

Options as in sd-scripts 48d368fa (library/config_util.py). One run has one resolution and one way to read captions, so
what must be the same in all subsets is; whatever is not taken over is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from .caption_files import SUFFIXES

# sd-scripts' option → ours, for the whole run.
FOR_ALL = {
    "resolution": "resolution",
    "enable_bucket": "buckets",
    "bucket_reso_steps": "bucket_step",
    "flip_aug": "flip",
    "shuffle_caption": "shuffle_captions",
    "keep_tokens": "keep_tokens",
    "caption_separator": "caption_separator",
    "caption_dropout_rate": "caption_dropout",
}
# Of a subset, and read elsewhere here.
OF_A_FOLDER = ("image_dir", "num_repeats", "class_tokens", "is_reg", "caption_extension", "subsets")
WHERE_BUCKETS_ARE_OFF = False  # sd-scripts' default of enable_bucket


@dataclass(frozen=True)
class DatasetFile:
    """What a dataset config says: `fields` of a DataConfig, the `batch_size`, and `notes` of what is not taken over."""

    fields: dict[str, Any]
    batch_size: int | None
    notes: tuple[str, ...]


def read_dataset_file(file: Path) -> DatasetFile:
    """InputError for a file that is none, for subsets without pictures, and for those that differ in what is one here.

    Relative folders are looked up from the file's own, and then from the current one, where sd-scripts looks.
    """
    table = _parsed(file)
    rows = list(_rows(table, file))
    for_all: dict[str, Any] = {}
    for name, ours in FOR_ALL.items():
        values = {_hashable(row[name]) for row in rows if name in row and not row.get("is_reg")}
        if len(values) > 1:
            listed = ", ".join(map(str, sorted(values, key=str)))
            raise InputError(f"its subsets differ in {name}: {listed}", where=str(file), to_try="one value for all")
        if values:
            for_all[ours] = _as_ours(name, values.pop(), file)
    for_all.setdefault("buckets", WHERE_BUCKETS_ARE_OFF)
    if not for_all.get("shuffle_captions"):
        for_all.pop("keep_tokens", None)
    folders = [_folder(row, file) for row in rows]
    batch_sizes = {row["batch_size"] for row in rows if "batch_size" in row}
    known = {*FOR_ALL, *OF_A_FOLDER, "batch_size"}
    left_out = sorted({name for row in rows for name in row if name not in known})
    notes = [f"{file.name}: {', '.join(left_out)} left out"] if left_out else []
    if len(batch_sizes) > 1:
        notes.append(f"{file.name}: batch sizes {', '.join(map(str, sorted(batch_sizes)))}: the largest is taken")
    fields = {
        **for_all,
        "folders": [folder["path"] for folder in folders if not folder["prior"]],
        "folder_settings": folders,
    }
    if not fields["folders"]:
        raise InputError("it names no subset to train on", where=str(file), to_try="a subset that is no is_reg")
    return DatasetFile(fields, max(batch_sizes, default=None), tuple(notes))


def _parsed(file: Path) -> dict[str, Any]:
    name = next((name for name in ("tomllib", "tomli") if find_spec(name)), None)
    if name is None:
        raise InputError("TOML is read by Python 3.11 or later", where=str(file), to_try="pip install tomli")
    import importlib

    try:
        table: dict[str, Any] = importlib.import_module(name).loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        why = error.strerror or error
        raise InputError(
            f"the dataset config can't be read: {why}", where=str(file), to_try="check the path"
        ) from error
    except ValueError as error:
        raise InputError(f"the dataset config is no TOML: {error}", where=str(file)) from error
    return table


def _rows(table: Mapping[str, Any], file: Path) -> list[dict[str, Any]]:
    """Each subset with what its dataset and `general` say."""
    general, datasets = table.get("general", {}), table.get("datasets", ())
    rows = []
    for dataset in datasets if isinstance(datasets, list) else ():
        outer = {name: value for name, value in dataset.items() if name != "subsets"}
        rows += [{**general, **outer, **subset} for subset in dataset.get("subsets", ())]
    if not rows:
        raise InputError("it has no [[datasets.subsets]]", where=str(file), to_try="a dataset config of sd-scripts")
    return rows


def _folder(row: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Fields of a PhotoFolder."""
    if not isinstance(row.get("image_dir"), str):
        raise InputError("a subset has no image_dir", where=str(file), to_try="every subset names its folder")
    if "metadata_file" in row:
        raise InputError(
            f"the subset {row['image_dir']} has its captions in a metadata_file of sd-scripts' own form",
            where=str(file),
            to_try="NAME.txt or NAME.caption beside the pictures, or a metadata.jsonl",
        )
    extension = row.get("caption_extension", ".caption")
    if extension not in SUFFIXES:
        raise InputError(
            f"captions in files {extension} are not read", where=str(file), to_try=" or ".join(SUFFIXES[:2])
        )
    path = Path(row["image_dir"]).expanduser()
    beside = file.parent / path
    return {
        "path": str(beside if beside.is_dir() else path),
        "repeats": row.get("num_repeats", 1),
        "class_words": row.get("class_tokens") or "",
        "prior": bool(row.get("is_reg", False)),
    }


def _as_ours(name: str, value: Any, file: Path) -> Any:
    if name != "resolution" or not isinstance(value, tuple):
        return value
    if len(set(value)) > 1:
        raise InputError(
            f"resolution {' × '.join(map(str, value))} is no square",
            where=str(file),
            to_try="one number: with enable_bucket pictures keep their shapes at about that area",
        )
    return value[0]


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
