"""Tags a catalogue, photo after photo, with a batch of photos in memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from .photos import BadPhoto, Gathered, Photo, Skip, decode_photo, nothing_usable, read_file
from .prompts.captions import caption_of
from .tag_file import TaggedFile

if TYPE_CHECKING:
    from .encoder_cache import ObservationCache
    from .shards import Catalogue
    from .tagger import Observation, Tagger
    from .tags import PhotoTags

BATCH = 32  # photos in memory
TAGGING_SIDE = 448  # pixels: twice what an encoder sees
THREADS = 4  # decoding waits for the disk and, in Pillow, lets others compute


def tag_photos(
    catalogue: Catalogue,
    tagger: Tagger,
    *,
    cache: ObservationCache,
    caption: Callable[[PhotoTags], str] | None = None,
    done: frozenset[str] = frozenset(),
    without_garment: Callable[[Path], bool] = lambda path: False,
    skipped: list[Skip],
    tagged: Callable[[int, int, Path], None] = lambda done, total, path: None,
) -> Iterator[tuple[Path, TaggedFile]]:
    """Tags photo after photo, BATCH at a time in memory. Raises InputError where none can be used.

    `caption` writes a photo's caption; None: without a trigger. `done`: paths to leave out. `without_garment(path)`:
    whether a photo that shows no garment is tagged all the same. `skipped`: receives what can't be used.
    `tagged(done, total, path)` is called after each photo.
    """
    files, unusable = catalogue.find()
    skipped += unusable
    todo = [file for file in files if str(file) not in done]
    used = len(files) - len(todo)
    with ThreadPoolExecutor(THREADS) as pool:
        entries = _entries(todo, lambda batch: tag_batch(batch, tagger, cache, pool, caption))
        used += yield from usable_lines(
            entries,
            used,
            without_garment=without_garment,
            skipped=skipped,
            tagged=lambda count, path: tagged(count, len(files), path),
        )
    if not used and not (catalogue.shard and not files and not unusable):
        raise nothing_usable(catalogue.paths, skipped)


def usable_lines(
    entries: Iterable[tuple[Path, BatchEntry | Skip]],
    done: int,
    *,
    without_garment: Callable[[Path], bool],
    skipped: list[Skip],
    tagged: Callable[[int, Path], None],
) -> Generator[tuple[Path, TaggedFile], None, int]:
    """The lines of the entries that can be used, the others into `skipped`; returns how many lines there were.

    `tagged(done, path)` is called at each line, with the number of photos so far, `done` before the first.
    """
    used = 0
    for count, (path, entry) in enumerate(entries, done + 1):
        if isinstance(entry, Skip):
            skipped.append(entry)
        elif not entry.garment and not without_garment(path):
            skipped.append(no_garment(path))
        else:
            used += 1
            tagged(count, path)
            yield path, entry.line
    return used


def _entries(
    files: Sequence[Path], tag: Callable[[Sequence[Path]], Sequence[BatchEntry | Skip]]
) -> Iterator[tuple[Path, BatchEntry | Skip]]:
    waiting = iter(files)
    while batch := list(islice(waiting, BATCH)):
        yield from zip(batch, tag(batch), strict=True)


@dataclass(frozen=True)
class BatchEntry:
    """What a photo shows; `garment`: whether it is of one that the encoder knows."""

    line: TaggedFile
    garment: bool


def tag_batch(
    files: Sequence[Path],
    tagger: Tagger,
    cache: ObservationCache,
    pool: Executor,
    caption: Callable[[PhotoTags], str] | None = None,
) -> list[BatchEntry | Skip]:
    """The entry of each file, or why it can't be used; `pool` decodes what `cache` has no observation of."""
    entries = _observed(list(pool.map(partial(_decode_new, cache=cache), files)), tagger, cache)
    photos = [entry for entry in entries if isinstance(entry, _ObservedFile)]
    read = iter(tagger.read([photo.observation for photo in photos]))
    tagged: list[BatchEntry | Skip] = []
    for entry in entries:
        if isinstance(entry, Skip):
            tagged.append(entry)
            continue
        tags = next(read)
        text = caption_of(tags, tagger.taxonomy) if caption is None else caption(tags)
        tagged.append(BatchEntry(_line(entry.path, tags, text), tags.garment))
    return tagged


def photos_without_garment(photos: Sequence[Photo], tagger: Tagger) -> list[Photo]:
    """Those of the photos that show no garment that the encoder knows."""
    shown = tagger.shows_garment(tagger.observe([photo.image for photo in photos]))
    return [photo for photo, there in zip(photos, shown, strict=True) if not there]


def leave_out(unknown: Sequence[Photo], gathered: Gathered, paths: Sequence[str | Path]) -> None:
    """Moves photos without a garment to the skipped ones. Raises InputError where none is left."""
    left_out = {photo.sha256 for photo in unknown}
    gathered.photos = [photo for photo in gathered.photos if photo.sha256 not in left_out]
    gathered.skipped += [no_garment(photo.path) for photo in unknown]
    if not gathered.photos:
        raise nothing_usable(paths, gathered.skipped)


def no_garment(photo: Path) -> Skip:
    """The skip of a photo without a garment."""
    return Skip(photo, "NO_GARMENT", "no garment that the encoder knows was found; --force goes on with it")


@dataclass(frozen=True)
class _ObservedFile:
    path: Path
    observation: Observation


def _decode_new(file: Path, cache: ObservationCache) -> Photo | _ObservedFile | Skip:
    """The observation of a known photo, the decoded photo of a new one, or why it can't be used; runs in threads."""
    try:
        data = read_file(file)
        known = cache.find(data.sha256)
        return decode_photo(data, TAGGING_SIDE) if known is None else _ObservedFile(file, known)
    except BadPhoto as bad:
        return Skip(file, bad.code, bad.reason)


def _observed(
    entries: Sequence[Photo | _ObservedFile | Skip], tagger: Tagger, cache: ObservationCache
) -> list[_ObservedFile | Skip]:
    """The entries with every new photo observed, and its observation stored."""
    new = [entry for entry in entries if isinstance(entry, Photo)]
    fresh = tagger.observe([photo.image for photo in new])
    if new:
        cache.add(zip((photo.sha256 for photo in new), fresh, strict=True))
    observed = iter(fresh)
    return [_ObservedFile(entry.path, next(observed)) if isinstance(entry, Photo) else entry for entry in entries]


def _line(photo: Path, tags: PhotoTags, caption: str) -> TaggedFile:
    entries = [{"group": tag.group, "label": tag.label, "confidence": round(tag.confidence, 4)} for tag in tags.tags]
    return TaggedFile(str(photo), entries, list(tags.not_visible), caption, tags.notes)
