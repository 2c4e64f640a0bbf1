"""Tags a catalogue, photo after photo, with a few batches of photos in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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

BATCH = 32  # photos that are read together
CATALOGUE_BATCH = 8  # photos that a CPU encodes at once: a ViT-B/32 takes 0.6 times as long for each as one by one
TAGGING_SIDE = 448  # pixels: twice what an encoder sees
THREADS = 4  # decoding waits for the disk and, in Pillow, lets others compute
MOST_ENCODERS = 16  # threads; more wait for each other in Python


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
    """Tags photo after photo, in batches. Raises InputError where none can be used.

    `caption` writes a photo's caption; None: without a trigger. `done`: paths to leave out. `without_garment(path)`:
    whether a photo that shows no garment is tagged all the same. `skipped`: receives what can't be used.
    `tagged(done, total, path)` is called after each photo.
    """
    files, unusable = catalogue.find()
    skipped += unusable
    todo = [file for file in files if str(file) not in done]
    used = len(files) - len(todo)
    with TaggingThreads(tagger, cache, caption) as work:
        used += yield from usable_lines(
            _entries(todo, work),
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


def _entries(files: Sequence[Path], work: TaggingThreads) -> Iterator[tuple[Path, BatchEntry | Skip]]:
    """Each file with its entry; the next batches are decoded and encoded while one is read."""
    waiting = iter(files)
    decoding: deque[tuple[list[Path], DecodingBatch]] = deque()
    encoding: deque[tuple[list[Path], EncodingBatch]] = deque()
    while batch := list(islice(waiting, BATCH)):
        decoding.append((batch, work.decode(batch)))
        if len(decoding) > work.ahead:
            earlier, started = decoding.popleft()
            encoding.append((earlier, work.encode(started)))
        if len(encoding) > work.ahead:
            earlier, encoded = encoding.popleft()
            yield from zip(earlier, work.read(encoded), strict=True)
    encoding += [(batch, work.encode(started)) for batch, started in decoding]
    for batch, encoded in encoding:
        yield from zip(batch, work.read(encoded), strict=True)


@dataclass(frozen=True)
class BatchEntry:
    """What a photo shows; `garment`: whether it is of one that the encoder knows."""

    line: TaggedFile
    garment: bool


class TaggingThreads:
    """Takes batches of files through the three parts of tagging, in threads.

    decode   reads and decodes what the cache has no observation of; waits for the disk
    encode   its observations, CATALOGUE_BATCH photos in each thread: two threads with a processor each do more
             than two processors on one computation; a GPU has one thread, and all photos of a batch at once
    read     the tags, in the caller's thread
    """

    def __init__(self, tagger: Tagger, cache: ObservationCache, caption: Callable[[PhotoTags], str] | None = None):
        """`caption` writes a photo's caption; None: without a trigger."""
        import torch

        self.tagger, self.cache = tagger, cache
        self.caption = caption or partial(caption_of, taxonomy=tagger.taxonomy)
        on_cpu = tagger.encoder.device == "cpu"
        self._torch_threads = torch.get_num_threads()
        threads = min(self._torch_threads, MOST_ENCODERS) if on_cpu else 1
        self.part = CATALOGUE_BATCH if on_cpu else BATCH
        self.ahead = -(-threads * self.part // BATCH)  # batches of which something waits
        self._decoders = ThreadPoolExecutor(THREADS)
        each = 1 if on_cpu else self._torch_threads
        self._encoders = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(each,))

    def __enter__(self) -> TaggingThreads:
        return self

    def __exit__(self, *error: object) -> None:
        import torch

        self._decoders.shutdown(cancel_futures=True)
        self._encoders.shutdown(cancel_futures=True)
        torch.set_num_threads(self._torch_threads)  # of threads that begin later

    def decode(self, files: Sequence[Path]) -> DecodingBatch:
        """Begins to decode a batch."""
        return [self._decoders.submit(_decode_new, file, self.cache) for file in files]

    def encode(self, batch: DecodingBatch) -> EncodingBatch:
        """Waits until a batch is decoded, and begins to encode it."""
        entries = [future.result() for future in batch]
        new = [entry for entry in entries if isinstance(entry, Photo)]
        parts = [new[start : start + self.part] for start in range(0, len(new), self.part)]
        return entries, [self._encoders.submit(self._observe, part) for part in parts]

    def _observe(self, photos: Sequence[Photo]) -> list[Observation]:
        return self.tagger.observe([photo.image for photo in photos])

    def read(self, batch: EncodingBatch) -> list[BatchEntry | Skip]:
        """Waits until a batch is encoded, and reads the entry of each file, or why it can't be used."""
        entries = self._observed(*batch)
        photos = [entry for entry in entries if isinstance(entry, _ObservedFile)]
        read = iter(self.tagger.read([photo.observation for photo in photos]))
        return [entry if isinstance(entry, Skip) else self._entry(entry.path, next(read)) for entry in entries]

    def _observed(
        self, entries: Sequence[Photo | _ObservedFile | Skip], parts: Sequence[Future[list[Observation]]]
    ) -> list[_ObservedFile | Skip]:
        """The entries with every new photo's observation, which is stored."""
        fresh = [observation for part in parts for observation in part.result()]
        new = [entry for entry in entries if isinstance(entry, Photo)]
        if new:
            self.cache.add(zip((photo.sha256 for photo in new), fresh, strict=True))
        observed = iter(fresh)
        return [_ObservedFile(entry.path, next(observed)) if isinstance(entry, Photo) else entry for entry in entries]

    def _entry(self, path: Path, tags: PhotoTags) -> BatchEntry:
        return BatchEntry(_line(path, tags, self.caption(tags)), tags.garment)


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


DecodingBatch = Sequence[Future[Photo | _ObservedFile | Skip]]
EncodingBatch = tuple[Sequence[Photo | _ObservedFile | Skip], Sequence[Future[list["Observation"]]]]


def _decode_new(file: Path, cache: ObservationCache) -> Photo | _ObservedFile | Skip:
    """The observation of a known photo, the decoded photo of a new one, or why it can't be used; runs in threads."""
    try:
        data = read_file(file)
        known = cache.find(data.sha256)
        return decode_photo(data, TAGGING_SIDE) if known is None else _ObservedFile(file, known)
    except BadPhoto as bad:
        return Skip(file, bad.code, bad.reason)


def _line(photo: Path, tags: PhotoTags, caption: str) -> TaggedFile:
    entries = [{"group": tag.group, "label": tag.label, "confidence": round(tag.confidence, 4)} for tag in tags.tags]
    return TaggedFile(str(photo), entries, list(tags.not_visible), caption, tags.notes)
