"""What a training would make of a folder of photos: sharpness, size, near-copies, backgrounds, views, buckets.

Nothing is changed and nothing is left out here; each photo gets its marks, the folder gets sentences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import InputError
from ..core.progress import Pace, ProgressCallback, silent
from ..fashion.photos import VIEW, BadPhoto, Skip, find_photos, garment_of, read_photo
from ..trainer.data.buckets import assign, make_buckets

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

    from ..fashion.encoders.protocol import ImageEncoder

SHARP_SIDE = 512  # pixels; sharpness is compared at one size
BLURRED_SHARE, BLURRED = 0.25, 100.0  # of the folder's median, and at most so much: both must be undercut
NEAR_COPY = 0.985  # cosine; a second photo of one garment lies below
SAME_GROUND_DELTA = 6.0  # ΔE in Lab between two backgrounds that count as one
ONE_GROUND_SHARE = 0.8
STEP, MAX_ASPECT = 64, 2.0  # of the trainer's buckets
FEW = 20  # photos; below it a look is learned by heart


@dataclass
class CheckedPhoto:
    """One photo's figures; `sharpness` is the variance of the Laplacian at 512 px, `marks` are what is wrong."""

    path: Path
    width: int
    height: int
    sharpness: float
    background: tuple[float, float, float]  # Lab
    view: str  # from the name; empty where it says none
    bucket: str = ""
    copy_of: Path | None = None
    marks: list[str] = field(default_factory=list)


@dataclass
class CheckedFolder:
    """All photos with their marks, what is to be said of them together, and what could not be read."""

    photos: list[CheckedPhoto]
    findings: list[str]
    skipped: list[Skip]
    thumbnails: list[Image.Image] = field(default_factory=list)


def check_photos(
    folders: Sequence[Path], encoder: ImageEncoder | None, resolution: int, progress: ProgressCallback = silent
) -> CheckedFolder:
    """Looks at every photo; near-copies are sought by the encoder's cosines, where there is one."""
    import torch

    files, skipped = find_photos(folders)
    photos, thumbnails, embeds = [], [], []
    pace = Pace("check", len(files), progress)
    for file in files:
        try:
            image = read_photo(file, side=2 * max(resolution, SHARP_SIDE)).image
        except BadPhoto as error:
            skipped.append(Skip(error.path, error.code, error.what))
        else:
            photos.append(_figures(file, image))
            if encoder is not None:
                embeds.append(encoder.embed_images([image])[0])
            small = image.copy()
            small.thumbnail((160, 160))
            thumbnails.append(small)
        pace.step(message=file.name)
    if not photos:
        raise InputError("no photo can be used", where=", ".join(map(str, folders)), to_try="check the folder")
    _mark(photos, resolution)
    if embeds:
        _mark_copies(photos, torch.stack(embeds))
    return CheckedFolder(photos, _findings(photos, resolution), skipped, thumbnails)


def _figures(file: Path, image: Image.Image) -> CheckedPhoto:
    import numpy as np

    grey = image.convert("L")
    grey.thumbnail((SHARP_SIDE, SHARP_SIDE))
    view = VIEW.search(file.stem)
    ground = _border_colour(np.asarray(image.resize((64, 64))))
    return CheckedPhoto(file, *image.size, _sharpness(np.asarray(grey, float)), ground, view[1].lower() if view else "")


def _sharpness(grey: np.ndarray) -> float:
    """The variance of the Laplacian of a grey picture [H, W], 0 … 255: little of it is a blurred picture."""
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    return round(float(laplacian.var()), 1)


def _border_colour(pixels: np.ndarray) -> tuple[float, float, float]:
    """The median colour of a picture's border [H, W, 3], in Lab."""
    import numpy as np

    from ..fashion.colour import srgb_to_lab

    border = np.concatenate([pixels[:4].reshape(-1, 3), pixels[-4:].reshape(-1, 3), pixels[:, :4].reshape(-1, 3)])
    lightness, a, b = np.median(srgb_to_lab(border), axis=0).tolist()
    return lightness, a, b


def _mark(photos: Sequence[CheckedPhoto], resolution: int) -> None:
    from statistics import median

    usual = median(photo.sharpness for photo in photos)
    buckets = make_buckets(resolution, min(STEP, resolution), MAX_ASPECT)
    for photo, bucket in zip(photos, assign([(p.width, p.height) for p in photos], buckets, least=4), strict=True):
        photo.bucket = str(bucket)
        if photo.sharpness < min(BLURRED, BLURRED_SHARE * usual):
            photo.marks.append("blurred")
        if photo.width < bucket.width and photo.height < bucket.height:
            photo.marks.append("small")
        if max(photo.width, photo.height) > MAX_ASPECT * min(photo.width, photo.height):
            photo.marks.append("much is cut")


def _mark_copies(photos: Sequence[CheckedPhoto], embeds: torch.Tensor) -> None:
    cosines = embeds @ embeds.T
    for index, photo in enumerate(photos):
        earlier = [other for other in range(index) if photos[other].copy_of is None]
        nearest = max(earlier, key=lambda other: float(cosines[index, other]), default=None)
        if nearest is not None and float(cosines[index, nearest]) >= NEAR_COPY:
            photo.copy_of = photos[nearest].path
            photo.marks.append("near-copy")


def _findings(photos: Sequence[CheckedPhoto], resolution: int) -> list[str]:
    distinct = [photo for photo in photos if photo.copy_of is None]
    garments = Counter(garment_of(photo.path) for photo in photos)
    sentences = [f"{len(photos)} photos of {len(garments)} garments, {len(distinct)} of them no near-copy of another"]
    counts = Counter(mark for photo in photos for mark in photo.marks)
    advice = {
        "blurred": "blurred photos teach blur: leave them out",
        "small": f"smaller than {resolution} px and would be enlarged: scan or crop them larger",
        "near-copy": "near-copies count their picture twice: keep one of each",
        "much is cut": "longer than 2:1, so that their ends are cut off: crop them yourself",
    }
    sentences += [f"{count} {mark}: {advice[mark]}" for mark, count in counts.items()]
    if len(distinct) < FEW:
        sentences.append(
            f"{len(distinct)} different photos are few: {FEW} or more keep a training from learning by heart"
        )
    sentences += _of_grounds(photos) + _of_views(photos, garments)
    held_out = min(max(2, round(0.15 * len(photos))), len(photos) // 2)
    buckets = ", ".join(f"{count} at {bucket}" for bucket, count in Counter(p.bucket for p in photos).most_common())
    sentences.append(f"a training would learn from about {len(photos) - held_out} and hold out {held_out}; {buckets}")
    return sentences


def _of_grounds(photos: Sequence[CheckedPhoto]) -> list[str]:
    import numpy as np

    grounds = np.array([photo.background for photo in photos])
    near = (np.linalg.norm(grounds[:, None] - grounds[None], axis=-1) <= SAME_GROUND_DELTA).sum(1)
    if len(photos) < 4 or near.max() < ONE_GROUND_SHARE * len(photos):
        return []
    share = f"{near.max()} of {len(photos)} photos have one background"
    return [f"{share}: the look would bring it along; name it in the captions, or add photos elsewhere"]


def _of_views(photos: Sequence[CheckedPhoto], garments: Counter[str]) -> list[str]:
    views = sorted({photo.view for photo in photos if photo.view})
    if len(views) < 2:
        single = sum(count == 1 for count in garments.values())
        return [f"{single} garments have one photo: a second view shows what belongs to the garment"] if single else []
    lacking = {view: 0 for view in views}
    for garment in garments:
        present = {photo.view for photo in photos if garment_of(photo.path) == garment}
        for view in views:
            lacking[view] += view not in present
    missing = ", ".join(f"{view} of {count} garments" for view, count in lacking.items() if count)
    return [f"missing views: {missing}"] if missing else []
