"""Folders of photos for the nodes: read for the graph, captioned, identified by a fingerprint."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...core.files import make_folder, write_whole
from ...fashion.caption_files import write_caption
from ...fashion.photos import SUFFIXES, BadPhoto, Photo, Skip, find_photos, nothing_usable, read_photo
from ...trainer.data.caption_files import own_caption
from ..vision.batches import one_or_each

if TYPE_CHECKING:
    from PIL import Image

NAME_DIGITS = 12
ENCODER_SIDE = 448  # pixels: twice an encoder's input
CONTENT = (*SUFFIXES, ".txt", ".jsonl")  # files that decide the trained weights


@dataclass(frozen=True)
class PhotoSet:
    """The photos of a folder that can be used, and the files that were skipped."""

    photos: tuple[Photo, ...]
    skipped: tuple[Skip, ...]

    def report(self) -> str:
        """Lines of text: the count, each skipped file with its reason, each note."""
        lines = [f"{len(self.photos)} photos"]
        lines += [f"{skip.path.name}: left out, {skip.code}, {skip.reason}" for skip in self.skipped]
        lines += [f"{photo.path.name}: {note}" for photo in self.photos for note in photo.notes]
        return "\n".join(lines)


def read_photos(folder: Path, side: int, limit: int = 0) -> PhotoSet:
    """The folder's photos, at most `side` pixels long; the first `limit` of them, 0 for all.

    InputError where none can be used.
    """
    files, skipped = find_photos([folder])
    photos: list[Photo] = []
    for file in files:
        if limit and len(photos) >= limit:
            break
        try:
            photos.append(read_photo(file, side))
        except BadPhoto as bad:
            skipped.append(Skip(file, bad.code, bad.reason))
    if not photos:
        raise nothing_usable([folder], skipped)
    return PhotoSet(tuple(photos), tuple(skipped))


def require_photos(folder: Path) -> list[Path]:
    """The folder's photo files, unread; InputError where it holds none."""
    files, skipped = find_photos([folder])
    if not files:
        raise nothing_usable([folder], skipped)
    return files


def check_training_photos(folder: Path, require_captioner: Callable[[], Any]) -> None:
    """InputError for a folder without photos, a caption that can't be read, or missing captions and no captioner."""
    captions = [own_caption(file) for file in require_photos(folder)]
    if None in captions:
        require_captioner()


def fingerprint(folder: Path) -> str:
    """SHA-256 over names, sizes and times of photos, and over the captions' content."""
    digest = hashlib.sha256()
    for root, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(root, name)
            if path.suffix.lower() in CONTENT and path.is_file():
                status = path.stat()
                digest.update(f"{path.relative_to(folder)}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
                if path.suffix.lower() in (".txt", ".jsonl"):
                    digest.update(path.read_bytes())
    return digest.hexdigest()


def write_pictures(
    pictures: Sequence[Image.Image], folder: Path, captions: Sequence[str] | None = None, overwrite: bool = False
) -> None:
    """Writes each picture as a PNG named by its content, so that none is there twice, with its caption beside it.

    `captions`: one for each picture, or one for all; existing ones stay unless `overwrite`.
    """
    make_folder(folder)
    each = [None] * len(pictures) if captions is None else one_or_each(captions, len(pictures), "captions")
    for picture, caption in zip(pictures, each, strict=True):
        file = folder / f"{_digest(picture)[:NAME_DIGITS]}.png"
        if not file.exists():
            data = BytesIO()
            picture.save(data, "PNG")
            write_whole(file, data.getvalue())
        if caption is not None and (overwrite or own_caption(file) is None):
            write_caption(file, caption)


def content_of(pictures: Sequence[Image.Image], captions: Sequence[str] | None) -> str:
    """12 hex digits that change with any picture and any caption."""
    parts = [*map(_digest, pictures), *(captions or ())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:NAME_DIGITS]


def _digest(picture: Image.Image) -> str:
    return hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest()


@dataclass(frozen=True)
class CaptionedDataset:
    """The caption beside each photo, and a report of what was written and kept."""

    texts: list[str]
    report: str


def caption_photos(
    folder: Path,
    write_captions: Callable[[list[Image.Image]], list[str]],
    captions: Sequence[str] | None = None,
    overwrite: bool = False,
) -> CaptionedDataset:
    """Writes a caption beside each photo, from `captions` or by `write_captions`; without `overwrite` old ones stay.

    `captions`: one for each photo in the order of their names, or one for all.
    """
    photo_set = read_photos(folder, ENCODER_SIDE)
    existing = [None if overwrite else own_caption(photo.path) for photo in photo_set.photos]
    todo = [index for index, text in enumerate(existing) if text is None]
    if captions is not None:
        each = one_or_each(captions, len(photo_set.photos), "captions")
        new = [each[index] for index in todo]
    else:
        new = write_captions([photo_set.photos[index].image for index in todo]) if todo else []
    texts = [text or "" for text in existing]
    for index, text in zip(todo, new, strict=True):
        texts[index] = text
        write_caption(photo_set.photos[index].path, text)
    kept = len(texts) - len(todo)
    return CaptionedDataset(texts, f"{len(todo)} captions written, {kept} kept\n{photo_set.report()}")


def require_one_source(folder: str, pictures: bool) -> None:
    """InputError unless photos come either from a folder or from images."""
    if folder.strip() and pictures:
        raise InputError("both a folder and images are given", to_try="clear the folder, or disconnect the images")
    if not folder.strip() and not pictures:
        raise InputError("there are no photos", to_try="name a folder of ComfyUI's input, or connect images")
