"""The order of a run is a function of its seed: whole, resumable anywhere, and the same for any number of processes."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from modiste.core.errors import InputError
from modiste.trainer.data.buckets import Bucket, cut
from modiste.trainer.data.sample import Sample
from modiste.trainer.data.sampler import Batch, BatchSampler, shard
from modiste.trainer.seeding import generator_for, random_for, seed_for

BUCKETS = (Bucket(64, 64), Bucket(72, 56), Bucket(56, 72))
SIZES = (19, 6, 1)  # samples of each bucket


def samples(repeats: int = 1, priors: int = 0, sizes=SIZES) -> list[Sample]:
    buckets = [bucket for bucket, count in zip(BUCKETS, sizes, strict=True) for _ in range(count)]
    buckets += [BUCKETS[0]] * priors
    made = []
    for index, bucket in enumerate(buckets):
        prior = index >= sum(sizes)
        name = f"{'prior' if prior else 'photo'}-{index}"
        crop = cut((bucket.width, bucket.height), bucket)
        own = 1 if prior else repeats
        made.append(Sample(name, Path(f"{name}.png"), name, "a dress", own, bucket, crop, prior=prior))
    return made


def names(batches) -> list[tuple[str, int, int]]:
    return [(one.sample.id, one.epoch, one.repeat) for batch in batches for one in batch.visits]


def run(order: BatchSampler, position: int, until: int) -> list[Batch]:
    return list(itertools.takewhile(lambda batch: batch.position < until, order.batches(position)))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 7, 64])
@pytest.mark.parametrize("repeats", [1, 3])
def test_each_epoch_visits_every_sample_and_repeat_exactly_once_in_batches_of_one_bucket(batch_size, repeats):
    order = BatchSampler(samples(repeats), batch_size, seed=5)
    assert order.visits_per_epoch == 26 * repeats
    for epoch in range(3):
        batches = order.epoch(epoch)
        expected = Counter((one.id, epoch, repeat) for one in order.samples for repeat in range(repeats))
        assert Counter(names(batches)) == expected
        assert all({one.sample.bucket for one in batch.visits} == {batch.bucket} for batch in batches)
        assert all(1 <= len(batch.visits) <= batch_size for batch in batches)
        starts = [batch.position for batch in batches]
        ends = [batch.end for batch in batches]
        assert starts == [epoch * order.visits_per_epoch, *ends[:-1]] and ends[-1] == (epoch + 1) * 26 * repeats


def test_batches_of_a_bucket_are_as_few_and_as_even_as_can_be():
    sizes = {}
    for batch in BatchSampler(samples(), 6, seed=1).epoch(0):
        sizes.setdefault(batch.bucket, []).append(len(batch.visits))
    assert {bucket: sorted(found) for bucket, found in sizes.items()} == {
        BUCKETS[0]: [4, 5, 5, 5],
        BUCKETS[1]: [6],
        BUCKETS[2]: [1],
    }


def test_epochs_and_seeds_have_orders_of_their_own_and_the_list_of_samples_has_none():
    order = BatchSampler(samples(), 4, seed=5)
    first = [name for name, _, _ in names(order.epoch(0))]
    assert [name for name, _, _ in names(order.epoch(1))] != first
    assert [name for name, _, _ in names(BatchSampler(samples(), 4, seed=6).epoch(0))] != first
    assert names(BatchSampler(samples()[::-1], 4, seed=5).epoch(0)) == names(order.epoch(0))


def test_every_place_is_taken_by_every_sample_about_equally_often():
    order = BatchSampler(samples(sizes=(8, 0, 0)), 1, seed=0)
    places = Counter((place, one[0]) for epoch in range(800) for place, one in enumerate(names(order.epoch(epoch))))
    assert len(places) == 64 and 60 < min(places.values()) and max(places.values()) < 145  # 100 ± 9


def test_a_small_buckets_batch_comes_early_as_often_as_late():
    order = BatchSampler(samples(), 4, seed=0)
    places = [
        next(index / len(batches) for index, one in enumerate(batches) if one.bucket == BUCKETS[2])
        for batches in map(order.epoch, range(300))
    ]
    assert 0.38 < sum(places) / len(places) < 0.54


@pytest.mark.parametrize("priors", [0, 5])
def test_from_any_position_the_run_goes_on_as_if_it_had_never_stopped(priors):
    order = BatchSampler(samples(2, priors), 4, seed=9)
    whole = names(run(order, 0, 2 * order.visits_per_epoch))
    assert len(whole) == len(set(whole)) == 2 * order.visits_per_epoch
    for position in range(order.visits_per_epoch + 3):
        again = BatchSampler(samples(2, priors), 4, seed=9)
        assert names(run(again, position, 2 * order.visits_per_epoch)) == whole[position:]
        assert next(again.batches(position)).position == position


def test_three_resumes_within_an_epoch_repeat_nothing_and_miss_nothing():
    whole = names(run(BatchSampler(samples(3), 4, seed=2), 0, 78))
    position, seen = 0, []
    for steps in (3, 1, 7, 1000):
        for batch in itertools.islice(BatchSampler(samples(3), 4, seed=2).batches(position), steps):
            if batch.position >= 78:
                break
            seen.append(batch)
            position = batch.end
    assert names(seen) == whole and len(set(whole)) == 78


@pytest.mark.parametrize("world", [1, 2, 3, 5, 8])
def test_any_number_of_processes_sees_the_same_order(world):
    for batch in BatchSampler(samples(2), 5, seed=4).epoch(0):
        parts = [shard(batch, rank, world) for rank in range(world)]
        assert names(parts) == names([batch])
        assert max(len(one.visits) for one in parts) - min(len(one.visits) for one in parts) <= 1
        assert [one.position for one in parts][1:] == [one.end for one in parts][:-1]


def test_prior_pictures_come_in_turn_and_as_many_as_the_others():
    for count in (1, 5, 26, 200):
        order = BatchSampler(samples(priors=count), 4, seed=3)
        assert order.visits_per_epoch == 52
        shown = Counter()
        for epoch in range(8):
            visits = [visit for batch in order.epoch(epoch) for visit in batch.visits]
            assert len({(one.sample.id, one.repeat) for one in visits}) == 52
            priors = [one.sample.id for one in visits if one.sample.prior]
            assert len(priors) == 26
            shown.update(priors)
        often = [shown[f"prior-{26 + index}"] for index in range(count)]
        assert max(often) - min(often) <= 1


def test_a_flip_is_a_coin_of_each_visit_and_only_where_it_is_wanted():
    order = BatchSampler(samples(), 4, 7, flip=True)
    visits = [visit for epoch in range(40) for batch in order.epoch(epoch) for visit in batch.visits]
    assert 0.45 < sum(visit.flipped for visit in visits) / len(visits) < 0.55
    assert len({visit.flipped for visit in visits if visit.sample.id == "photo-3"}) == 2
    assert not any(visit.flipped for batch in BatchSampler(samples(), 4, 7).epoch(0) for visit in batch.visits)


def test_randomness_is_of_the_visit_not_of_its_batch_or_its_place():
    import torch

    def noise(batch_size):
        batches = BatchSampler(samples(2), batch_size, seed=8).epoch(1)
        visits = [visit for batch in batches for visit in batch.visits]
        return {(one.sample.id, one.repeat): torch.randn(16, generator=one.generator("noise")) for one in visits}

    one, four = noise(1), noise(4)
    assert one.keys() == four.keys() and all(torch.equal(one[key], four[key]) for key in one)
    assert len({tuple(value.tolist()) for value in one.values()}) == len(one)


def test_every_name_changes_the_numbers_and_none_of_them_runs_into_the_next():
    base = (1, 2, "photo", 3, "noise")
    others = [(2, 2, "photo", 3, "noise"), (1, 3, "photo", 3, "noise"), (1, 2, "phot", 3, "noise")]
    others += [(1, 2, "photo", 4, "noise"), (1, 2, "photo", 3, "latents")]
    assert len({seed_for(*one) for one in (base, *others)}) == 6
    assert seed_for(1, "ab", "c") != seed_for(1, "a", "bc") and seed_for(1, 2) != seed_for(1, "2")
    assert generator_for(*base).initial_seed() == seed_for(*base) < 2**63
    assert random_for(*base).random() == random_for(*base).random() != random_for(*others[0]).random()


def test_seeds_are_the_same_in_every_process_and_version():
    assert seed_for(0, 1, "a", 2, "noise") == 614081270290951077
    code = "from modiste.trainer.data.sampler import seed_for; print(seed_for(0, 1, 'a', 2, 'noise'))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True
    )
    assert found.stdout.strip() == "614081270290951077"


def test_nothing_to_train_and_no_batch_are_named():
    with pytest.raises(InputError, match="nothing to train"):
        BatchSampler(samples(sizes=(0, 0, 0)), 4, seed=0)
    with pytest.raises(InputError, match="batch_size is 0; it must be at least 1"):
        BatchSampler(samples(), 0, seed=0)


def test_a_photo_has_other_noise_and_another_timestep_in_each_epoch():
    import torch

    sampler = BatchSampler(samples(), 4, seed=8)
    for purpose in ("noise", "timestep"):
        drawn = set()
        for epoch in range(3):
            visits = [visit for batch in sampler.epoch(epoch) for visit in batch.visits]
            first = next(visit for visit in visits if visit.sample.id == "photo-3")
            drawn.add(tuple(torch.randn(4, generator=first.generator(purpose)).tolist()))
        assert len(drawn) == 3
