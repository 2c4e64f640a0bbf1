"""Draws what the journal does not have yet and scores it: where pictures, journal and scorers meet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..hosts.errors import HostError
from ..hosts.request import GenerationRequest
from ..runs.pictures import Key, UnusablePicture

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
    """One picture wanted: a strategy's prompt on one seed."""

    strategy: str
    prompt: Rendered
    seed: int


@dataclass(frozen=True)
class Picture:
    """One picture drawn: its file, and its similarity to the photo by the searching encoder."""

    shot: Candidate
    path: Path | None  # None: the host's picture was unusable, which counts as no similarity at all
    score: Score
    elapsed_s: float


class Evaluator:
    """Turns shots into scored pictures through one journal; `drawn` is called after every new picture."""

    def __init__(
        self,
        host: Host,
        journal: Journal,
        scorer: Scorer,
        drawing: dict,
        drawn: Callable[[Path], None] = lambda path: None,
    ):
        self.host, self.journal, self.scorer, self.drawing, self.drawn = host, journal, scorer, drawing, drawn

    def evaluate(self, reference: Reference, shots: Sequence[Candidate]) -> list[Picture]:
        """The pictures of `shots`, in their order; what is in the journal already is not drawn again."""
        requests = {self._key(reference, shot): self._request(shot) for shot in shots}
        self._draw(requests)
        records = {key: self.journal.find(key) for key in requests}
        scores = self.scores(reference, [record for record in records.values() if record], self.scorer)
        return [self._picture(shot, records[key], scores.get(key)) for shot, key in self._keyed(reference, shots)]

    def prefetch(self, wanted: Sequence[tuple[Reference, Sequence[Candidate]]]) -> None:
        """Draws what is missing for several photos at once, in full batches; `evaluate` finds it."""
        self._draw({self._key(reference, shot): self._request(shot) for reference, shots in wanted for shot in shots})

    def scores(self, reference: Reference, records: Sequence[Record], scorer: Scorer) -> dict[Key, Score]:
        """How `scorer` sees finished pictures; embeds only what the journal has no score of."""
        from PIL import Image

        known = self.journal.scores(scorer.key)
        new = [record for record in records if record.key not in known]
        if new:
            pictures = [Image.open(record.path).convert("RGB") for record in new]
            for record, seen in zip(new, scorer.score(pictures, reference.image), strict=True):
                self.journal.score(
                    record.key,
                    scorer.key,
                    similarity=round(seen.similarity_score, DIGITS),
                    unclipped=round(seen.unclipped, DIGITS),
                    raw_cosine=round(seen.raw_cosine, DIGITS),
                    centred=round(seen.centred_cosine, DIGITS),
                )
            known = self.journal.scores(scorer.key)
        return {record.key: known[record.key] for record in records}

    def judge(self, reference: Reference, pictures: Sequence[Picture], judge: Scorer) -> list[Score]:
        """A second opinion on pictures that are drawn already, in their order; an unusable one is like nothing."""
        from ..runs.journal import Score

        keys = [self._key(reference, picture.shot) for picture in pictures]
        records = [record for key in keys if (record := self.journal.find(key))]
        seen = self.scores(reference, records, judge)
        return [seen.get(key, Score(0.0, 0.0, 0.0, 0.0)) for key in keys]

    def _draw(self, requests: dict[Key, GenerationRequest]) -> None:
        whole = [key for key in requests if self.journal.find(key) is None]
        todo = self.journal.lease(whole, {key: requests[key].model_dump(mode="json") for key in whole})
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
            record = self.journal.finish(key, result)
            self.drawn(record.path)
        except UnusablePicture as error:
            log.warning("%s, seed %d: %s", key.strategy_id, key.seed, error)

    def _request(self, shot: Candidate) -> GenerationRequest:
        return GenerationRequest(
            prompt=shot.prompt.positive, negative_prompt=shot.prompt.negative, seed=shot.seed, **self.drawing
        )

    def _key(self, reference: Reference, shot: Candidate) -> Key:
        return Key(reference.sha256, shot.strategy, shot.seed, self._request(shot).request_hash())

    def _keyed(self, reference: Reference, shots: Sequence[Candidate]):
        return ((shot, self._key(reference, shot)) for shot in shots)

    def _picture(self, shot: Candidate, record: Record | None, score: Score | None) -> Picture:
        from ..runs.journal import Score

        if record is None or score is None:
            return Picture(shot, None, Score(0.0, 0.0, 0.0, 0.0), 0.0)
        return Picture(shot, record.path, score, record.elapsed_s or 0.0)


def similarities(pictures: Sequence[Picture]) -> list[float]:
    """Calibrated similarities 0 … 1, in the order of the seeds."""
    return [picture.score.similarity for picture in pictures]
