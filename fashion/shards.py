"""A catalogue in shards, one a process or machine, and their files of tags joined again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.disk import writing
from ..core.errors import InputError
from ..core.files import write_whole
from .photos import Skip, find_photos
from .tag_file import TagFile

NAME = re.compile(r"(?P<stem>.*)-(?P<number>\d+)-of-(?P<count>\d+)")


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` shares, from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`2/8`. Raises InputError for anything else."""
        match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text.strip(), re.ASCII)
        if not match or int(match[1]) > int(match[2]):
            raise InputError(f"{text!r} is no shard", to_try="--shard 1/8 … 8/8")
        return cls(int(match[1]), int(match[2]))

    def file_of(self, path: Path) -> Path:
        """`tags.jsonl` → `tags-2-of-8.jsonl`."""
        return path.with_name(f"{path.stem}-{self.number}-of-{self.count}{path.suffix}")

    def own(self, files: Iterable[Path], given: Sequence[Path]) -> list[Path]:
        """Those of the files that belong to this shard.

        A file's name below the folder or archive that was given decides: neither its neighbours nor the place where
        a machine has mounted the catalogue.
        """
        return [file for file in files if self._holds(_below(file, given))]

    def _holds(self, name: str) -> bool:
        digest = hashlib.sha256(name.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1


@dataclass(frozen=True)
class Catalogue:
    """What is to be tagged: photos, folders, .tar archives and parquet tables of them, or one shard of all these."""

    paths: Sequence[Path]
    shard: Shard | None = None

    def file_of(self, out: Path) -> Path:
        """Where the tags of this share go."""
        return self.shard.file_of(out) if self.shard else out

    def find(self) -> tuple[list[Path], list[Skip]]:
        """The photos in order, and what can't be one of them. Raises InputError for a path that does not exist."""
        files, skipped = find_photos(self.paths, containers=True)
        if self.shard is None:
            return files, skipped
        own = set(self.shard.own([*files, *(skip.path for skip in skipped)], self.paths))
        return [file for file in files if file in own], [skip for skip in skipped if skip.path in own]


def _below(file: Path, given: Sequence[Path]) -> str:
    root = next((root for root in given if file != root and file.is_relative_to(root)), file.parent)
    return "/".join(([root.name] if root.suffix else []) + list(file.relative_to(root).parts))


def join_shards(out: Path, photos: Sequence[Path]) -> list[Path]:
    """Writes the lines of all shards' files into `out`, in the order of `photos`; returns the photos without a line.

    Lines of photos that are not among `photos` follow. Raises InputError where a shard's file is missing, files of
    several divisions lie there, or `out` holds lines that no shard has.
    """
    lines: dict[str, bytes] = {}
    for file in _shard_files(out):
        with TagFile(file) as tags:
            lines |= tags.raw_lines()
    if out.exists():
        with TagFile(out) as tags:
            foreign = tags.done - lines.keys()
        if foreign:
            raise InputError(
                f"the file holds {len(foreign)} lines that no shard has, such as {min(foreign)}",
                where=str(out),
                to_try="another file for --out",
            )
    order = [name for name in map(str, photos) if name in lines]
    order += sorted(lines.keys() - set(order))
    with writing(out):
        write_whole(out, TagFile.head_of(out) + b"".join(lines[name] for name in order))
    return [photo for photo in photos if str(photo) not in lines]


def _shard_files(out: Path) -> list[Path]:
    """The files of all shards of `out`, by number."""
    found: dict[int, dict[int, Path]] = {}
    for file in sorted(out.parent.glob(f"*{out.suffix}")):
        match = NAME.fullmatch(file.stem)
        if match and match["stem"] == out.stem:
            found.setdefault(int(match["count"]), {})[int(match["number"])] = file
    if not found:
        raise InputError("no file of a shard lies here", where=str(out), to_try="--shard 1/8 with this --out")
    if len(found) > 1:
        divisions = ", ".join(f"{len(files)} of {count}" for count, files in sorted(found.items()))
        raise InputError(f"files of several divisions lie here: {divisions}", where=str(out), to_try="keep only one")
    [(count, files)] = found.items()
    missing = [str(number) for number in range(1, count + 1) if number not in files]
    if missing:
        raise InputError(
            f"{len(missing)} of {count} shards are missing: {', '.join(missing[:10])}",
            where=str(out),
            to_try=f"--shard {missing[0]}/{count}",
        )
    return [files[number] for number in range(1, count + 1)]
