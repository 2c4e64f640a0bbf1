"""Progress: what is counted, and when the time left can be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste.core import progress
from modiste.core.progress import Pace, Progress
from modiste.models.download import Arrival, ModelDownload
from modiste.models.hub_files import HubFile
from modiste.trainer.kohya.process import Watch


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets: `clock[0]` in seconds."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_what_lies_before_the_first_unit_is_not_counted_as_its_work(clock):
    reports: list[Progress] = []
    pace = Pace("prompt", 11, reports.append)
    clock[0] += 60  # a model is opened
    pace.step()
    clock[0] += 2
    pace.step()
    assert [report.eta_s for report in reports] == [None, pytest.approx(2 * 9)]


def test_a_batch_that_comes_at_once_says_nothing_about_the_next(clock):
    reports: list[Progress] = []
    pace = Pace("prompt", 16, reports.append)
    for _ in range(4):
        clock[0] += 0.001
        pace.step()
    assert {report.eta_s for report in reports} == {None}
    clock[0] += 8
    pace.step()
    assert reports[-1].eta_s == pytest.approx(8.003 / 4 * 11)


def test_one_unit_that_was_computed_says_nothing_of_the_time_left_however_long_ago_it_was(clock):
    reports: list[Progress] = []
    pace = Pace("prompt", 16, reports.append)
    pace.step()
    clock[0] += 60  # another photo's pictures were there before
    pace.reach(9)
    assert [report.eta_s for report in reports] == [None, None]


def test_units_that_were_there_before_cost_no_time_and_the_end_has_none_left(clock):
    reports: list[Progress] = []
    pace = Pace("prompt", 4, reports.append)
    pace.reach(2)
    pace.step()
    clock[0] += 3
    pace.step()
    assert [report.eta_s for report in reports] == [None, None, 0.0] and reports[-1].done == 4


def test_pictures_of_an_earlier_run_are_done_and_their_time_is_not_counted(clock):
    reports: list[Progress] = []
    pace = Pace("compare", 1000, reports.append)
    pace.known(990)
    for _ in range(2):
        clock[0] += 3
        pace.step()
    assert (reports[0].done, reports[-1].done) == (990, 992)
    assert [report.eta_s for report in reports] == [None, None, pytest.approx(3 * 8)]


def test_the_engines_steps_are_timed_from_the_first_that_was_heard(clock):
    reports: list[Progress] = []
    watch = Watch(100, 1100, reports.append, lambda step: None)
    for step in (2, 3, 7):
        watch.line(f"steps:   0%|          | {step}/1000 [00:02<00:04,  1.00it/s, avr_loss=0.5]")
        clock[0] += 10
    assert [report.eta_s for report in reports] == [None, pytest.approx(10 * 997), pytest.approx(20 / 5 * 993)]


def test_connecting_is_no_download(clock):
    reports: list[Progress] = []
    file = HubFile("unet.safetensors", 2**31, "0" * 64)
    arrival = Arrival(ModelDownload("sd15", "brand/sd15", "c" * 40, (file,), Path("nowhere")), reports.append)
    clock[0] += 9
    arrival.has(file, 2**16)
    clock[0] += 2
    arrival.has(file, 2**16 + 2**30)
    assert [report.eta_s for report in reports] == [None, pytest.approx(2 * (2**30 - 2**16) / 2**30)]
    assert reports[0].message == "unet.safetensors" and "536.9 MB/s" in reports[1].message
