"""Many LoRAs of ComfyUI's list judged by the command's own code: names → files, the judgement, a grid, a report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...core.suggestions import did_you_mean
from ...models.presets import PRESETS
from ...models.session import Session
from .batches import one_or_each, photo_in_memory

if TYPE_CHECKING:
    from PIL import Image

    from ...core.progress import ProgressCallback
    from ...fashion.photos import Photo
    from ...hosts.request import Host
    from ...models.vision import VisionModels
    from ...reports.judging import JudgeReport

ID_DIGITS = 12
MOST_COLUMNS = 12  # photos of the grid
SIDE = 256  # pixels of a picture of the grid


def loras_named(text: str, listed: Sequence[str]) -> list[str]:
    """The LoRAs of the list that `text` names, each once: names, folders, or patterns with `*`, a line or a comma each.

    InputError for a part that the list does not have.
    """
    chosen: list[str] = []
    for part in filter(None, (part.strip() for part in text.replace("\n", ",").split(","))):
        wanted = part.replace("\\", "/").rstrip("/")
        names = {name: name.replace("\\", "/") for name in listed}
        matches = [name for name, plain in names.items() if plain == wanted or plain.startswith(f"{wanted}/")]
        matches = matches or [name for name, plain in names.items() if "*" in wanted and fnmatchcase(plain, wanted)]
        if not matches:
            raise InputError(f"no LoRA of the list is {part!r} or lies in it", to_try=did_you_mean(part, listed))
        chosen += matches
    if not chosen:
        raise InputError(
            "no LoRA was named", to_try="names of ComfyUI's list, a line each; a folder of it; or a pattern: brand-*"
        )
    return list(dict.fromkeys(chosen))


@dataclass(frozen=True)
class LoraJudgement:
    """The report, the run's folder and the photos of a judgement."""

    judged: JudgeReport
    folder: Path
    photos: Sequence[Image.Image]

    @property
    def best(self) -> Path:
        """The file that came out best."""
        return Path(self.judged.verdict.file)

    @property
    def improved(self) -> bool:
        """Whether its gain over the base model is proven."""
        return self.judged.verdict.decision == "keep"

    @property
    def strength(self) -> float:
        """The strength to use it at; 0 where no gain over the base model is proven."""
        return (self.judged.verdict.strength or 0.0) if self.improved else 0.0

    def grid(self) -> list[list[Image.Image]]:
        """A row of photos, then a row a candidate in the order of the training; white where it was not drawn."""
        from PIL import Image

        columns = min(MOST_COLUMNS, len(self.photos))
        blank = Image.new("RGB", (SIDE, SIDE), "white")
        rows = [list(self.photos[:columns])]
        for row in self.judged.rows:
            pictures = [Image.open(self.folder / name).convert("RGB") for name in row.files[:columns]]
            rows.append([*pictures, *[blank] * (columns - len(pictures))])
        return rows

    def report(self) -> str:
        """The verdict, what to do next, every candidate, and where all of it is."""
        lines = [self.judged.verdict.sentence, *self.judged.verdict.next_steps]
        for row in self.judged.rows:
            score = "–" if row.similarity is None else f"{row.similarity:.3f}"
            lines.append(f"{score} {row.label}: {row.standing}, {row.pictures} pictures")
        lines.append("the grid: the photos, then each of these in a row")
        return "\n".join([*lines, f"all of it: {self.folder / 'report.html'}"])


def judge_loras(
    files: Sequence[Path],
    references: Sequence[Image.Image],
    names: Sequence[str],
    models: tuple[Host, VisionModels],
    options: dict[str, Any],
    runs: Path,
    progress: ProgressCallback,
) -> LoraJudgement:
    """Judges the files; pictures drawn before a Cancel are not drawn again.

    `names` are the photos' file names, by which photos of one garment are told; without any each photo is a garment.
    `options`: fields of JudgeSettings, and `trigger`, "" for what the files say. `runs`: the folder of all runs.
    """
    from ...reports.judging_page import write_judging
    from ...routes.judge.candidates import open_candidates
    from ...routes.judge.files import judge_files
    from ...routes.judge.settings import JudgeSettings

    host, vision = models
    session, photos = Session(PRESETS["sd15"], vision, host), _photos_of(references, names)
    fields = dict(options)
    trigger = fields.pop("trigger", "") or None
    candidates = open_candidates(list(files), trigger, any_model=True)
    settings = JudgeSettings.for_session(session, candidates, **fields, **({"trigger": trigger} if trigger else {}))
    identity = [settings.model_dump(mode="json"), vision.scorer.key, vision.taxonomy.id]
    identity += [[str(photo.path), photo.sha256] for photo in photos]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:ID_DIGITS]
    folder = runs / f"judge-{digest}"
    report = judge_files(photos, candidates, session, settings, folder, progress)
    write_judging(report, folder, taxonomy=vision.taxonomy)
    return LoraJudgement(report, folder, references)


def _photos_of(references: Sequence[Image.Image], names: Sequence[str]) -> list[Photo]:
    called = one_or_each(
        list(names) or [f"photo {at}" for at in range(1, len(references) + 1)], len(references), "names"
    )
    return [photo_in_memory(name, image) for name, image in zip(called, references, strict=True)]
