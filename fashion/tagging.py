"""A catalogue's tags: photo after photo into JSON lines or CSV, resumable; and captions beside photos."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..files import write_whole
from .grammar import article
from .photos import BadPhoto, Photo, Skip, find_photos, nothing_usable, read_photo

if TYPE_CHECKING:
    from .tagger import Tagger
    from .tags import PhotoTags
    from .taxonomy import Taxonomy

BATCH = 32  # photos in memory
THREADS = 4  # decoding waits for the disk and, in Pillow, lets others compute
FORMULA = "=+-@\t\r"  # what a spreadsheet would execute


@dataclass(frozen=True)
class Tagged:
    """One photo's line: its path as given, tags, and the caption they make."""

    image: str
    tags: list[dict[str, Any]]  # {group, label, confidence}
    not_visible: list[str]
    caption: str

    def as_json(self) -> dict[str, Any]:
        """What `tag --json` and a JSON line hold."""
        return dict(vars(self))


def caption_of(tags: PhotoTags, taxonomy: Taxonomy, trigger: str = "") -> str:
    """`a photo of a midi red dress with long sleeves`; with a trigger word, that word in front of the noun phrase."""
    noun = tags.get(taxonomy.noun.id)
    before = [tag.text for tag in tags.tags if taxonomy.group(tag.group).slot == "before"]
    words = " ".join(filter(None, (trigger, *before, noun.text if noun else "garment")))
    details = [article(tag.text) for tag in tags.tags if taxonomy.group(tag.group).slot == "after"]
    ending = f" with {' and '.join(details)}" if details else ""
    return f"{taxonomy.subject} {article(words)}{ending}"


def tag_photos(
    paths: Sequence[str | Path],
    tagger: Tagger,
    *,
    trigger: str = "",
    done: frozenset[str] = frozenset(),
    skipped: list[Skip],
    tagged: Callable[[int, int, Path], None] = lambda done, total, path: None,
) -> Iterator[tuple[Path, Tagged]]:
    """Tags photo after photo, BATCH at a time in memory; `skipped` is added to. InputError where none can be used.

    `done`: paths that need no second reading. `tagged(done, total, path)` is told after each photo.
    """
    files, outside = find_photos(paths)
    skipped += outside
    todo = iter([file for file in files if str(file) not in done])
    count, total = len(files) - sum(str(file) not in done for file in files), len(files)
    used = count
    with ThreadPoolExecutor(THREADS) as pool:
        while batch := list(islice(todo, BATCH)):
            read = list(pool.map(_read, batch))
            skipped += [entry for entry in read if isinstance(entry, Skip)]
            photos = [entry for entry in read if isinstance(entry, Photo)]
            count += len(batch) - len(photos)
            for photo, tags in zip(photos, tagger.tag([photo.image for photo in photos]), strict=True):
                count, used = count + 1, used + 1
                tagged(count, total, photo.path)
                yield photo.path, _line(photo, tags, tagger.taxonomy, trigger)
    if not used:
        raise nothing_usable(paths, skipped)


def _read(file: Path) -> Photo | Skip:
    try:
        return read_photo(file)
    except BadPhoto as bad:
        return Skip(file, bad.code, bad.reason)


def _line(photo: Photo, tags: PhotoTags, taxonomy: Taxonomy, trigger: str) -> Tagged:
    found = [{"group": tag.group, "label": tag.label, "confidence": round(tag.confidence, 4)} for tag in tags.tags]
    return Tagged(str(photo.path), found, list(tags.not_visible), caption_of(tags, taxonomy, trigger))


def write_caption(photo: Path, caption: str) -> Path:
    """The caption as a .txt beside its photo, as trainers look for it."""
    file = photo.with_suffix(".txt")
    write_whole(file, f"{caption}\n".encode())
    return file


class TagFile:
    """A .jsonl or .csv that grows line by line; opened again it knows what it has, a torn last line is dropped."""

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
        """One photo more, on the disk before the next is read."""
        if self._csv:
            tags = "; ".join(f"{tag['group']}: {tag['label']} ({tag['confidence']:.2f})" for tag in line.tags)
            csv.writer(self._file, lineterminator="\n").writerow(map(_guarded, (line.image, line.caption, tags)))
        else:
            self._file.write(json.dumps(line.as_json(), ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Nothing more to come."""
        self._file.close()

    def __enter__(self) -> TagFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _guarded(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(tuple(FORMULA)) else cell


def _unguarded(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:2] in FORMULA else cell
