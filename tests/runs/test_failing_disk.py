"""The Nth operation of the disk fails, for every N; clocks jump; the folder goes away: what is left is whole."""

from __future__ import annotations

import ast
import os
import random
import shutil
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from failing_disk import OPERATIONS, Killed, every_failure, failing_disk, full_disk
from journal_samples import SETTINGS, draw, drawn, key_for
from lora_samples import small_lora
from source_tree import ROOT, source_files
from train_samples import tiny_base

from modiste.core.errors import ModisteError
from modiste.fashion.caption_files import CaptionWriter
from modiste.fashion.tag_file import TagFile, TaggedFile
from modiste.reports.prompt import PromptReport
from modiste.reports.report_files import write_report_files
from modiste.runs.journal import Journal, JournalError
from modiste.trainer.lora.file import read_lora, write_lora
from modiste.trainer.model.base_model import open_base
from modiste.trainer.model.export import write_model

FAILURES = pytest.mark.parametrize("failure", [full_disk, failing_disk, Killed])


def run(folder: Path) -> None:
    """A run of two pictures that goes on where it is."""
    with Journal.open(folder, SETTINGS) as journal:
        for seed in (0, 1):
            if journal.find(key_for(seed)) is None:
                journal.lease([key_for(seed)])
                journal.finish(key_for(seed), drawn(seed))
            journal.score(key_for(seed), "clip", similarity=0.5, unclipped=0.5, raw_cosine=0.5, centred=0.5)


def rows(folder: Path) -> list:
    with Journal.open(folder, SETTINGS) as journal:
        scores = journal.scores("clip")
        return [(replace(row, elapsed_s=None, attempts=0, path=None), scores[row.key]) for row in journal.rows()]


@FAILURES
def test_a_journal_comes_to_the_same_end_whichever_operation_fails(failure, tmp_path):
    run(tmp_path / "whole")
    expected, number = rows(tmp_path / "whole"), count()
    for operations, raised in every_failure(lambda: run(tmp_path / str(next(number))), failure):
        folder = tmp_path / str(operations)
        assert raised is None or isinstance(raised, (ModisteError, Killed)), f"{raised!r} after {operations}"
        run(folder)
        assert rows(folder) == expected and not list(folder.rglob("*.tmp"))
    assert operations > 10 and raised is None


@FAILURES
def test_a_report_is_the_old_one_or_the_new_one_whichever_operation_fails(failure, paper_run, tmp_path):
    old = PromptReport.model_validate_json((paper_run / "report.json").read_bytes())
    new, pages = old.model_copy(update={"preset": "another"}), {}
    for report, page in ((new, "the new page"), (old, "the old page")):
        write_report_files(report, page, tmp_path)
        for name in ("report.json", "report.html"):
            pages.setdefault(name, set()).add((tmp_path / name).read_bytes())
    for _, raised in every_failure(lambda: write_report_files(new, "the new page", tmp_path), failure):
        assert raised is None or isinstance(raised, (OSError, ModisteError, Killed))  # OSError: cli/exit_codes.py
        assert all((tmp_path / name).read_bytes() in contents for name, contents in pages.items())
        write_report_files(old, "the old page", tmp_path)
    assert raised is None


@FAILURES
def test_an_exported_lora_is_whole_or_not_there_whichever_operation_fails(failure, tmp_path):
    state, number = small_lora(), count()
    for operations, raised in every_failure(
        lambda: write_lora(state, tmp_path / str(next(number)) / "lora.safetensors", {}), failure
    ):
        file = tmp_path / str(operations) / "lora.safetensors"
        assert raised is None or isinstance(raised, (OSError, ModisteError, Killed))
        assert not file.exists() or len(read_lora(file).modules) == len(state.modules)
        write_lora(state, file, {})
        assert len(read_lora(file).modules) == len(state.modules)
    assert raised is None and operations > 3


@FAILURES
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_tag_file_holds_whole_lines_whichever_operation_fails(suffix, failure, tmp_path):
    names, number = [f"{letter}.png" for letter in "abc"], count()

    def work(path: Path) -> None:
        with TagFile(path) as file:
            for name in names:
                if name not in file.done:
                    file.add(TaggedFile(name, [], [], "a top"))

    for operations, raised in every_failure(lambda: work(tmp_path / str(next(number)) / f"tags.{suffix}"), failure):
        assert raised is None or isinstance(raised, (ModisteError, Killed)), f"{raised!r} after {operations}"
        path = tmp_path / str(operations) / f"tags.{suffix}"
        work(path)
        with TagFile(path) as file:
            assert list(file.lines) == names
    assert raised is None and operations > 3


@FAILURES
def test_captions_are_whole_and_a_users_own_stays_whichever_operation_fails(failure, tmp_path):
    number, names = count(), ("a", "b", "c")

    def work(folder: Path) -> None:
        with CaptionWriter(folder=tmp_path / "home") as writer:
            for name in names:
                writer.write(folder / f"{name}.png", "a photo of a top")

    def texts(folder: Path) -> set[str]:
        return {f"{file.name}: {file.read_text()}" for file in folder.glob("*.txt")}

    def laid_out(folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        (folder / "b.txt").write_text("my own words\n")
        return folder

    whole = {"a.txt: a photo of a top\n", "b.txt: my own words\n", "c.txt: a photo of a top\n"}
    folders = [laid_out(tmp_path / str(index)) for index in range(60)]
    for operations, raised in every_failure(lambda: work(folders[next(number)]), failure, most=60):
        assert raised is None or isinstance(raised, (ModisteError, Killed)), f"{raised!r} after {operations}"
        folder = folders[operations]
        assert texts(folder) <= whole
        work(folder)
        assert texts(folder) == whole
        assert failure is Killed or not list(folder.glob("*.tmp"))
    assert raised is None and operations > 5


# A disk that is full, or fails to write, lets a program remove what it wrote (`os.open`: as shutil.rmtree does).
WRITING = [
    (owner, name) for owner, name in OPERATIONS if name not in ("unlink", "rmdir") and (owner, name) != (os, "open")
]


@pytest.mark.load
@FAILURES
def test_a_whole_models_export_is_whole_or_not_there_whichever_operation_fails(failure, tmp_path):
    base, number = open_base(str(tiny_base(tmp_path / "base")), torch.float32, "cpu"), count()
    for operations, raised in every_failure(
        lambda: write_model(base, tmp_path / str(next(number)) / "model"), failure, most=2000, operations=WRITING
    ):
        folder = tmp_path / str(operations)
        folder.mkdir(exist_ok=True)
        assert raised is None or isinstance(raised, (OSError, ModisteError, Killed)), f"{raised!r} after {operations}"
        assert failure is Killed or not list(folder.glob("*.tmp")), f"{operations} operations leave half a model"
        if (folder / "model").exists():
            assert len(open_base(str(folder / "model"), torch.float32, "cpu").parts) == len(base.parts)
        if operations % 10 == 0 or raised is None:
            write_model(base, folder / "model")
            assert open_base(str(folder / "model"), torch.float32, "cpu").unet is not None
        shutil.rmtree(folder)
    assert raised is None and operations > 10


def test_a_run_folder_that_is_deleted_meanwhile_is_an_error_in_words(tmp_path):
    with Journal.open(tmp_path / "run", SETTINGS) as journal:
        draw(journal, 1)
        journal.lease([key_for(2)])
        shutil.rmtree(tmp_path / "run")
        with pytest.raises(JournalError, match="deleted or moved.*start the same command again"):
            journal.finish(key_for(2), drawn(2))
    run(tmp_path / "run")
    assert len(rows(tmp_path / "run")) == 2


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    run(tmp_path / "whole")
    dice = random.Random(1)
    monkeypatch.setattr(time, "time", lambda: dice.uniform(0, 4e9))
    run(tmp_path / "jumping")
    assert rows(tmp_path / "jumping") == rows(tmp_path / "whole")


def test_durations_are_not_measured_by_a_clock_that_people_set():
    """`time.time` only where a date is written down."""
    dates = {"trainer/results.py", "nodes/training/history.py", "panel/job.py"}
    users = {
        path.as_posix()
        for path in source_files()
        if path.parts[0] not in ("tests", "bench", "docs")
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "time" and ast.unparse(node) == "time.time"
    }
    assert users == dates
