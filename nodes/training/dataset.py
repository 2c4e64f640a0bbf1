"""Folders of photos as nodes use them: read for the graph, captioned, and known again by a fingerprint."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import InputError
from ...core.files import make_folder, write_whole
from ...fashion.caption_files import write_caption
from ...fashion.photos import SUFFIXES, BadPhoto, Photo, Skip, find_photos, nothing_usable, read_photo
from ...trainer.data.caption_files import own_caption
from ..vision.batches import one_or_each

if TYPE_CHECKING:
    from PIL import Image

NAME_DIGITS = 12
SEEN_SIDE = 448  # pixels: twice what an encoder sees
CONTENT = (*SUFFIXES, ".txt", ".jsonl")  # what decides what is learned


@dataclass(frozen=True)
class PhotoSet:
    """The photos of a folder that can be used, and what was left out."""

    photos: tuple[Photo, ...]
    skipped: tuple[Skip, ...]

    def report(self) -> str:
        """For people."""
        lines = [f"{len(self.photos)} photos"]
        lines += [f"{one.path.name}: left out, {one.code}, {one.reason}" for one in self.skipped]
        lines += [f"{one.path.name}: {note}" for one in self.photos for note in one.notes]
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


def fingerprint(folder: Path) -> str:
    """Changes with any photo or caption: names, sizes, times, and the captions themselves."""
    found = hashlib.sha256()
    for root, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(root, name)
            if path.suffix.lower() in CONTENT and path.is_file():
                about = path.stat()
                found.update(f"{path.relative_to(folder)}\0{about.st_size}\0{about.st_mtime_ns}\0".encode())
                if path.suffix.lower() in (".txt", ".jsonl"):
                    found.update(path.read_bytes())
    return found.hexdigest()


def write_pictures(
    pictures: Sequence[Image.Image], folder: Path, captions: Sequence[str] | None = None, overwrite: bool = False
) -> None:
    """Each picture as a PNG named by its content, so that it is there once; beside it its caption, where one is given.

    `captions`: one a picture, or one for all; those there already stay unless `overwrite`.
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
    """A name for pictures of a graph that changes with any of them, and with their captions."""
    parts = [*map(_digest, pictures), *(captions or ())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:NAME_DIGITS]


def _digest(picture: Image.Image) -> str:
    return hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest()


@dataclass(frozen=True)
class Captioned:
    """What stands beside each photo now, and what was done, for people."""

    texts: list[str]
    report: str


def caption_photos(
    folder: Path,
    words_of: Callable[[list[Image.Image]], list[str]],
    given: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Captioned:
    """Writes a caption beside each photo: the `given` ones, else what `words_of` says; those there already stay.

    `given`: one a photo in the order of their names, or one for all.
    """
    found = read_photos(folder, SEEN_SIDE)
    before = [own_caption(photo.path) for photo in found.photos]
    todo = [index for index, text in enumerate(before) if overwrite or text is None]
    if given is not None:
        each = one_or_each(given, len(found.photos), "captions")
        new = [each[index] for index in todo]
    else:
        new = words_of([found.photos[index].image for index in todo]) if todo else []
    texts = [text or "" for text in before]
    for index, text in zip(todo, new, strict=True):
        texts[index] = text
        write_caption(found.photos[index].path, text)
    kept = len(texts) - len(todo)
    return Captioned(texts, f"{len(todo)} captions written, {kept} kept\n{found.report()}")


def refuse_both(folder: str, pictures: bool) -> None:
    """InputError unless photos come from exactly one place."""
    if folder.strip() and pictures:
        raise InputError("both a folder and images are given", to_try="clear the folder, or disconnect the images")
    if not folder.strip() and not pictures:
        raise InputError("there are no photos", to_try="name a folder of ComfyUI's input, or connect images")
