"""Measures the score's anchors on the user's own photos: photos → garments and categories → cosines → MODISTE_HOME."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import InputError
from ..core.progress import Pace, ProgressCallback, silent
from ..fashion.catalogue_anchors import CataloguePhotos, altered_view, has_second_photos, measure_anchors
from ..fashion.photos import BadPhoto, Skip, find_photos, garment_of, read_photo
from ..fashion.user_calibration import UserCalibration

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from ..fashion.scorer import Scorer
    from ..fashion.tagger import Observation, Tagger

AT_ONCE = 16
MOST_PHOTOS_A_GARMENT = 12  # a folder with more holds a category, not a garment
LEAST_LABELLED = 20  # photos of a group for its temperature


@dataclass
class CataloguePass:
    """What one pass over the photos has seen; `labels`: photo's name → group → label, as a person says."""

    tagger: Tagger
    judge: Scorer | None
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    altered: bool = False
    observations: list[Observation] = field(default_factory=list)
    altered_embeds: list[torch.Tensor] = field(default_factory=list)
    judged: list[torch.Tensor] = field(default_factory=list)
    judged_altered: list[torch.Tensor] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)

    def take(self, images: Sequence[Image.Image]) -> None:
        """Embeds and tags a few photos."""
        observations = self.tagger.observe(images)
        self.observations += observations
        noun = self.tagger.taxonomy.noun.id
        for tags in self.tagger.read(observations):
            tag = tags.get(noun)
            self.categories.append(tag.label if tag else "")
        views = [altered_view(image) for image in images] if self.altered else []
        if views:
            self.altered_embeds.append(self.tagger.encoder.embed_images(views))
        if self.judge:
            self.judged.append(self.judge.encoder.embed_images(images))
            if views:
                self.judged_altered.append(self.judge.encoder.embed_images(views))


def measure_calibrations(
    folders: Sequence[Path],
    tagger: Tagger,
    judge: Scorer | None,
    by: str = "auto",
    labels: Mapping[str, Mapping[str, str]] | None = None,
    progress: ProgressCallback = silent,
) -> tuple[list[UserCalibration], list[Skip]]:
    """The calibration of the tagger's encoder, and of the judge's where there is one; and photos that were left out.

    `by`: what tells garments apart: names | folders | auto (names, else folders of few photos).
    """
    import torch

    files, skipped = find_photos(folders)
    garments = garments_of(files, by)
    known = CataloguePass(tagger, judge, labels or {}, altered=not has_second_photos(garments))
    pace, kept = Pace("calibrate", len(files), progress), []
    for start in range(0, len(files), AT_ONCE):
        images = []
        for index in range(start, min(start + AT_ONCE, len(files))):
            try:
                images.append(read_photo(files[index]).image)
            except BadPhoto as error:
                skipped.append(Skip(error.path, error.code, error.what))
                continue
            kept.append(index)
        if images:
            known.take(images)
        pace.reach(min(start + AT_ONCE, len(files)))
    if not kept:
        raise InputError("no photo can be used", where=", ".join(map(str, folders)), to_try="check the folder")
    names = [garments[index] for index in kept]
    embeds = torch.stack([observation.embed for observation in known.observations])
    temperatures = _temperatures(known, [files[index] for index in kept])
    calibrations = [
        _calibration(tagger.encoder.identity.key, "clip", embeds, known.altered_embeds, names, known, temperatures)
    ]
    if judge:
        judged = torch.cat(known.judged)
        key = judge.encoder.identity.key
        calibrations.append(_calibration(key, "judge", judged, known.judged_altered, names, known, {}))
    return calibrations, skipped


def garments_of(files: Sequence[Path], by: str) -> list[str]:
    """The garment of each photo: by its name, or by its folder; InputError for another `by`."""
    names, folders = [garment_of(file) for file in files], [file.parent.as_posix() for file in files]
    if by == "names":
        return names
    if by == "folders":
        return folders
    if by != "auto":
        raise InputError(f"garments can't be told apart by {by!r}", to_try="--by auto, names or folders")
    counts = Counter(folders)
    of_garments = len(counts) > 1 and all(2 <= count <= MOST_PHOTOS_A_GARMENT for count in counts.values())
    return folders if of_garments and not has_second_photos(names) else names


def _calibration(
    key: str,
    role: str,
    embeds: torch.Tensor,
    altered: Sequence[torch.Tensor],
    garments: Sequence[str],
    known: CataloguePass,
    temperatures: dict[str, float],
) -> UserCalibration:
    import torch

    copies = torch.cat(list(altered)) if altered else None
    measured = measure_anchors(CataloguePhotos(embeds, garments, known.categories, copies))
    return UserCalibration.model_validate(
        {
            "encoder": key,
            "role": role,
            "date": datetime.now(timezone.utc).date().isoformat(),
            "photos": len(garments),
            "garments": measured.garments,
            "pairs": measured.same_pairs,
            "from_altered": measured.from_altered,
            "zero": measured.zero,
            "hundred": measured.hundred,
            "raw_zero": measured.raw_zero,
            "raw_hundred": measured.raw_hundred,
            "mean": tuple(measured.mean.tolist()),
            "temperatures": temperatures,
        }
    )


def _temperatures(known: CataloguePass, files: Sequence[Path]) -> dict[str, float]:
    """Group → the temperature under which the labels are most probable; groups with few labels keep theirs."""
    from ..fashion.temperatures import fitted_temperature

    if not known.labels:
        return {}
    logits, fitted = known.tagger.logits(known.observations), {}
    for group in known.tagger.groups:
        ids = [label.id for label in group.labels]
        said = [known.labels.get(file.name, {}).get(group.id, "") for file in files]
        rows = [row for row, label in enumerate(said) if label in ids]
        if len(rows) >= LEAST_LABELLED:
            fitted[group.id] = fitted_temperature(logits[group.id][rows], [ids.index(said[row]) for row in rows])
    return fitted
