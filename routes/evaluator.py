"""Candidate prompts in, scored pictures out: draws what the journal does not have yet, and scores it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..hosts.errors import HostError
from ..hosts.request import GenerationRequest
from ..runs.pictures import Key, UnusablePicture
from .drawing_size import PHOTO, fitting_size

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

    from ..fashion.prompts.renderers import Rendered
    from ..fashion.scorer import Scorer
    from ..hosts.request import GenerationResult, Host
    from ..runs.journal import Journal, Record, Score


log = logging.getLogger("modiste")

DIGITS = 6  # of a recorded score: the last bits of a float depend on what else was in the encoder's batch


@dataclass(frozen=True)
class Reference:
    """The photo that pictures are compared with."""

    image: Image.Image
    sha256: str


@dataclass(frozen=True)
class Candidate:
    """One picture to draw: a strategy's prompt on one seed."""

    strategy: str
    prompt: Rendered
    seed: int


@dataclass(frozen=True)
class Picture:
    """One picture drawn: its file, and its similarity to the photo by the searching encoder."""

    candidate: Candidate
    path: Path | None  # None: the host's picture was unusable, which counts as no similarity at all
    score: Score
    elapsed_s: float


class Evaluator:
    """Turns candidates into scored pictures through one journal.

    Calls `on_picture` with every new file, and `on_known` with the number of pictures that an earlier run has drawn.
    """

    def __init__(
        self,
        host: Host,
        journal: Journal,
        scorer: Scorer,
        drawing: dict[str, Any],
        on_picture: Callable[[Path], None] = lambda path: None,
        aspect: str | None = None,
        on_known: Callable[[int], None] = lambda count: None,
    ):
        """`aspect` "photo": each picture has about its photo's shape and the area of `drawing`'s width × height."""
        self.host, self.journal, self.scorer, self.drawing, self.on_picture = host, journal, scorer, drawing, on_picture
        self.aspect, self.on_known = aspect, on_known
        self._counted: set[Key] = set()

    def evaluate(self, reference: Reference, candidates: Sequence[Candidate]) -> list[Picture]:
        """The pictures of `candidates`, in their order; what is in the journal already is not drawn again."""
        requests = {self._key(reference, candidate): self._request(reference, candidate) for candidate in candidates}
        self._draw(requests)
        records = {key: self.journal.find(key) for key in requests}
        scores = self.scores(reference, [record for record in records.values() if record], self.scorer)
        return [
            self._picture(candidate, records[key], scores.get(key))
            for candidate, key in self._keyed(reference, candidates)
        ]

    def prefetch(self, work: Sequence[tuple[Reference, Sequence[Candidate]]]) -> None:
        """Draws what is missing for several photos at once, in full batches; `evaluate` finds it."""
        self._draw(
            {
                self._key(reference, candidate): self._request(reference, candidate)
                for reference, candidates in work
                for candidate in candidates
            }
        )

    def scores(self, reference: Reference, records: Sequence[Record], scorer: Scorer) -> dict[Key, Score]:
        """The scores of finished pictures by `scorer`; embeds only what the journal has no score of."""
        from PIL import Image

        known = self.journal.scores(scorer.key, reference.sha256)
        new = [record for record in records if record.key not in known]
        if new:
            pictures = [Image.open(_file_of(record)).convert("RGB") for record in new]
            for record, similarity in zip(new, scorer.score(pictures, reference.image), strict=True):
                self.journal.score(
                    record.key,
                    scorer.key,
                    similarity=round(similarity.similarity_score, DIGITS),
                    unclipped=round(similarity.unclipped, DIGITS),
                    raw_cosine=round(similarity.raw_cosine, DIGITS),
                    centred=round(similarity.centred_cosine, DIGITS),
                )
            known = self.journal.scores(scorer.key, reference.sha256)
        return {record.key: known[record.key] for record in records}

    def judge(self, reference: Reference, pictures: Sequence[Picture], judge: Scorer) -> list[Score]:
        """The judge's scores of pictures that are drawn already, in their order; an unusable one scores 0."""
        from ..runs.journal import Score

        keys = [self._key(reference, picture.candidate) for picture in pictures]
        records = [record for key in keys if (record := self.journal.find(key))]
        scores = self.scores(reference, records, judge)
        return [scores.get(key, Score(0.0, 0.0, 0.0, 0.0)) for key in keys]

    def _draw(self, requests: dict[Key, GenerationRequest]) -> None:
        missing = [key for key in requests if self.journal.find(key) is None]
        if known := requests.keys() - self._counted - set(missing):
            self.on_known(len(known))
        self._counted |= requests.keys()
        todo = self.journal.lease(missing, {key: requests[key].model_dump(mode="json") for key in missing})
        waiting = list(todo)  # the first is the one that the host is at
        try:
            for key in todo:
                self.host.check(requests[key])
            for key, result in zip(todo, self.host.generate([requests[key] for key in todo]), strict=True):
                self._keep(key, result)
                waiting.remove(key)
        except HostError as error:
            for key in waiting[:1]:
                self.journal.fail(key, type(error).__name__, str(error))
            self.journal.give_back(waiting[1:])
            raise

    def _keep(self, key: Key, result: GenerationResult) -> None:
        try:
            self.on_picture(_file_of(self.journal.finish(key, result)))
        except UnusablePicture as error:
            log.warning("%s, seed %d: %s", key.strategy_id, key.seed, error)

    def _request(self, reference: Reference, candidate: Candidate) -> GenerationRequest:
        prompt, drawing = candidate.prompt, self.drawing
        if self.aspect == PHOTO:
            width, height = fitting_size(drawing["width"], drawing["height"], reference.image.size)
            drawing = {**drawing, "width": width, "height": height}
        return GenerationRequest(
            prompt=prompt.positive, negative_prompt=prompt.negative, seed=candidate.seed, **drawing
        )

    def _key(self, reference: Reference, candidate: Candidate) -> Key:
        request_hash = self._request(reference, candidate).request_hash()
        return Key(reference.sha256, candidate.strategy, candidate.seed, request_hash)

    def _keyed(self, reference: Reference, candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, Key]]:
        return ((candidate, self._key(reference, candidate)) for candidate in candidates)

    def _picture(self, candidate: Candidate, record: Record | None, score: Score | None) -> Picture:
        from ..runs.journal import Score

        if record is None or score is None:
            return Picture(candidate, None, Score(0.0, 0.0, 0.0, 0.0), 0.0)
        return Picture(candidate, record.path, score, record.elapsed_s or 0.0)


def _file_of(record: Record) -> Path:
    assert record.path is not None  # a finished record has a file
    return record.path


def unclipped(pictures: Sequence[Picture]) -> list[float]:
    """Calibrated similarities before clipping, which gains are made of; an unusable picture counts as 0."""
    return [picture.score.unclipped for picture in pictures]


def similarities(pictures: Sequence[Picture]) -> list[float]:
    """Calibrated similarities 0 … 1, in the order of the seeds: what is shown."""
    return [picture.score.similarity for picture in pictures]
