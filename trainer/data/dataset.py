"""Folders → samples: photos with captions, buckets and masks; some held out; what can't be used named with a code.

photo    NAME.jpg|jpeg|png|webp
caption  NAME.txt beside it, else its line in a metadata.jsonl, else the tagger's
mask     NAME-masklabel.png beside it (OneTrainer's convention), else NAME.png|jpg|jpeg|webp in the folder of masks;
         white where the photo counts, black where it does not
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import InputError
from ...core.progress import Pace, ProgressCallback, silent
from .buckets import Bucket, Crop, Size, assign, buckets_of, cut
from .caption_files import METADATA, BadCaption, Caption, clean, read_caption, read_metadata

if TYPE_CHECKING:
    from PIL import Image

    from .config import DataConfig

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
# Pictures too, by their names: the reader says why they can't be used, instead of their being passed over.
OTHER_SUFFIXES = (".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".svg", ".jxl", ".psd")
MASK = "-masklabel"
MASK_LEAST = 8  # of 255; darker is nothing, as JPEG's and WebP's noise in black is
MASK_ASPECT = 0.02  # of the photo's aspect: what rounding a resized mask may cost
MOST_BAD = 0.1  # share of the files
TAGGED_AT_ONCE = 16  # photos in memory
ID_DIGITS = 16


@dataclass(frozen=True)
class ReadPhoto:
    """A photo read from its file: RGB, upright; `sha256` is the file's.

    Its reader should not make it smaller than the largest bucket: what is smaller is drawn larger again.
    """

    path: Path
    image: Image.Image
    sha256: str


Read = Callable[[Path], ReadPhoto]  # raises an InputError that has a `code` and a `reason` where it can't
Tag = Callable[[Sequence[ReadPhoto]], "list[str]"]


class BadMask(InputError):
    """A mask that can't be used: its photo is left out, as without a mask all of it would be learned."""

    kind, code = "mask", "MASK"

    def __init__(self, path: Path, reason: str):
        self.path, self.reason = path, reason
        super().__init__(reason, where=str(path))


@dataclass(frozen=True)
class Mask:
    """Where a photo counts. `box` holds all of it: left, top, right, bottom, as shares of the picture."""

    path: Path
    sha256: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Sample:
    """A picture of the data. `id` is of its content, so that a renamed file is the same sample."""

    id: str
    path: Path
    sha256: str
    caption: str
    repeats: int
    bucket: Bucket
    crop: Crop
    mask: Mask | None = None
    prior: bool = False
    weight: float = 1.0  # of its loss


@dataclass(frozen=True)
class SkippedPhoto:
    """A file that is left out, and why."""

    path: Path
    code: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """What is learned from, and what validation looks at; `samples` hold the prior pictures too."""

    samples: tuple[Sample, ...]
    held_out: tuple[Sample, ...] = ()
    skipped: tuple[SkippedPhoto, ...] = ()
    duplicates: dict[str, tuple[Path, ...]] = field(default_factory=dict)  # sha256 → its further paths
    notes: tuple[str, ...] = ()  # for people

    def manifest(self) -> list[dict]:
        """All that makes two datasets the same to a resumed run, as JSON; files may move."""
        rows = [(one, False) for one in self.samples] + [(one, True) for one in self.held_out]
        return [
            {
                "id": sample.id,
                "caption": hashlib.sha256(sample.caption.encode()).hexdigest()[:ID_DIGITS],
                "mask": sample.mask.sha256[:ID_DIGITS] if sample.mask else None,
                "bucket": str(sample.bucket),
                "repeats": sample.repeats,
                "prior": sample.prior,
                "held_out": held_out,
            }
            for sample, held_out in sorted(rows, key=lambda row: row[0].id)
        ]

    @property
    def manifest_sha256(self) -> str:
        """Changes with any row of the manifest."""
        return hashlib.sha256(json.dumps(self.manifest(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class _Found:
    """A photo before it has a bucket."""

    path: Path
    sha256: str
    size: Size
    caption: str | None
    mask: Mask | None
    prior: bool


def load_dataset(
    config: DataConfig, read: Read, caption: Tag | None = None, progress: ProgressCallback = silent
) -> Dataset:
    """Everything of a run's data, each content once; pixels are let go again.

    InputError where nothing can be used, where more than a tenth of the files can't, where captions are missing and
    there is no tagger (`caption`), and where nothing would be left to train.
    """
    scan = _Scan(config, read)
    found = scan.photos(progress)
    scan.refuse_if_bad()
    found = scan.with_captions(found, caption)
    samples = scan.with_crops(found)
    scan.refuse_if_bad()
    held_out = {one.id for one in _held_out([one for one in samples if not one.prior], config)}
    return Dataset(
        samples=tuple(one for one in samples if one.id not in held_out),
        held_out=tuple(one for one in samples if one.id in held_out),
        skipped=tuple(scan.skipped),
        duplicates={sha256: tuple(paths) for sha256, paths in scan.duplicates.items()},
        notes=tuple(scan.notes),
    )


class _Scan:
    """One reading of the folders, with what it leaves out and what it has to say."""

    def __init__(self, config: DataConfig, read: Read):
        self.config, self.read = config, read
        self.skipped: list[SkippedPhoto] = []
        self.duplicates: dict[str, list[Path]] = {}
        self.notes: list[str] = []
        self.files = 0
        self._metadata: dict[Path, dict[str, Caption]] = {}
        self._masks_used = 0

    def photos(self, progress: ProgressCallback) -> list[_Found]:
        """Every good photo, with the caption and mask that lie on disk."""
        config = self.config
        apart = [folder for folder in (config.masks, config.prior_folder) if folder is not None]
        files = {file: (root, False) for root in config.folders for file in self._walk(root, apart)}
        if config.prior_folder is not None:
            files |= {file: (config.prior_folder, True) for file in self._walk(config.prior_folder, [])}
        self.files = len(files) + len(self.skipped)
        pace = Pace("photos", len(files), progress)
        found: dict[str, _Found] = {}
        for done, (file, (root, prior)) in enumerate(files.items(), 1):
            one = self._photo(file, root, prior)
            if one is not None and one.sha256 in found:
                self.duplicates.setdefault(one.sha256, []).append(file)
                found[one.sha256] = _merged(found[one.sha256], one)
            elif one is not None:
                found[one.sha256] = one
            pace.found(done, len(files), file)
        for prior, folders in {False: config.folders, True: (config.prior_folder,)}.items():
            if folders != (None,) and not any(one.prior == prior for one in found.values()):
                raise _nothing_usable(folders, self.skipped)
        if config.masks is not None and not self._masks_used:
            raise InputError(
                "none of the photos has a mask", where=str(config.masks), to_try="name the mask of a.jpg a.png"
            )
        return list(found.values())

    def refuse_if_bad(self) -> None:
        """Better now than after a night's training on what was left."""
        if len(self.skipped) > MOST_BAD * self.files:
            raise InputError(
                f"{len(self.skipped)} of {self.files} files can't be used: {_first(self.skipped)}",
                to_try=f"repair or remove them; up to {MOST_BAD:.0%} are left out without asking",
            )

    def with_captions(self, found: Sequence[_Found], tag: Tag | None) -> list[_Found]:
        """The tagger's words for photos that have none."""
        missing = [one for one in found if one.caption is None]
        if missing and tag is None:
            names = ", ".join(one.path.name for one in missing[:3]) + ", …" * (len(missing) > 3)
            raise InputError(
                f"{len(missing)} of {len(found)} photos have no caption: {names}",
                to_try=f"write NAME.txt beside them or a {METADATA}, or let the tagger write them",
            )
        captions: dict[str, str] = {}
        for start in range(0, len(missing), TAGGED_AT_ONCE):
            photos = [photo for one in missing[start : start + TAGGED_AT_ONCE] if (photo := self._read(one.path))]
            for photo, text in zip(photos, tag(photos) if photos else (), strict=True):
                captions[photo.sha256] = self._noted(photo.path, clean(text))
        if captions:
            self.notes.append(f"captions written by the tagger: {len(captions)}")
        written = [one if one.caption is not None else replace(one, caption=captions.get(one.sha256)) for one in found]
        return [one for one in written if one.caption is not None]

    def with_crops(self, found: Sequence[_Found]) -> list[Sample]:
        """Samples in their buckets."""
        config = self.config
        buckets = assign([one.size for one in found], buckets_of(config), config.bucket_least)
        samples = []
        for one, bucket in zip(found, buckets, strict=True):
            crop = cut(one.size, bucket)
            if one.mask and not crop.sees(one.mask.box):
                self._skip(one.path, "MASK", f"what its mask keeps is cut off where {bucket} is cut from its centre")
                continue
            if crop.scale > 1:
                self.notes.append(f"{one.path.name}: too small for {bucket}, drawn {crop.scale:.2f} times larger")
            samples.append(
                Sample(
                    id=one.sha256[:ID_DIGITS],
                    path=one.path,
                    sha256=one.sha256,
                    caption=one.caption,
                    repeats=1 if one.prior else config.repeats,
                    bucket=bucket,
                    crop=crop,
                    mask=one.mask,
                    prior=one.prior,
                    weight=config.prior_weight if one.prior else 1.0,
                )
            )
        return samples

    def _photo(self, file: Path, root: Path, prior: bool) -> _Found | None:
        photo = self._read(file)
        if photo is None:
            return None
        try:
            caption = self._caption(file, root)
            mask = None if prior else self._mask(file, root, photo.image.size)
        except (BadCaption, BadMask) as bad:
            return self._skip(file, bad.code, f"its {bad.kind} {bad.path.name}: {bad.reason}")
        return _Found(file, photo.sha256, photo.image.size, caption, mask, prior)

    def _read(self, file: Path) -> ReadPhoto | None:
        try:
            return self.read(file)
        except InputError as bad:
            if not hasattr(bad, "code"):
                raise
            return self._skip(file, bad.code, bad.reason)

    def _caption(self, file: Path, root: Path) -> str | None:
        beside = file.with_suffix(".txt")
        if beside.is_file():
            caption = read_caption(beside)
            if not caption.text:
                self.notes.append(f"{file.name}: its caption {beside.name} is empty and is taken as it is")
            return self._noted(file, caption)
        for folder in file.parents:
            if folder not in self._metadata:
                table = folder / METADATA
                self._metadata[folder] = read_metadata(table) if table.is_file() else {}
            caption = self._metadata[folder].get(file.relative_to(folder).as_posix())
            if caption is not None:
                return self._noted(file, caption)
            if folder == root:
                break
        return None

    def _mask(self, file: Path, root: Path, size: Size) -> Mask | None:
        path = file.with_name(f"{file.stem}{MASK}.png")
        if not path.is_file():
            path = self._mask_in_folder(file, root)
        if path is None:
            if self.config.masks is not None:
                self.notes.append(f"{file.name}: no mask, all of it counts")
            return None
        self._masks_used += 1
        try:
            mask = self.read(path)
        except InputError as bad:
            if not hasattr(bad, "code"):
                raise
            raise BadMask(path, f"{bad.code}, {bad.reason}") from None
        width, height = mask.image.size
        if abs(width * size[1] / (height * size[0]) - 1) > MASK_ASPECT:
            raise BadMask(path, f"it is {width}×{height}, of another shape than the photo's {size[0]}×{size[1]}")
        box = mask.image.convert("L").point(lambda value: 255 * (value >= MASK_LEAST)).getbbox()
        if box is None:
            raise BadMask(path, "it is all black: nothing of the photo counts")
        shares = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
        return Mask(path, mask.sha256, shares)

    def _mask_in_folder(self, file: Path, root: Path) -> Path | None:
        """Under the photo's own path there, else under its name alone."""
        if self.config.masks is None:
            return None
        places = (self.config.masks / file.relative_to(root), self.config.masks / file.name)
        named = (place.with_suffix(suffix) for place in places for suffix in (".png", *SUFFIXES))
        return next((path for path in named if path.is_file()), None)

    def _walk(self, root: Path, apart: Sequence[Path]) -> Iterator[Path]:
        """Photo files in order, none of hidden folders or of those that are `apart`."""
        if not root.is_dir():
            raise InputError("there is no such folder of photos", where=str(root), to_try="check the path")
        closed = {folder.resolve() for folder in apart}
        for place, folders, files in os.walk(root):
            folders[:] = sorted(
                name
                for name in folders
                if not name.startswith(".") and name != "__MACOSX" and Path(place, name).resolve() not in closed
            )
            for name in sorted(files):
                file = Path(place, name)
                if name.startswith(".") or file.suffix.lower() not in (*SUFFIXES, *OTHER_SUFFIXES):
                    continue
                if file.stem.endswith(MASK):
                    continue
                if file.is_symlink() and not file.resolve().is_relative_to(root.resolve()):
                    self._skip(file, "OUTSIDE_ROOT", "the link leads out of the folder")
                else:
                    yield file

    def _skip(self, path: Path, code: str, reason: str) -> None:
        self.skipped.append(SkippedPhoto(path, code, reason))

    def _noted(self, file: Path, caption: Caption) -> str:
        self.notes += [f"{file.name}: {note}" for note in caption.notes]
        return caption.text


def _merged(first: _Found, copy: _Found) -> _Found:
    """What was written or painted for a copy holds for the photo, where it has none of its own."""
    caption = copy.caption if first.caption is None else first.caption
    return replace(first, caption=caption, mask=first.mask or copy.mask)


def _held_out(samples: Sequence[Sample], config: DataConfig) -> list[Sample]:
    """A share by content: a photo stays on its side whatever comes or goes beside it.

    Where the share gives fewer than `held_out_least`, those of the smallest hashes: then a new photo can take the
    place of one of them, and of no more than one.
    """
    by_hash = sorted((uniform(one.sha256), one.id, one) for one in samples)
    held = [one for at, _, one in by_hash if at < config.held_out]
    if len(held) < config.held_out_least:
        held = [one for _, _, one in by_hash[: config.held_out_least]]
    if len(held) == len(samples):
        raise InputError(
            f"held_out_least {config.held_out_least} and held_out {config.held_out} of {len(samples)} photos leave "
            "nothing to train",
            to_try="give more photos, or set both to 0 for no validation",
        )
    return held


def uniform(sha256: str) -> float:
    """0 … 1 of a content, the smallest held out; a hash of the hash, as its first digits are used elsewhere."""
    digest = hashlib.blake2b(f"held out {sha256}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _nothing_usable(folders: Sequence[Path], skipped: Sequence[SkippedPhoto]) -> InputError:
    where = ", ".join(map(str, folders))
    if not skipped:
        return InputError("no photos here", where=where, to_try=f"folders of {', '.join(SUFFIXES)} files")
    return InputError(
        f"none of the photos can be used: {_first(skipped)}", where=where, to_try="PNG, JPEG or WebP photos"
    )


def _first(skipped: Sequence[SkippedPhoto]) -> str:
    first = "; ".join(f"{skip.path.name}: {skip.code}, {skip.reason}" for skip in skipped[:3])
    return first + (f"; and {len(skipped) - 3} more" if len(skipped) > 3 else "")
