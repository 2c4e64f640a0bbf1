"""LoRA files → candidates: their order of training, read from what the trainers write into names and metadata."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import InputError
from ..compare.tuned import open_tuned

if TYPE_CHECKING:
    from ...fashion.photos import Photo
    from ..compare.tuned import TunedModel

# sd-scripts `name-000004` (epoch), `name-step00000600`; diffusers, Modiste `checkpoint-600`, `step_600`; ai-toolkit
# `name_000000500`; OneTrainer `name-save-600-3-0` (step, epoch, step of the epoch).
NAMES = (
    re.compile(r"-save-(?P<step>\d+)-(?P<epoch>\d+)-\d+$"),
    re.compile(r"(?:^|[-_ ])(?:step|checkpoint|iter)s?[-_ ]?(?P<step>\d+)", re.IGNORECASE),
    re.compile(r"(?:^|[-_ ])(?:epoch|ep|e)[-_ ]?(?P<epoch>\d+)", re.IGNORECASE),
    re.compile(r"-(?P<epoch>\d{6})$"),
    re.compile(r"_(?P<step>\d{9})$"),
)


@dataclass(frozen=True)
class JudgedModel:
    """A tuned model among others. `step`, `epoch`: of its training; None where neither name nor metadata says it."""

    label: str
    tuned: TunedModel
    step: int | None = None
    epoch: int | None = None

    @property
    def place(self) -> tuple[int, int, list[str | int]]:
        """Sorts by training; a file without any number, as trainers name the final one, comes last."""
        known = self.step if self.step is not None else self.epoch
        return (0 if known is not None else 1, known or 0, natural_key(self.label))


def open_candidates(paths: Sequence[Path], trigger: str | None = None, any_model: bool = False) -> list[JudgedModel]:
    """The LoRA files of `paths`, files or folders, in the order of their training; the same file twice is one.

    `any_model`: also LoRAs of models beyond Stable Diffusion 1, 2 and XL, which a server may draw with.

    InputError where there is none, or one can't be read.
    """
    files = [file for path in paths for file in _files_of(path)]
    if not files:
        raise InputError(
            "there is no LoRA file to judge",
            where=", ".join(map(str, paths)),
            to_try="name .safetensors files, or the folder that a training saved them in",
        )
    models: dict[str, JudgedModel] = {}
    for file in dict.fromkeys(files):
        tuned = open_tuned(file, trigger, any_model)
        models.setdefault(tuned.identity, JudgedModel(file.stem, tuned, *training_place(file.stem, tuned)))
    return sorted(_with_distinct_labels(list(models.values())), key=lambda model: model.place)


def fresh_photos(photos: Sequence[Photo], models: Sequence[JudgedModel]) -> tuple[list[Photo], list[Photo]]:
    """(photos that no candidate was trained on, the others), as far as a train.json beside the files says it.

    InputError where all were trained on.
    """
    trained_on = frozenset().union(*(model.tuned.trained_on or frozenset() for model in models))
    fresh = [photo for photo in photos if photo.sha256 not in trained_on]
    if not fresh:
        raise InputError(
            f"the candidates were trained on all {len(photos)} photos: drawing them again proves nothing",
            where=str(models[0].tuned.file.parent),
            to_try="photos of garments of the same look that they have not seen",
        )
    return fresh, [photo for photo in photos if photo.sha256 in trained_on]


def training_place(name: str, tuned: TunedModel | None = None) -> tuple[int | None, int | None]:
    """(step, epoch) of a file's name, and of its metadata where the name is silent."""
    step = epoch = None
    for pattern in NAMES:
        if match := pattern.search(name):
            groups = match.groupdict()
            step = int(groups["step"]) if step is None and groups.get("step") else step
            epoch = int(groups["epoch"]) if epoch is None and groups.get("epoch") else epoch
    if step is None and epoch is None and tuned is not None and tuned.kind == "lora":
        from ...trainer.lora.file import read_tensors

        metadata = read_tensors(tuned.file)[1]
        step, epoch = _number(metadata.get("ss_steps")), _number(metadata.get("ss_epoch"))
    return step, epoch


def natural_key(text: str) -> list[str | int]:
    """`v10` after `v9`."""
    return [int(part) if part.isdigit() else part.lower() for part in re.split(r"(\d+)", text)]


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _files_of(path: Path) -> list[Path]:
    if path.is_dir() and not (path / "model_index.json").is_file():
        return sorted(path.glob("*.safetensors"), key=lambda file: natural_key(file.name))
    return [path]


def _with_distinct_labels(models: list[JudgedModel]) -> list[JudgedModel]:
    """Files of one name in two folders are told apart by these."""
    labels = [model.label for model in models]
    return [
        replace(model, label=f"{model.tuned.file.parent.name}/{model.label}")
        if labels.count(model.label) > 1
        else model
        for model in models
    ]
