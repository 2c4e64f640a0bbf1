"""Tags a catalogue: photo after photo into JSON lines or CSV, resumable, and captions beside photos."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.files import write_whole
from .photos import BadPhoto, Photo, Skip, decode_photo, find_photos, nothing_usable, read_file
from .prompts.captions import caption_of

if TYPE_CHECKING:
    from .encoder_cache import ObservationCache
    from .tagger import Observation, Tagger
    from .tags import PhotoTags

BATCH = 32  # photos in memory
TAGGING_SIDE = 448  # pixels: twice what an encoder sees
THREADS = 4  # decoding waits for the disk and, in Pillow, lets others compute
FORMULA = "=+-@\t\r"  # a cell that begins so is executed by a spreadsheet


@dataclass(frozen=True)
class Tagged:
    """The tags of one photo: its path as given, tags, and the caption that they make."""

    image: str
    tags: list[dict[str, Any]]  # {group, label, confidence}
    not_visible: list[str]
    caption: str

    def as_json(self) -> dict[str, Any]:
        """The entry of a photo in `tag --json` and in JSON lines."""
        return dict(vars(self))


def tag_photos(
    paths: Sequence[str | Path],
    tagger: Tagger,
    *,
    cache: ObservationCache,
    trigger: str = "",
    bound: Sequence[str] | None = None,
    done: frozenset[str] = frozenset(),
    skipped: list[Skip],
    tagged: Callable[[int, int, Path], None] = lambda done, total, path: None,
) -> Iterator[tuple[Path, Tagged]]:
    """Tags photo after photo, BATCH at a time in memory. Raises InputError where none can be used.

    `done`: paths to leave out. `skipped`: receives what can't be used. `tagged(done, total, path)` is called after each
    photo.
    """
    files, outside = find_photos(paths)
    skipped += outside
    todo = [file for file in files if str(file) not in done]
    count = used = len(files) - len(todo)
    waiting = iter(todo)
    with ThreadPoolExecutor(THREADS) as pool:
        while batch := list(islice(waiting, BATCH)):
            entries = _observed(list(pool.map(partial(_decode_new, cache=cache), batch)), tagger, cache)
            skipped += [entry for entry in entries if isinstance(entry, Skip)]
            photos = [entry for entry in entries if isinstance(entry, _ObservedFile)]
            count += len(batch) - len(photos)
            for photo, tags in zip(photos, tagger.read([photo.observation for photo in photos]), strict=True):
                count, used = count + 1, used + 1
                tagged(count, len(files), photo.path)
                caption = caption_of(tags, tagger.taxonomy, trigger, bound)
                yield photo.path, _line(photo.path, tags, caption)
    if not used:
        raise nothing_usable(paths, skipped)


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


def _line(photo: Path, tags: PhotoTags, caption: str) -> Tagged:
    entries = [{"group": tag.group, "label": tag.label, "confidence": round(tag.confidence, 4)} for tag in tags.tags]
    return Tagged(str(photo), entries, list(tags.not_visible), caption)


def write_caption(photo: Path, caption: str) -> Path:
    """Writes the caption into a .txt beside its photo, where trainers read it."""
    file = photo.with_suffix(".txt")
    write_whole(file, f"{caption}\n".encode())
    return file


class TagFile:
    """A .jsonl or .csv that grows line by line; opened again it knows its photos, and drops a torn last line."""

    def __init__(self, path: Path):
        if path.suffix.lower() not in (".jsonl", ".csv"):
            raise InputError("tags are written as .jsonl or .csv", where=str(path), to_try="--out tags.jsonl")
        self.path, self._csv = path, path.suffix.lower() == ".csv"
        self.done = frozenset(self._known())
        self._file = path.open("a", encoding="utf-8", newline="")

    def _known(self) -> Iterator[str]:
        if not self.path.is_file():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text("image,caption,tags\n" if self._csv else "", encoding="utf-8")
            return
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            write_whole(self.path, whole)
        text = whole.decode("utf-8")
        if self._csv:
            yield from (_unguarded(row["image"]) for row in csv.DictReader(StringIO(text)))
        else:
            yield from (json.loads(line)["image"] for line in text.splitlines())

    def add(self, line: Tagged) -> None:
        """Appends a photo's line."""
        if self._csv:
            tags = "; ".join(f"{tag['group']}: {tag['label']} ({tag['confidence']:.2f})" for tag in line.tags)
            csv.writer(self._file, lineterminator="\n").writerow(map(_guarded, (line.image, line.caption, tags)))
        else:
            self._file.write(json.dumps(line.as_json(), ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> TagFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _guarded(cell: str) -> str:
    """The cell, changed so that no spreadsheet takes it for a formula."""
    return f"'{cell}" if cell.startswith(tuple(FORMULA)) else cell


def _unguarded(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:2] in FORMULA else cell
