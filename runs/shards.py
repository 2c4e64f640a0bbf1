"""Pictures on their way from one journal of a run to another: what each worker of a cluster drew, gathered in one.

A picture's file says what it is (pictures.py), so that it travels as it lies on the disk; its scores go with it. What
could not be drawn does not travel: whoever gathers tries it once more, as the next run would.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .journal import Journal, Key
    from .records import Record, Score


@dataclass(frozen=True)
class FinishedPicture:
    """A picture's file, how long it took, and its scores by the scorer's key."""

    data: bytes
    elapsed_s: float | None
    scores: dict[str, Score] = field(default_factory=dict)


class FinishedPictures:
    """The finished pictures of a journal as they are now, photo by photo; files are read when they are asked for."""

    def __init__(self, journal: Journal, scorers: Iterable[str]):
        self._journal = journal
        self._scores = {scorer: journal.scores(scorer) for scorer in scorers}
        self._of_photo: dict[str, list[Record]] = {}
        for record in journal.rows():
            if record.state == "done":
                self._of_photo.setdefault(record.key.image_sha256, []).append(record)

    def of_photo(self, photo: str, without: Collection[Key] = ()) -> list[FinishedPicture]:
        """Those of a photo (sha256), in the order of the keys; a file that is gone or changed is left out."""
        whole = (
            self._journal.find(record.key) for record in self._of_photo.get(photo, ()) if record.key not in without
        )
        return [
            FinishedPicture(
                record.path.read_bytes(),
                record.elapsed_s,
                {scorer: scores[record.key] for scorer, scores in self._scores.items() if record.key in scores},
            )
            for record in whole
            if record is not None and record.path is not None
        ]


def gather(pictures: Iterable[FinishedPicture], journal: Journal) -> list[Key]:
    """Puts pictures with their scores into a journal of the same run; their keys. What is there already stays."""
    keys = []
    for picture in pictures:
        key = journal.adopt(picture.data, picture.elapsed_s)
        for scorer, score in picture.scores.items():
            journal.score(key, scorer, **score._asdict())
        keys.append(key)
    return keys
