"""The journal keeps what is drawn, whatever happens to the process, the files or the database."""

from __future__ import annotations

import errno
import logging
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from journal_samples import PHOTO, SETTINGS, draw, drawn, key_for, request_for

from modiste.core.errors import Stopped
from modiste.runs import pictures
from modiste.runs.journal import Journal, JournalError, Key, Score, UnusablePicture
from modiste.runs.settings import differences

ROOT = Path(__file__).parents[2]


def table(folder: Path) -> list:
    """What must be equal after any history: all but the time a picture took and how often it was tried."""
    with Journal.open(folder, SETTINGS) as journal:
        return [replace(row, elapsed_s=None, attempts=0, path=row.path.relative_to(folder)) for row in journal.rows()]


# A run of 6 pictures that kills itself at its Nth line of our own code, counted in every file of runs/.
RUN = """
import os, signal, sys
from pathlib import Path
from journal_samples import SETTINGS, Journal, drawn, key_for
folder, left, log = Path(sys.argv[1]), [int(sys.argv[2])], Path(sys.argv[1]).with_suffix(".log").open("a")

def tracer(frame, event, argument):
    if f"{os.sep}runs{os.sep}" not in frame.f_code.co_filename:
        return None
    if event == "line":
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return tracer

sys.settrace(tracer)
with Journal.open(folder, SETTINGS) as journal:
    for seed in range(6):
        key = key_for(seed)
        if journal.find(key) is None:
            journal.lease([key])
            print("drawn", seed, file=log, flush=True)
            journal.finish(key, drawn(seed))
            print("finished", seed, file=log, flush=True)
        journal.score(key, "clip", similarity=seed / 10, unclipped=seed / 10, raw_cosine=0.7, centred=0.5)
"""


def run_until_done(folder: Path, lines: random.Random) -> int:
    for kills in range(200):
        command = [sys.executable, "-c", RUN, str(folder), str(lines.randint(60, 1200))]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
        code = subprocess.run(command, cwd=ROOT, env=environment).returncode
        if code == 0:
            return kills
        assert code == -signal.SIGKILL
    raise AssertionError("the run never came to its end")


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
def test_a_run_killed_at_any_line_and_started_again_repeats_loses_and_changes_nothing(tmp_path):
    kills = run_until_done(tmp_path / "killed", random.Random(7))
    assert kills >= 5
    with Journal.open(tmp_path / "whole", SETTINGS) as journal:
        draw(journal, *range(6))
    assert table(tmp_path / "killed") == table(tmp_path / "whole")
    assert not list((tmp_path / "killed").rglob("*.tmp"))
    finished = set()
    for line in (tmp_path / "killed.log").read_text().splitlines():
        what, seed = line.split()
        assert not (what == "drawn" and seed in finished), f"picture {seed} was drawn again although it was finished"
        finished |= {seed} if what == "finished" else set()
    with Journal.open(tmp_path / "killed", SETTINGS) as journal:
        assert [score.similarity for score in journal.scores("clip").values()] == [seed / 10 for seed in range(6)]


def test_a_picture_written_but_not_recorded_is_adopted(tmp_path):
    with Journal.open(tmp_path / "whole", SETTINGS) as journal:
        (whole,) = draw(journal, 1)
    with Journal.open(tmp_path / "run", SETTINGS) as journal:
        journal.lease([key_for(1), key_for(2)])
    adopted = tmp_path / "run" / whole.relative_to(tmp_path / "whole")  # what a kill before the commit leaves
    adopted.parent.mkdir(parents=True)
    shutil.copy(whole, adopted)
    with Journal.open(tmp_path / "run", SETTINGS) as journal:
        record = journal.find(key_for(1))
        assert record.path == adopted and record.request["prompt"] == "a photo of a red dress"
        assert record.used["checkpoint"] == "models/dresses.safetensors"
        assert journal.plan([key_for(1), key_for(2)]) == [key_for(2)]


def test_half_a_file_of_a_leased_picture_is_not_adopted(tmp_path):
    with Journal.open(tmp_path, SETTINGS) as journal:
        (path,) = draw(journal, 1)
        half = path.read_bytes()[:-40]
        journal.lease([key_for(2)])
    broken = tmp_path / pictures.file_of(key_for(2))
    broken.write_bytes(half)
    with Journal.open(tmp_path, SETTINGS) as journal:
        assert journal.find(key_for(2)) is None and journal.find(key_for(1)) is not None


def test_a_second_writer_is_refused_by_the_first_ones_pid(tmp_path):
    with Journal.open(tmp_path, SETTINGS) as journal:
        code = "import sys; from modiste.runs.journal import Journal; Journal.open(sys.argv[1], {})"
        command = [sys.executable, "-c", code, str(tmp_path)]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert f"JournalError: process {os.getpid()} is writing into this run folder" in answer.stderr
        with pytest.raises(JournalError, match="is writing"):
            Journal.open(tmp_path, SETTINGS)
        draw(journal, 1)
    Journal.open(tmp_path, SETTINGS).close()


def test_other_settings_are_refused_with_the_difference(tmp_path):
    with Journal.open(tmp_path, SETTINGS) as journal:
        draw(journal, 1)
    with pytest.raises(JournalError, match=r"budget: 40 → 60; host\.kind: 'local' → 'webui'.*--out"):
        Journal.open(tmp_path, {"preset": "mini", "budget": 60, "host": {"kind": "webui"}})
    with Journal.open(tmp_path, SETTINGS) as journal:
        assert journal.find(key_for(1)) and not journal.notices


def test_differences_name_every_field_that_came_went_or_changed():
    old, new = {"a": 1, "b": {"c": [1], "d": None}}, {"a": 1, "b": {"c": [2]}, "e": {}}
    assert differences(old, new) == ["b.c: [1] → [2]", "b.d: None → (nothing)", "e: (nothing) → {}"]
    assert differences(old, old) == []


def test_another_request_for_the_same_photo_strategy_and_seed_is_an_error_that_names_the_difference(tmp_path):
    blue = "a photo of a blue dress"
    with Journal.open(tmp_path, SETTINGS) as journal:
        draw(journal, 1)
        other = key_for(1, prompt=blue)
        with pytest.raises(JournalError, match="prompt: 'a photo of a red dress' → 'a photo of a blue dress'"):
            journal.lease([other], {other: request_for(1, blue).model_dump(mode="json")})
        for ask in (journal.find, lambda key: journal.plan([key]), lambda key: journal.lease([key])):
            with pytest.raises(JournalError, match=f"request {key_for(1).request_hash} → {other.request_hash}"):
                ask(other)
        with pytest.raises(JournalError, match="another request"):
            journal.plan([key_for(3), key_for(3, prompt=blue)])


@pytest.mark.parametrize("damage", ["not a database", "a page of zeros", "cut in half", "empty", "gone"])
def test_a_broken_journal_is_rebuilt_from_the_pictures(tmp_path, caplog, damage):
    with Journal.open(tmp_path, SETTINGS) as journal:
        draw(journal, *range(24))
    before, file = table(tmp_path), tmp_path / "journal.sqlite"
    data = file.read_bytes()
    hurt = {
        "not a database": b"x" * len(data),
        "a page of zeros": data[:4096] + bytes(4096 * 4) + data[4096 * 5 :],
        "cut in half": data[: len(data) // 2],
        "empty": b"",
    }
    file.unlink() if damage == "gone" else file.write_bytes(hurt[damage])
    with caplog.at_level(logging.WARNING, "modiste"):
        assert table(tmp_path) == before
    assert "rebuilt from 24 pictures" in caplog.text
    kept_aside = [broken.read_bytes() for broken in tmp_path.glob("journal.broken-*.sqlite")]
    assert kept_aside == ([] if damage in ("gone", "empty") else [hurt[damage]])


def test_pictures_without_a_journal_that_belong_to_other_settings_are_refused(tmp_path):
    with Journal.open(tmp_path, SETTINGS) as journal:
        draw(journal, 1)
    (tmp_path / "journal.sqlite").unlink()
    with pytest.raises(JournalError, match="belong to other settings"):
        Journal.open(tmp_path, {**SETTINGS, "budget": 41})
    with Journal.open(tmp_path, SETTINGS) as journal:
        assert journal.find(key_for(1))


def test_a_database_of_somebody_else_is_left_alone(tmp_path):
    file = tmp_path / "journal.sqlite"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE moods (day)")
    other.close()
    before = file.read_bytes()
    with pytest.raises(JournalError, match="not our journal"):
        Journal.open(tmp_path, SETTINGS)
    with sqlite3.connect(file) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("moods",)]
    other.close()
    assert len(file.read_bytes()) == len(before) and not list(tmp_path.glob("*broken*"))


@pytest.mark.parametrize("damage", ["gone", "one byte", "another picture"])
def test_a_finished_picture_that_is_gone_or_changed_is_drawn_again_loudly_and_loses_its_score(tmp_path, caplog, damage):
    with Journal.open(tmp_path, SETTINGS) as journal:
        first, second = draw(journal, 1, 2)
        journal.score(key_for(1), "clip", similarity=0.5, unclipped=0.5, raw_cosine=0.8, centred=0.3)
    if damage == "gone":
        first.unlink()
    elif damage == "one byte":
        data = bytearray(first.read_bytes())
        data[-30] ^= 1
        first.write_bytes(data)
    else:
        shutil.copy(second, first)
    with caplog.at_level(logging.WARNING, "modiste"), Journal.open(tmp_path, SETTINGS) as journal:
        assert journal.find(key_for(1)) is None
        assert journal.scores("clip") == {} and len(journal.notices) == 1
        assert journal.plan([key_for(1), key_for(2)]) == [key_for(1)]
        draw(journal, 1)
        assert journal.find(key_for(1)) and journal.find(key_for(2))
    assert "it is drawn again" in caplog.text


def test_a_black_picture_or_one_of_another_size_is_quarantined_and_may_be_tried_again(tmp_path):
    with Journal.open(tmp_path, SETTINGS) as journal:
        journal.lease([key_for(1), key_for(2)])
        with pytest.raises(UnusablePicture, match="entirely black"):
            journal.finish(key_for(1), drawn(1, colour=(0, 0, 0)))
        with pytest.raises(UnusablePicture, match="64×32 although 64×64"):
            journal.finish(key_for(2), drawn(2, size=(64, 32)))
        assert [row.state for row in journal.rows()] == ["quarantined"] * 2
        assert not list(tmp_path.rglob("*.png"))
        draw(journal, 1)
        assert [(row.state, row.attempts, row.message) for row in journal.rows()][0] == ("done", 2, None)


def test_a_failure_keeps_its_class_and_what_was_asked_and_the_next_run_tries_again(tmp_path):
    with Journal.open(tmp_path, SETTINGS) as journal:
        journal.lease([key_for(1)], {key_for(1): request_for(1).model_dump(mode="json")})
        journal.fail(key_for(1), "OutOfMemory", "8 GiB asked")
    with Journal.open(tmp_path, SETTINGS) as journal:
        (row,) = journal.rows()
        assert (row.state, row.error_class, row.message) == ("failed", "OutOfMemory", "8 GiB asked")
        assert row.request["prompt"] == "a photo of a red dress"
        assert journal.lease([key_for(1)]) == [key_for(1)]


def test_only_leased_pictures_finish_and_only_finished_ones_have_scores(tmp_path):
    good = {"similarity": 0.5, "unclipped": 0.5, "raw_cosine": 0.5, "centred": 0.5}
    with Journal.open(tmp_path, SETTINGS) as journal:
        with pytest.raises(JournalError, match="unknown, not leased"):
            journal.finish(key_for(1), drawn(1))
        with pytest.raises(JournalError, match="only finished"):
            journal.score(key_for(1), "clip", **good)
        draw(journal, 1)
        assert journal.lease([key_for(1)]) == []
        with pytest.raises(JournalError, match="done, not leased"):
            journal.finish(key_for(1), drawn(1))
        with pytest.raises(JournalError, match="not finite"):
            journal.score(key_for(1), "clip", **{**good, "unclipped": float("nan")})
        journal.score(key_for(1), "clip", **good)
        journal.score(key_for(1), "clip", **{**good, "similarity": 0.75})
        assert journal.scores("clip") == {key_for(1): Score(0.75, 0.5, 0.5, 0.5)} and journal.scores("judge") == {}


def test_a_full_disk_stops_the_run_and_leaves_no_part_of_a_picture(tmp_path, monkeypatch):
    with Journal.open(tmp_path, SETTINGS) as journal:
        journal.lease([key_for(1)])
        with monkeypatch.context() as full:
            full.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space")))
            with pytest.raises(Stopped, match="the disk is full.*free some space; the same command goes on"):
                journal.finish(key_for(1), drawn(1))
        assert not [file for file in (tmp_path / "images").rglob("*") if file.is_file()]
        assert journal.finish(key_for(1), drawn(1)).state == "done"


def test_a_folder_that_can_not_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="nothing can be written here"):
        Journal.open(tmp_path / "file" / "run", SETTINGS)


def test_names_of_strategies_and_photos_never_leave_the_folder_and_never_meet(tmp_path):
    names = ["../../x", "a/b", "a_b", "a:b", "CON", "", "長袖" * 40, "a\0b"]
    keys = [key_for(1, strategy=name, photo=photo) for name in names for photo in (PHOTO, "../../../etc")]
    files = [(tmp_path / pictures.file_of(key)).resolve() for key in keys]
    assert len(set(files)) == len(keys)
    assert all(file.parent.parent == (tmp_path / "images").resolve() for file in files)
    assert all(file.name.isascii() and len(file.name) < 90 for file in files)


def a1111_reads(text: str) -> dict[str, str]:
    """The rules of A1111's `parse_generation_parameters` (modules/infotext_utils.py), in short."""
    import re

    *lines, last = text.strip().split("\n")
    found = {name: value for name, value in re.findall(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', last)}
    prompt = "\n".join(lines).split("Negative prompt:")
    return {"Prompt": prompt[0].strip(), "Negative prompt": prompt[-1].strip(), **found}


def test_pictures_carry_a1111s_parameters(tmp_path):
    from PIL import Image

    with Journal.open(tmp_path, SETTINGS) as journal:
        (path,) = draw(journal, 5)
    with Image.open(path) as picture:
        text = picture.info["parameters"]
    assert a1111_reads(text) == {
        "Prompt": "a photo of a red dress",
        "Negative prompt": "blurry, grain",
        "Steps": "20",
        "Sampler": "DPM++ 2M",
        "Schedule type": "Automatic",
        "CFG scale": "7.0",
        "Seed": "5",
        "Size": "64x64",
        "Model": "dresses",
    }


def test_a_picture_with_any_byte_changed_is_either_whole_or_refused(tmp_path):
    with Journal.open(tmp_path, SETTINGS) as journal:
        (path,) = draw(journal, 1)
    origin, data = pictures.read_origin(path), path.read_bytes()
    for at in random.Random(1).sample(range(len(data)), 100):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        assert pictures.read_origin(path) in (None, origin)
        path.write_bytes(data[:at])
        assert pictures.read_origin(path) is None


def test_the_same_picture_and_request_give_the_same_bytes(tmp_path):
    contents = []
    for name in ("a", "b"):
        with Journal.open(tmp_path / name, SETTINGS) as journal:
            contents.append(draw(journal, 3)[0].read_bytes())
    assert contents[0] == contents[1]


def test_threads_share_one_journal(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    with Journal.open(tmp_path, SETTINGS) as journal:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda seed: draw(journal, seed), range(12)))
        assert [row.state for row in journal.rows()] == ["done"] * 12


@pytest.mark.parametrize("photos", [500, pytest.param(25_000, marks=pytest.mark.load)])
def test_a_resume_is_planned_with_one_statement_a_photo_and_a_million_rows_in_five_seconds(photos, tmp_path):
    keys = [Key(f"{photo:064x}", "sentence", seed, "0" * 16) for photo in range(photos) for seed in range(40)]
    statements: list[str] = []
    with Journal.open(tmp_path, SETTINGS) as journal:
        assert journal.plan(keys) == keys
        journal._database.execute("UPDATE pictures SET state = 'done', path = 'images/x.png' WHERE seed < 30")
        begin = time.process_time()
        todo = journal.plan(keys)
        assert time.process_time() - begin < 5
        journal._database.set_trace_callback(statements.append)
        journal.plan(keys[:800])
    assert len(todo) == len(keys) // 4 and all(key.seed >= 30 for key in todo)
    assert len([line for line in statements if line.startswith("SELECT")]) <= 20


def test_a_commit_waits_for_the_disk(tmp_path):
    """What SQLite really uses: FULL is 2, where a power cut after a commit takes nothing back."""
    with Journal.open(tmp_path, SETTINGS) as journal:
        values = [journal._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")]
    assert values == [2, "wal"]


@pytest.mark.parametrize("other", ["run", "request", "seed"])
def test_a_whole_picture_of_another_run_or_request_is_not_adopted(other, tmp_path):
    with Journal.open(tmp_path, SETTINGS) as journal:
        run = journal._run
        journal.lease([key_for(1)])
    result, key = drawn(1), key_for(1)
    others = {"run": key, "request": key._replace(request_hash="0" * 16), "seed": key._replace(seed=2)}
    request, used = result.request.model_dump(mode="json"), result.used.model_dump(mode="json")
    origin = pictures.PictureOrigin(others[other], "0" * 16 if other == "run" else run, request, used)
    file = tmp_path / pictures.file_of(key)
    file.parent.mkdir(parents=True)
    file.write_bytes(pictures.encode(result.image, origin))
    assert pictures.read_origin(file) == origin
    with Journal.open(tmp_path, SETTINGS) as journal:
        assert journal.find(key) is None and journal.plan([key]) == [key] and journal.notices == []


def test_no_record_is_there_before_its_file(tmp_path, monkeypatch):
    with Journal.open(tmp_path, SETTINGS) as journal:
        journal.lease([key_for(1)])
        replaced, replace_file = [], Path.replace

        def look(path, target):
            replaced.append(journal._table.state(key_for(1)))
            return replace_file(path, target)

        monkeypatch.setattr(Path, "replace", look)
        journal.finish(key_for(1), drawn(1))
        assert replaced == ["leased"] and journal._table.state(key_for(1)) == "done"
