"""A journal in which bits have changed: no traceback, nothing changed in silence, and what is whole stays."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from journal_samples import SETTINGS, draw, drawn, key_for

from modiste.runs import database
from modiste.runs.journal import Journal, JournalError

PICTURES = 24


def contents(folder: Path) -> tuple[dict, dict, list[str]]:
    """Rows by key, scores by key, notices; without what the history of a run may change."""
    with Journal.open(folder, SETTINGS) as journal:
        rows = {row.key: replace(row, elapsed_s=None, attempts=0) for row in journal.rows()}
        return rows, journal.scores("clip"), journal.notices


@pytest.fixture(scope="module")
def scored_run(tmp_path_factory) -> Path:
    """A run folder with 24 scored pictures."""
    folder = tmp_path_factory.mktemp("scored") / "run"
    with Journal.open(folder, SETTINGS) as journal:
        draw(journal, *range(PICTURES))
        for seed in range(PICTURES):
            score = seed / PICTURES
            journal.score(key_for(seed), "clip", similarity=score, unclipped=score, raw_cosine=score / 3, centred=0.5)
    return folder


@pytest.mark.parametrize("flips", [60, pytest.param(2000, marks=pytest.mark.load)])
def test_a_flipped_bit_anywhere_is_no_traceback_and_changes_nothing_in_silence(flips, scored_run):
    """Of 170 flips 18 were tracebacks before rows had checksums, and 30 rows and a score changed in silence."""
    file = scored_run / "journal.sqlite"
    whole = file.read_bytes()
    rows, scores, _ = contents(scored_run)
    dice = random.Random(19)
    written = [at for at, byte in enumerate(whole) if byte or dice.random() < 0.02]
    try:
        for _ in range(flips):
            hurt, at = bytearray(whole), dice.choice(written)
            hurt[at] ^= 1 << dice.randrange(8)
            for leftover in scored_run.glob("journal.*"):
                leftover.unlink()
            file.write_bytes(hurt)
            rows_now, scores_now, notices = contents(scored_run)
            assert rows_now.items() <= rows.items() and scores_now.items() <= scores.items(), f"changed by byte {at}"
            assert notices or (rows_now == rows and scores_now == scores), f"lost in silence by byte {at}"
    finally:
        for leftover in scored_run.glob("journal.*"):
            leftover.unlink()
        file.write_bytes(whole)


@pytest.mark.parametrize(
    ("change", "lost", "notice"),
    [
        ("UPDATE pictures SET used = '{}' WHERE seed = 3", {3}, "1 damaged row was removed: its picture is drawn"),
        ("UPDATE pictures SET sha256 = 'x' WHERE seed < 2", {0, 1}, "2 damaged rows were removed: their pictures are"),
        ("UPDATE scores SET similarity = 0.9 WHERE seed = 5", set(), "1 damaged score was removed: computed again"),
        ("UPDATE run SET settings = '{}'", set(), "broken (what it says of the run's settings is damaged)"),
    ],
)
def test_a_row_that_others_changed_is_removed_and_drawn_again_loudly(change, lost, notice, tmp_path, caplog):
    with Journal.open(tmp_path, SETTINGS) as journal:
        draw(journal, *range(6))
        for seed in range(6):
            journal.score(key_for(seed), "clip", similarity=0.5, unclipped=0.5, raw_cosine=0.5, centred=0.5)
    with closing(sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)) as other:
        other.execute(change)
    with caplog.at_level("WARNING", "modiste"), Journal.open(tmp_path, SETTINGS) as journal:
        assert notice in journal.notices[0] and notice in caplog.text
        keys = [key_for(seed) for seed in range(6)]
        assert journal.plan(keys) == [key for key in keys if key.seed in lost]
        assert len(journal.scores("clip")) == {0: 6, 1: 5, 2: 4}[len(lost)] - ("scores" in change) - 6 * (
            "broken" in notice
        )
        for key in keys:
            if key.seed in lost:
                journal.lease([key])
                assert journal.finish(key, drawn(key.seed)).state == "done"
    with Journal.open(tmp_path, SETTINGS) as journal:
        assert journal.notices == [] and journal.plan(keys) == []


def test_a_journal_from_before_rows_had_checksums_goes_on_and_has_them_then(tmp_path, monkeypatch):
    with Journal.open(tmp_path, SETTINGS) as journal:
        draw(journal, 1, 2)
        journal.score(key_for(1), "clip", similarity=0.5, unclipped=0.5, raw_cosine=0.5, centred=0.5)
    file = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(file)) as new:
        values = {name: new.execute(f"SELECT * FROM {name}").fetchall() for name in ("run", "pictures", "scores")}
    file.unlink()
    with closing(sqlite3.connect(file)) as old:  # as form 1 wrote it
        old.executescript(f"{database.SCHEMA} PRAGMA application_id = {database.APPLICATION_ID}")
        old.execute("PRAGMA user_version = 1")
        for name, rows in values.items():
            marks = ", ".join("?" for _ in rows[0][:-1])
            old.executemany(f"INSERT INTO {name} VALUES ({marks})", [row[:-1] for row in rows])
        old.commit()
    before = len(contents(tmp_path)[0])
    assert before == 2 and contents(tmp_path)[2] == []
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("UPDATE pictures SET used = '{}' WHERE seed = 1")
    assert list(contents(tmp_path)[0]) == [key_for(2)]


def test_a_journal_of_a_later_form_is_refused_in_words(tmp_path):
    Journal.open(tmp_path, SETTINGS).close()
    with closing(sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)) as later:
        later.execute("ALTER TABLE run ADD COLUMN mood TEXT")
        later.execute("PRAGMA user_version = 3")
    with pytest.raises(JournalError, match="has the form 3, this version writes 2"):
        Journal.open(tmp_path, SETTINGS)
