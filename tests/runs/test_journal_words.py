"""What a journal says and keeps, word by word: notices, refusals, rows, and the names that older runs' files have."""

from __future__ import annotations

import errno
import logging
import os
import platform
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone
from itertools import count
from pathlib import Path

import pytest
from journal_samples import PHOTO, SETTINGS, draw, drawn, key_for, request_for
from PIL import Image

from modiste.core.errors import Stopped
from modiste.core.folder_lock import FolderLock
from modiste.runs import pictures
from modiste.runs.checksums import checksum_of
from modiste.runs.journal import Journal, JournalError, Key, Record, Score, UnusablePicture
from modiste.runs.pictures import infotext
from modiste.runs.settings import canonical, fingerprint

OTHER_OUT = "use another --out"
GOOD = {"similarity": 0.5, "unclipped": 0.5, "raw_cosine": 0.5, "centred": 0.5}


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "run", SETTINGS) as opened:
        yield opened


def reopened(folder: Path, caplog) -> list[str]:
    """The notices of a journal that is opened again, each of which is in the log with its file."""
    caplog.clear()
    with caplog.at_level(logging.INFO, "modiste"), Journal.open(folder, SETTINGS) as journal:
        told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert told == [f"{folder / 'journal.sqlite'}: {notice}" for notice in journal.notices]
        return journal.notices


def table(folder: Path) -> list[Record]:
    with Journal.open(folder, SETTINGS) as journal:
        return journal.rows()


def change(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "journal.sqlite", isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


# ── names and texts of pictures ──


@pytest.mark.parametrize(
    ("key", "file"),
    [
        (Key(PHOTO, "sentence", 1, "0" * 16), "abababababab/sentence-1-dd530a6456dc2ed4.png"),
        (Key("../../etc", "a/b, refined +1_-", -7, "f" * 16), "______etc/a_b__refined_+1_---7-90de8fb3049d2f63.png"),
        (Key("AbZ9-é" * 3, "Aa_Zz-09+é", 2, "0" * 16), "AbZ9__AbZ9__/Aa_Zz-09+_-2-6e589aaf7372d1fa.png"),
        (Key("", "", 0, ""), "_/-0-d7d04bbb64143ddc.png"),
        (Key(PHOTO, "長袖" * 40, 3, "0" * 16), f"abababababab/{'_' * 40}-3-477a36b39509c493.png"),
    ],
)
def test_pictures_have_the_names_that_those_of_older_runs_have(key, file):
    assert pictures.file_of(key) == f"images/{file}"


def test_settings_in_a_picture_are_what_was_used_else_asked_for_and_quoted_as_a1111_quotes_them():
    asked = {"prompt": " a\0 dress ", "negative_prompt": " blurry\0", "steps": 20, "sampler": "a, b", "scheduler": ""}
    asked |= {"cfg_scale": 7.0, "seed": 1, "width": 64, "height": 32, "checkpoint": "x", "clip_skip": 2}
    used = {"seed": 5, "steps": None, "checkpoint": "C:\\m\\a/dresses.safetensors", "checkpoint_hash": "abc:1"}
    last = 'Steps: 20, Sampler: "a, b", Schedule type: "衣\\n", CFG scale: 7.0, Seed: 5, Size: 64x32, '
    last += 'Model hash: "abc:1", Model: dresses, Clip skip: 2'
    assert infotext(asked, {**used, "scheduler": "衣\n"}) == f"a dress\nNegative prompt: blurry\n{last}"
    assert infotext({"prompt": "a", "width": 8, "height": 8, "clip_skip": 1}, {}) == "a\nSize: 8x8"
    assert infotext({"width": 8, "height": 8}, {"steps": 0}) == "Steps: 0, Size: 8x8"


def test_a_picture_is_black_only_where_nothing_of_it_is_lighter_and_has_any_size_where_none_was_asked_for():
    picture = Image.new("RGB", (8, 4))
    for request in ({}, {"width": 8}, {"height": 4}):
        with pytest.raises(UnusablePicture) as caught:
            pictures.check(picture, request)
        assert str(caught.value) == "the picture is entirely black; full precision for the VAE (--no-half-vae)"
        assert caught.value.exit_code == 4
    picture.putpixel((7, 3), (9, 9, 9))
    pictures.check(picture, {"width": 8, "height": 4})
    for request, size in (({"width": 4}, "4×4"), ({"height": 8}, "8×8"), ({"width": 4, "height": 8}, "4×8")):
        with pytest.raises(UnusablePicture) as caught:
            pictures.check(picture, request)
        assert str(caught.value) == f"the picture is 8×4 although {size} was asked"


# ── rows ──


def test_a_row_says_all_of_what_happened_to_its_picture(journal):
    key, asked = key_for(1), request_for(1).model_dump(mode="json")
    journal.plan([key])
    assert journal.rows() == [Record(key, "planned")]
    journal.lease([key], {key: asked})
    journal.fail(key, "OutOfMemory", "8 GiB asked" + "x" * 3000)
    message = ("8 GiB asked" + "x" * 3000)[:2000]
    assert journal.rows() == [Record(key, "failed", 1, request=asked, error_class="OutOfMemory", message=message)]
    journal.lease([key])
    assert journal.rows() == [Record(key, "leased", 2)]
    done = journal.finish(key, drawn(1))
    path = journal.folder / pictures.file_of(key)
    used = drawn(1).used.model_dump(mode="json")
    assert done == Record(key, "done", 2, path, pictures.sha256_of(path), asked, used, 0.25)
    assert journal.rows() == [done] and journal.find(key) == done
    path.unlink()
    journal.close()
    with Journal.open(journal.folder, SETTINGS) as again:
        assert again.rows() == [Record(key, "planned", 2, request=asked)]


def test_a_picture_that_could_not_be_used_is_a_row_with_its_reason(journal):
    journal.lease([key_for(1)])
    with pytest.raises(UnusablePicture):
        journal.finish(key_for(1), drawn(1, colour=(0, 0, 0)))
    reason = "the picture is entirely black; full precision for the VAE (--no-half-vae)"
    assert journal.rows() == [
        Record(key_for(1), "quarantined", 1, error_class="UnusablePicture", message=reason),
    ]


def test_leased_pictures_that_are_given_back_are_planned_again_and_others_stay(journal):
    keys = [key_for(seed) for seed in range(4)]
    draw(journal, 0)
    journal.lease(keys[1:3])
    journal.plan(keys[3:])
    journal.give_back(keys[:2])
    assert [row.state for row in journal.rows()] == ["done", "planned", "leased", "planned"]
    assert journal.plan([*reversed(keys), keys[1]]) == [keys[3], keys[2], keys[1]], "in the order given, each once"


def test_scores_are_those_of_their_scorer_in_the_order_of_the_keys(journal):
    draw(journal, 3, 1, 2)
    for seed in (3, 1):
        journal.score(key_for(seed), "clip", similarity=seed / 10, unclipped=0.2, raw_cosine=0.3, centred=0.4)
    journal.score(key_for(2), "judge", **GOOD)
    assert list(journal.scores("clip").items()) == [(key_for(seed), Score(seed / 10, 0.2, 0.3, 0.4)) for seed in (1, 3)]
    assert [row.key.seed for row in journal.rows()] == [1, 2, 3]


def test_the_scores_of_one_photo_are_asked_for_alone(journal):
    keys = [key_for(seed, photo=photo * 64) for photo in "abc" for seed in range(2)]
    journal.lease(keys, {key: request_for(key.seed).model_dump(mode="json") for key in keys})
    for key in keys:
        journal.finish(key, drawn(key.seed))
        journal.score(key, "clip", **GOOD)
    assert list(journal.scores("clip", "b" * 64)) == keys[2:4] and len(journal.scores("clip")) == 6
    assert journal.scores("judge", "b" * 64) == {} == journal.scores("clip", "d" * 64)


def test_a_picture_that_was_compared_once_is_not_read_again_in_the_same_run(journal, monkeypatch):
    draw(journal, 1)
    reads, read = [], Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (reads.append(path), read(path))[1])
    assert journal.find(key_for(1)) and journal.find(key_for(1)) and reads == []
    assert journal.find(key_for(2)) is None


def test_a_run_s_beginning_is_a_date_in_utc(journal):
    created = datetime.fromisoformat(journal.created)
    assert created.utcoffset() == timedelta(0) and created.microsecond == 0
    assert abs(datetime.now(timezone.utc) - created) < timedelta(minutes=10)


# ── refusals ──


def refusal(error: BaseException) -> tuple[str, str, str]:
    return str(error).partition(" (")[0].partition("; ")[0], error.where, error.to_try


def test_refusals_name_what_where_and_what_to_try(journal):
    folder, other = journal.folder, key_for(1, prompt="a photo of a blue dress")
    with pytest.raises(JournalError) as caught:
        Journal.open(folder, SETTINGS)
    assert str(caught.value).startswith(f"process {os.getpid()} is writing into this run folder ({folder}); ")
    draw(journal, 1)
    with pytest.raises(JournalError) as caught:
        journal.find(other)
    assert caught.value.where == str(folder / "journal.sqlite")
    assert caught.value.to_try == "the run folder belongs to other settings: use another --out"
    hashes = f"{key_for(1).request_hash} → {other.request_hash}"
    reason = "strategy 'sentence' with seed 1 was drawn from another request"
    assert str(caught.value).startswith(f"{reason}: request {hashes} (")
    changed = {**request_for(1).model_dump(mode="json"), "steps": 7, "prompt": "a coat"}
    journal.lease([key_for(2)], {key_for(2): request_for(2).model_dump(mode="json")})
    with pytest.raises(JournalError) as caught:
        journal.lease([], {other: changed})
    steps = request_for(1).steps
    assert str(caught.value).startswith(f"{reason}: prompt: 'a photo of a red dress' → 'a coat'; steps: {steps} → 7 (")
    for work in (lambda: journal.finish(key_for(1), drawn(1)), lambda: journal.fail(key_for(1), "E", "m")):
        with pytest.raises(JournalError) as caught:
            work()
        assert str(caught.value) == f"{key_for(1)} is done, not leased; lease it before drawing"
    with pytest.raises(JournalError) as caught:
        journal.score(key_for(2), "clip", **GOOD)
    assert str(caught.value) == f"{key_for(2)} is leased: only finished pictures have scores"
    with pytest.raises(JournalError) as caught:
        journal.score(key_for(1), "clip", **{**GOOD, "centred": float("inf")})
    score = Score(0.5, 0.5, 0.5, float("inf"))
    assert str(caught.value) == f"the {score} of {key_for(1)} is not finite; look at picture and photo"


def test_a_folder_of_other_settings_is_refused_with_and_without_its_journal(tmp_path):
    folder = tmp_path / "run"
    with Journal.open(folder, SETTINGS) as journal:
        (path,) = draw(journal, 1)
    other = {**SETTINGS, "budget": 41}
    with pytest.raises(JournalError) as caught:
        Journal.open(folder, other)
    begun = "use another --out, or the settings and the version that the folder was begun with"
    assert str(caught.value) == f"the run folder belongs to other settings: budget: 40 → 41 ({folder}); {begun}"
    (folder / "journal.sqlite").unlink()
    with pytest.raises(JournalError) as caught:
        Journal.open(folder, other)
    reason = "the folder has lost its journal, and its pictures belong to other settings"
    assert str(caught.value) == f"{reason} ({path}); use another --out, or the settings these pictures were drawn with"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_what_the_disk_says_is_a_stop_where_it_is_full_and_else_an_error_of_the_folder(code, journal, monkeypatch):
    journal.lease([key_for(1)])
    error = OSError(code, os.strerror(code))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(error))
        with pytest.raises(JournalError if code == errno.EIO else Stopped) as caught:
            journal.finish(key_for(1), drawn(1))
    full = f"the disk is full ({journal.folder}); free some space; the same command goes on"
    broken = f"the run folder can't be used: [Errno 5] {os.strerror(errno.EIO)} ({journal.folder})"
    assert str(caught.value) == (broken if code == errno.EIO else full)
    assert journal.finish(key_for(1), drawn(1)).state == "done"


def test_what_sqlite_says_is_a_stop_where_it_is_full_and_else_an_error_of_the_journal(journal):
    journal.plan([key_for(1)])
    pages = journal._database.execute("PRAGMA page_count").fetchone()[0]
    journal._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Stopped) as caught:
        journal.plan([key_for(seed, photo=f"{seed:064x}") for seed in range(3000)])
    assert str(caught.value) == f"the disk is full ({journal.folder}); free some space; the same command goes on"
    journal._database.execute("PRAGMA max_page_count = 100000")
    assert [row.key for row in journal.rows()] == [key_for(1)], "all of it or nothing"
    journal.plan([key_for(2)])
    journal._database.close()
    for work in (journal.rows, lambda: journal.scores("clip"), lambda: journal.plan([key_for(3)])):
        with pytest.raises(JournalError) as caught:
            work()
        again = "run the same command again: a broken journal is rebuilt from the pictures"
        reason = "the journal can't be used: Cannot operate on a closed database."
        assert str(caught.value) == f"{reason} ({journal.folder / 'journal.sqlite'}); {again}"


def test_a_disk_that_keeps_other_bytes_than_a_picture_has_is_named(journal, monkeypatch):
    journal.lease([key_for(1)])
    read, reads = Path.read_bytes, count()
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"x" * next(reads))
    with pytest.raises(JournalError) as caught:
        journal.finish(key_for(1), drawn(1))
    path = journal.folder / pictures.file_of(key_for(1))
    assert str(caught.value) == f"the disk does not keep what is written ({path})"
    assert journal.notices == [
        f"the picture {pictures.file_of(key_for(1))} is changed since it was drawn: it is drawn again"
    ]


def test_a_folder_that_went_away_is_named(journal):
    journal.lease([key_for(1)])
    shutil.rmtree(journal.folder)
    with pytest.raises(JournalError) as caught:
        journal.finish(key_for(1), drawn(1))
    reason = "the run folder was deleted or moved while the run went on"
    assert str(caught.value) == f"{reason} ({journal.folder}); start the same command again"


def test_a_database_of_others_or_of_a_later_form_or_that_can_not_be_opened_is_refused_in_words(tmp_path):
    folder, file = tmp_path / "run", tmp_path / "run" / "journal.sqlite"
    Journal.open(folder, SETTINGS).close()
    change(folder, "ALTER TABLE run ADD COLUMN mood TEXT", "PRAGMA user_version = 3")
    with pytest.raises(JournalError) as caught:
        Journal.open(folder, SETTINGS)
    assert str(caught.value) == f"the journal has the form 3, this version writes 2 ({file}); {OTHER_OUT}"
    file.unlink()
    change(folder, "CREATE TABLE moods (day)")
    with pytest.raises(JournalError) as caught:
        Journal.open(folder, SETTINGS)
    assert str(caught.value) == f"this database is not our journal ({file}); {OTHER_OUT}"
    file.unlink()
    file.mkdir()
    with pytest.raises(JournalError) as caught:
        Journal.open(folder, SETTINGS)
    assert str(caught.value) == f"the journal can't be opened: unable to open database file ({file})"
    FolderLock(folder / "journal.lock").release()  # refused runs hold no lock


# ── what is repaired ──


def test_a_lost_journal_is_rebuilt_and_pictures_that_were_moved_or_are_not_ours_are_left_out(tmp_path, caplog):
    with Journal.open(tmp_path, SETTINGS) as journal:
        first, second, third = draw(journal, 1, 2, 3)
    (tmp_path / "journal.sqlite").unlink()
    second.rename(second.with_name("moved.png"))
    Image.new("RGB", (8, 8), "red").save(first.with_name("aaa.png"))
    assert reopened(tmp_path, caplog) == [
        "the journal was rebuilt from 2 pictures; 1 that were moved or renamed are left out"
    ]
    with Journal.open(tmp_path, SETTINGS) as journal:
        rows = {row.key: row for row in journal.rows()}
        assert journal.notices == [] and rows.keys() == {key_for(1), key_for(3)}
        assert rows[key_for(3)].path == third and rows[key_for(3)].elapsed_s is None
    assert reopened(tmp_path / "new", caplog) == [], "a new folder has nothing to be rebuilt"
    for path in (first, third):
        path.unlink()
    (tmp_path / "journal.sqlite").unlink()
    assert reopened(tmp_path, caplog) == [
        "the journal was rebuilt from 0 pictures; 1 that were moved or renamed are left out"
    ]


def test_a_broken_journal_lies_aside_with_its_logs_under_a_name_of_its_own(tmp_path, caplog):
    Journal.open(tmp_path, SETTINGS).close()
    for number in (1, 2):
        (tmp_path / "journal.sqlite").write_bytes(b"x" * 4096 * number)
        aside = f"journal.broken-{number}.sqlite"
        assert reopened(tmp_path, caplog) == [
            f"the journal was broken (file is not a database); it lies in {aside} now"
        ]
        assert (tmp_path / aside).read_bytes() == b"x" * 4096 * number


@pytest.mark.skipif(os.name == "nt", reason="an open database can't be read there")
def test_what_a_killed_run_had_in_its_log_is_not_read_into_a_journal_that_is_rebuilt(tmp_path, caplog):
    Journal.open(tmp_path / "run", SETTINGS).close()
    with Journal.open(tmp_path / "run", SETTINGS) as journal:
        draw(journal, 1)
        shutil.copytree(tmp_path / "run", tmp_path / "killed")  # as a kill leaves it
    assert (tmp_path / "killed" / "journal.sqlite-wal").stat().st_size
    file = tmp_path / "killed" / "journal.sqlite"
    file.write_bytes(b"x" * file.stat().st_size)
    assert reopened(tmp_path / "killed", caplog)[1:] == ["the journal was rebuilt from 1 pictures"]
    assert len(table(tmp_path / "killed")) == 1 and reopened(tmp_path / "killed", caplog) == []


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        ("PRAGMA application_id = 7", "its header or its tables are damaged"),
        ("PRAGMA user_version = 1", "its header or its tables are damaged"),
        ("PRAGMA user_version = 3", "its header or its tables are damaged"),
        ("DROP INDEX unfinished", "its header or its tables are damaged"),
        ("UPDATE run SET settings = '{}'", "what it says of the run's settings is damaged"),
    ],
)
def test_a_journal_whose_head_or_settings_are_damaged_is_rebuilt_and_says_why(damage, cause, tmp_path, caplog):
    with Journal.open(tmp_path, SETTINGS) as journal:
        draw(journal, 1)
    change(tmp_path, damage)
    assert reopened(tmp_path, caplog) == [
        f"the journal was broken ({cause}); it lies in journal.broken-1.sqlite now",
        "the journal was rebuilt from 1 pictures",
    ]


@pytest.mark.parametrize(
    ("damage", "notice"),
    [
        ("UPDATE pictures SET attempts = 9 WHERE seed = 3", "1 damaged row was removed: its picture is drawn again"),
        ("UPDATE pictures SET attempts = 9", "4 damaged rows were removed: their pictures are drawn again"),
        ("UPDATE scores SET centred = 0.9 WHERE seed = 1", "1 damaged score was removed: computed again where needed"),
        ("UPDATE scores SET centred = 0.9", "2 damaged scores were removed: computed again where needed"),
    ],
)
def test_damaged_rows_are_counted_in_words(damage, notice, tmp_path, caplog):
    with Journal.open(tmp_path, SETTINGS) as journal:
        draw(journal, 0, 1, 2, 3)
        for seed in (0, 1):
            journal.score(key_for(seed), "clip", **GOOD)
    change(tmp_path, damage)
    assert reopened(tmp_path, caplog) == [notice] and reopened(tmp_path, caplog) == []


def test_damaged_scores_and_damaged_rows_are_told_of_each_and_a_row_s_scores_go_with_it(tmp_path, caplog):
    with Journal.open(tmp_path, SETTINGS) as journal:
        draw(journal, 0, 1)
        for seed in (0, 1):
            journal.score(key_for(seed), "clip", **GOOD)
    change(tmp_path, "UPDATE pictures SET attempts = 9 WHERE seed = 0", "UPDATE scores SET centred = 1 WHERE seed = 1")
    assert reopened(tmp_path, caplog) == [
        "1 damaged score was removed: computed again where needed",
        "1 damaged row was removed: its picture is drawn again",
    ]
    with Journal.open(tmp_path, SETTINGS) as journal:
        assert journal.scores("clip") == {} and [row.key for row in journal.rows()] == [key_for(1)]


def test_what_a_killed_run_was_writing_goes_and_what_it_had_drawn_is_adopted(tmp_path, caplog):
    with Journal.open(tmp_path, SETTINGS) as journal:
        (path,) = draw(journal, 1)
        journal.lease([key_for(2)])
    (tmp_path / "journal.lock").write_text("4242")
    change(tmp_path, "UPDATE pictures SET state = 'leased' WHERE seed = 1")
    with Journal.open(tmp_path, SETTINGS) as journal:  # the row is damaged: removed, and planned anew
        journal.lease([key_for(1)])
    (tmp_path / "journal.lock").write_text("4242")
    leftover, other = path.with_name(f"{path.name}.4243.tmp"), path.with_name("notes.4243.tmp")
    for file in (leftover, other):
        file.write_text("half")
    assert reopened(tmp_path, caplog) == []
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert told == [
        "adopted 1 pictures that were drawn but not recorded yet",
        "the run of process 4242 ended without closing its journal; going on",
    ]
    assert other.exists() and not leftover.exists()
    with Journal.open(tmp_path, SETTINGS) as journal:
        assert journal.plan([key_for(1), key_for(2)]) == [key_for(2)]
    reopened(tmp_path, caplog)
    assert not [record for record in caplog.records if record.levelno == logging.INFO], "nothing was adopted"


def test_pictures_that_are_gone_or_changed_are_told_of_by_name(tmp_path, caplog):
    with Journal.open(tmp_path, SETTINGS) as journal:
        first, second = draw(journal, 1, 2)
        journal.score(key_for(1), "clip", **GOOD)
    first.unlink()
    gone = f"the picture {pictures.file_of(key_for(1))} is gone: it is drawn again"
    assert reopened(tmp_path, caplog) == [gone]
    second.write_bytes(second.read_bytes() + b"x")
    with Journal.open(tmp_path, SETTINGS) as journal:
        assert journal.scores("clip") == {} and journal.find(key_for(2)) is None
        changed = f"the picture {pictures.file_of(key_for(2))} is changed since it was drawn: it is drawn again"
        assert journal.notices == [changed] and journal.plan([key_for(1), key_for(2)]) == [key_for(1), key_for(2)]
        (path,) = draw(journal, 2)
    with Journal.open(tmp_path, SETTINGS) as journal:
        path.unlink()  # while the run goes on
        assert journal.find(key_for(2)) is None
        assert journal.notices == [f"the picture {pictures.file_of(key_for(2))} is gone: it is drawn again"]


def test_a_run_that_goes_on_with_other_versions_says_which(tmp_path, caplog, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(platform, "python_version", lambda: "3.9.0")
        Journal.open(tmp_path, SETTINGS).close()
    changed = f"python: '3.9.0' → '{platform.python_version()}'"
    assert reopened(tmp_path, caplog) == [f"the run began with other versions ({changed}): new pictures may differ"]


# ── checksums and settings ──


def test_checksums_and_fingerprints_are_those_that_older_journals_hold():
    row = (PHOTO.encode(), b"sentence", 1, b"0" * 16, b"planned", 0, *(None,) * 7)
    assert checksum_of(row) == checksum_of(list(row)) == 3646475795
    assert (
        fingerprint(SETTINGS) == "fda1cdab167c03aa"
        and canonical({"b": [1, "é"], "a": None}) == '{"a":null,"b":[1,"é"]}'
    )
