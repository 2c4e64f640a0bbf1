"""Progress: what is counted, and when the time left can be told."""

from __future__ import annotations

import pytest

from modiste.core import progress
from modiste.core.progress import Pace, Progress


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
