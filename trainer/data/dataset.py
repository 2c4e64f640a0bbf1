"""Folders → samples: photos with captions, buckets and masks; some held out; what can't be used named with a code.

photo    NAME.jpg|jpeg|png|webp
caption  NAME.txt or NAME.caption beside it, else its line in a metadata.jsonl or .csv, else the name of a folder
         N_name, as sd-scripts has it, else the tagger's
repeats  the config's, times N of a folder N_name
prior    pictures of the class that must stay as they are: `prior_folder`, and the folder `reg` of kohya's layout
mask     NAME-masklabel.png beside it (OneTrainer's convention), else NAME.png|jpg|jpeg|webp in the folder of masks;
         white where the photo counts, black where it does not
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...core.errors import InputError
from ...core.progress import Pace, ProgressCallback, silent
from .buckets import Size, assign, buckets_of, cut
from .caption_files import METADATA, BadCaption, Caption, caption_file, clean, metadata_in, read_caption
from .caption_files import SUFFIXES as CAPTION_SUFFIXES
from .config import DataConfig, PhotoFolder
from .held_out import Garment, held_out_of
from .masks import BadMask, find_mask, read_mask
from .photo_files import SUFFIXES, class_words_of, photo_files, regularisation_of, repeats_of
from .sample import ID_DIGITS, Dataset, Mask, Read, ReadPhoto, Sample, SkippedPhoto, Tag

MOST_BAD = 0.1  # share of the files
TAGGED_AT_ONCE = 16  # photos in memory


@dataclass(frozen=True)
class _ScannedPhoto:
    """A photo before it has a bucket."""

    path: Path
    sha256: str
    size: Size
    caption: str | None
    mask: Mask | None
    prior: bool
    repeats: int = 1  # as its folder says
    original: Size | None = None  # in the file, upright


def load_dataset(
    config: DataConfig,
    read: Read,
    caption: Tag | None = None,
    progress: ProgressCallback = silent,
    garment: Garment | None = None,
) -> Dataset:
    """Everything of a run's data, each content once; pixels are let go again.

    `garment` says which photos show one garment, so that all of them are held out or none. InputError where nothing can
    be used, where more than a tenth of the files can't, where captions are missing and there is no tagger (`caption`),
    and where nothing would be left to train.
    """
    scan = _Scan(config, read)
    photos = scan.photos(progress)
    scan.refuse_if_bad()
    photos = scan.with_captions(photos, caption)
    samples = scan.with_crops(photos)
    scan.refuse_if_bad()
    candidates = [sample for sample in samples if not sample.prior]
    held_out = {sample.id for sample in held_out_of(candidates, config, garment)}
    if not held_out and (config.held_out or config.held_out_least):
        scan.notes.append(f"{len(candidates)} photos are too few to hold any out: nothing chooses a checkpoint")
    folders = Counter(sample.repeats // config.repeats for sample in candidates)
    source = "the dataset config" if config.folder_settings else "their folders' names"
    if set(folders) != {1}:
        counts = ", ".join(f"{count} photos {times}×" for times, count in sorted(folders.items()))
        scan.notes.append(f"repeats by {source} (kohya_names): {counts}")
    if scan.class_words:
        words = ", ".join(f"{name!r} {count}×" for name, count in scan.class_words.most_common(3))
        scan.notes.append(f"captions by {source} (class_words): {words}; --captions tag lets the tagger write")
    return Dataset(
        samples=tuple(sample for sample in samples if sample.id not in held_out),
        held_out=tuple(sample for sample in samples if sample.id in held_out),
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
        self.class_words: Counter[str] = Counter()
        self._metadata: dict[Path, dict[str, Caption]] = {}
        self._masks_used = 0

    def photos(self, progress: ProgressCallback) -> list[_ScannedPhoto]:
        """Every good photo, with the caption and mask that lie on disk."""
        files = self._files()
        pace = Pace("photos", len(files), progress)
        by_content: dict[str, _ScannedPhoto] = {}
        for done, (file, root) in enumerate(files.items(), 1):
            photo = self._photo(file, root)
            if photo is not None and photo.sha256 in by_content:
                self.duplicates.setdefault(photo.sha256, []).append(file)
                by_content[photo.sha256] = _merged(by_content[photo.sha256], photo)
            elif photo is not None:
                by_content[photo.sha256] = photo
            pace.found(done, len(files), file)
        photos = list(by_content.values())
        self._refuse_empty(photos)
        return photos

    def refuse_if_bad(self) -> None:
        """Better now than after a night's training on what was left."""
        if len(self.skipped) > MOST_BAD * self.files:
            raise InputError(
                f"{len(self.skipped)} of {self.files} files can't be used: {_first(self.skipped)}",
                to_try=f"repair or remove them; up to {MOST_BAD:.0%} are left out without asking",
            )

    def with_captions(self, photos: Sequence[_ScannedPhoto], tag: Tag | None) -> list[_ScannedPhoto]:
        """The tagger's words for photos that have none."""
        missing = [photo for photo in photos if photo.caption is None]
        if missing and tag is None and self.config.captions == "tag":
            raise InputError("captions 'tag' needs a tagger, and there is none", to_try="captions 'keep', or a preset")
        if missing and tag is None:
            names = ", ".join(photo.path.name for photo in missing[:3]) + ", …" * (len(missing) > 3)
            raise InputError(
                f"{len(missing)} of {len(photos)} photos have no caption: {names}",
                to_try=f"write NAME.txt beside them or a {METADATA}, or let the tagger write them",
            )
        captions: dict[str, str] = {}
        if tag is not None:
            for start in range(0, len(missing), TAGGED_AT_ONCE):
                opened = [self._read(photo.path) for photo in missing[start : start + TAGGED_AT_ONCE]]
                pictures = [picture for picture in opened if picture is not None]
                for picture, text in zip(pictures, tag(pictures) if pictures else (), strict=True):
                    captions[picture.sha256] = self._noted(picture.path, clean(text))
        if captions:
            self.notes.append(f"captions written by the tagger: {len(captions)}")
        written = [
            photo if photo.caption is not None else replace(photo, caption=captions.get(photo.sha256))
            for photo in photos
        ]
        return [photo for photo in written if photo.caption is not None]

    def with_crops(self, photos: Sequence[_ScannedPhoto]) -> list[Sample]:
        """Samples in their buckets, of photos that have captions."""
        config, samples = self.config, []
        buckets = assign([photo.size for photo in photos], buckets_of(config), config.bucket_least)
        for photo, bucket in zip(photos, buckets, strict=True):
            crop = cut(photo.size, bucket)
            if photo.mask and not crop.sees(photo.mask.box):
                self._skip(photo.path, "MASK", f"what its mask keeps is cut off where {bucket} is cut from its centre")
                continue
            if crop.scale > 1:
                self.notes.append(f"{photo.path.name}: too small for {bucket}, drawn {crop.scale:.2f} times larger")
            samples.append(
                Sample(
                    id=photo.sha256[:ID_DIGITS],
                    path=photo.path,
                    sha256=photo.sha256,
                    caption=photo.caption or "",
                    repeats=1 if photo.prior else photo.repeats * config.repeats,
                    bucket=bucket,
                    crop=crop,
                    mask=photo.mask,
                    prior=photo.prior,
                    weight=config.prior_weight if photo.prior else 1.0,
                    original=photo.original if config.original_sizes else None,
                )
            )
        return samples

    def _files(self) -> dict[Path, PhotoFolder]:
        """File → its folder of the config."""
        folders = folders_of(self.config)
        apart = [folder.path for folder in folders if folder.prior]
        apart += [self.config.masks] if self.config.masks is not None else []
        files = {
            file: folder
            for folder in folders
            for file in photo_files(folder.path, [] if folder.prior else apart, self._skip)
        }
        self.files = len(files) + len(self.skipped)
        return files

    def _refuse_empty(self, photos: Sequence[_ScannedPhoto]) -> None:
        config, all_folders = self.config, folders_of(self.config)
        for prior in (False, True):
            folders = [folder.path for folder in all_folders if folder.prior == prior]
            if folders and not any(photo.prior == prior for photo in photos):
                raise _nothing_usable(folders, self.skipped)
        if config.masks is not None and not self._masks_used:
            raise InputError(
                "none of the photos has a mask", where=str(config.masks), to_try="name the mask of a.jpg a.png"
            )

    def _photo(self, file: Path, folder: PhotoFolder) -> _ScannedPhoto | None:
        photo = self._read(file)
        if photo is None:
            return None
        try:
            caption = self._caption(file, folder)
            mask = None if folder.prior else self._mask(file, folder.path, photo.image.size)
        except (BadCaption, BadMask) as bad:
            self._skip(file, bad.code, f"its {bad.kind} {bad.path.name}: {bad.reason}")
            return None
        repeats = folder.repeats or (repeats_of(file, folder.path) if self.config.kohya_names else 1)
        return _ScannedPhoto(file, photo.sha256, photo.image.size, caption, mask, folder.prior, repeats, photo.size)

    def _read(self, file: Path) -> ReadPhoto | None:
        try:
            return self.read(file)
        except InputError as bad:
            code, reason = getattr(bad, "code", None), getattr(bad, "reason", "")
            if code is None:
                raise
            self._skip(file, code, reason)
            return None

    def _caption(self, file: Path, root: PhotoFolder) -> str | None:
        """What was written for a photo, else the class words of its folder; None: the tagger is to say it."""
        if self.config.captions == "tag" and not root.prior:
            return None
        written = self._written_caption(file, root.path)
        if written is not None:
            return written
        by_name = self.config.kohya_names and self.config.class_words
        words = root.class_words or (class_words_of(file, root.path) if by_name else "")
        if words:
            self.class_words[words] += 1
        return words or None

    def _written_caption(self, file: Path, root: Path) -> str | None:
        beside = caption_file(file, CAPTION_SUFFIXES if self.config.kohya_names else CAPTION_SUFFIXES[:1])
        if beside is not None:
            caption = read_caption(beside)
            if not caption.text:
                self.notes.append(f"{file.name}: its caption {beside.name} is empty and is taken as it is")
            return self._noted(file, caption)
        for folder in file.parents:
            if folder not in self._metadata:
                self._metadata[folder] = metadata_in(folder)
            row = self._metadata[folder].get(file.relative_to(folder).as_posix())
            if row is not None:
                return self._noted(file, row)
            if folder == root:
                break
        return None

    def _mask(self, file: Path, root: Path, size: Size) -> Mask | None:
        path = find_mask(file, root, self.config.masks)
        if path is None:
            if self.config.masks is not None:
                self.notes.append(f"{file.name}: no mask, all of it counts")
            return None
        self._masks_used += 1
        return read_mask(path, size, self.read)

    def _skip(self, path: Path, code: str, reason: str) -> None:
        self.skipped.append(SkippedPhoto(path, code, reason))

    def _noted(self, file: Path, caption: Caption) -> str:
        self.notes += [f"{file.name}: {note}" for note in caption.notes]
        return caption.text


def folders_of(config: DataConfig) -> list[PhotoFolder]:
    """Every folder of a run, with what the config, or kohya's layout, says of it; those of prior pictures last."""
    by_path = {folder.path: folder for folder in config.folder_settings}
    folders = [by_path.get(path, PhotoFolder(path=path)) for path in config.folders]
    priors = [folder for folder in config.folder_settings if folder.prior]
    if config.prior_folder is not None:
        priors.append(PhotoFolder(path=config.prior_folder, prior=True))
    elif config.kohya_names and config.class_words:
        found = (regularisation_of(path) for path in config.folders)
        priors += [PhotoFolder(path=path, prior=True) for path in found if path is not None]
    return [folder for folder in folders if not folder.prior] + priors


def _merged(first: _ScannedPhoto, copy: _ScannedPhoto) -> _ScannedPhoto:
    """What was written or painted for a copy holds for the photo, where it has none of its own."""
    caption = copy.caption if first.caption is None else first.caption
    return replace(first, caption=caption, mask=first.mask or copy.mask)


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
