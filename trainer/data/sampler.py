"""The order of a run, and its randomness: both are functions of (seed, epoch, sample, visit), so nothing is replayed.

    position ── samples consumed by all processes ──▶ epoch, batch          any position, any number of processes
    seed, epoch, sample, visit, purpose ── hash ──▶ generator               flip, caption, latents, timestep, noise

Counter-based, as in Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): there is no state to save.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

from ...core.errors import InputError
from ..seeding import generator_for, random_for, seed_for
from .buckets import Bucket
from .sample import Sample

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SampleVisit:
    """One use of a sample in training, the `repeat`th of its epoch."""

    sample: Sample
    seed: int
    epoch: int
    repeat: int
    flipped: bool = False

    def random(self, purpose: str) -> Random:
        """For choices: `caption`."""
        return random_for(self.seed, self.epoch, self.sample.id, self.repeat, purpose)

    def generator(self, purpose: str) -> torch.Generator:
        """For tensors: `latents`, `timestep`, `noise`."""
        return generator_for(self.seed, self.epoch, self.sample.id, self.repeat, purpose)


@dataclass(frozen=True)
class Batch:
    """Visits of one bucket; `position` is how many samples the run has consumed before them."""

    epoch: int
    position: int
    bucket: Bucket
    visits: tuple[SampleVisit, ...]

    @property
    def end(self) -> int:
        """The position behind it: what a checkpoint keeps."""
        return self.position + len(self.visits)


def shard(batch: Batch, rank: int, world: int) -> Batch:
    """The part of a process: contiguous, sizes differ by one at most, empty where processes outnumber visits.

    Losses are to be divided by the whole batch's visits: naive means over uneven parts are another gradient.
    """
    count = len(batch.visits)
    first, last = count * rank // world, count * (rank + 1) // world
    return replace(batch, position=batch.position + first, visits=batch.visits[first:last])


class BatchSampler:
    """The batches of a run: each epoch every (sample, repeat) once, in an order of its own.

    Prior pictures come in turn, as many an epoch as there are other visits, whether there are more or fewer of them.
    Batches of a bucket differ by one visit at most in size, so that none is left over with a single picture.
    """

    def __init__(self, samples: Sequence[Sample], batch_size: int, seed: int, flip: bool = False):
        self.samples = tuple(sample for sample in samples if not sample.prior)
        self.priors = tuple(sample for sample in samples if sample.prior)
        self.batch_size, self.seed, self.flip = batch_size, seed, flip
        if not self.samples:
            raise InputError("there is nothing to train", to_try="give photos, or hold out fewer of them")
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1")
        self._visits_of_photos = sum(sample.repeats for sample in self.samples)

    @property
    def visits_per_epoch(self) -> int:
        """Samples consumed an epoch, by all processes."""
        return self._visits_of_photos * (2 if self.priors else 1)

    def epoch(self, epoch: int) -> tuple[Batch, ...]:
        """All batches of an epoch."""
        by_bucket: dict[Bucket, list[SampleVisit]] = {}
        visits = [*self._photo_visits(epoch), *self._prior_visits(epoch)]
        for visit in sorted(visits, key=lambda visit: self._key(epoch, "visit", visit.sample.id, visit.repeat)):
            by_bucket.setdefault(visit.sample.bucket, []).append(visit)
        parts = [
            (self._key(epoch, "batch", str(bucket), index), bucket, part)
            for bucket, bucket_visits in by_bucket.items()
            for index, part in enumerate(_even_parts(bucket_visits, self.batch_size))
        ]
        batches, position = [], epoch * self.visits_per_epoch
        for _, bucket, part in sorted(parts, key=lambda row: row[0]):
            batches.append(Batch(epoch, position, bucket, tuple(part)))
            position += len(part)
        return tuple(batches)

    def batches(self, position: int = 0) -> Iterator[Batch]:
        """Without end, from a position on; from within a batch, its rest first."""
        epoch = position // self.visits_per_epoch
        while True:
            for batch in self.epoch(epoch):
                if batch.end <= position:
                    continue
                done = max(0, position - batch.position)
                yield replace(batch, position=batch.position + done, visits=batch.visits[done:])
            epoch += 1

    def _photo_visits(self, epoch: int) -> Iterator[SampleVisit]:
        for sample in self.samples:
            for repeat in range(sample.repeats):
                yield self._visit(sample, epoch, repeat)

    def _prior_visits(self, epoch: int) -> Iterator[SampleVisit]:
        """A window on an endless row of permutations: none is shown again before all were."""
        count, repeats = len(self.priors), dict[str, int]()
        first = epoch * self._visits_of_photos
        last = first + self._visits_of_photos - 1
        shuffled = {
            turn: sorted(self.priors, key=lambda prior: self._key(turn, "prior", prior.id))
            for turn in (range(first // count, last // count + 1) if count else ())
        }
        for place in range(first, last + 1) if count else ():
            sample = shuffled[place // count][place % count]
            repeats[sample.id] = repeats.get(sample.id, -1) + 1
            yield self._visit(sample, epoch, repeats[sample.id])

    def _visit(self, sample: Sample, epoch: int, repeat: int) -> SampleVisit:
        flipped = self.flip and random_for(self.seed, epoch, sample.id, repeat, "flip").random() < 0.5
        return SampleVisit(sample, self.seed, epoch, repeat, flipped)

    def _key(self, *names: str | int) -> int:
        """A place in a permutation: sorting by hashes is a shuffle that no library's next version changes."""
        return seed_for(self.seed, "order", *names)


def _even_parts(visits: list[SampleVisit], most: int) -> Iterator[list[SampleVisit]]:
    parts = -(-len(visits) // most)
    for index in range(parts):
        yield visits[len(visits) * index // parts : len(visits) * (index + 1) // parts]
