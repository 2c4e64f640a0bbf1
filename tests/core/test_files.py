"""Files are written whole: the old content or the new one, and no temporary is left."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import tracemalloc
from pathlib import Path

import pytest

from modiste.core.disk import DiskError, write_error, writing
from modiste.core.errors import InputError
from modiste.core.files import REPLACE_TRIES, make_folder, sha256_of, size_bytes, write_whole
from modiste.core.read_files import UnreadableFile, read_whole, too_large


def test_a_file_is_replaced_whole_and_no_temporary_is_left(tmp_path):
    write_whole(tmp_path / "a", b"old")
    write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new" and [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_where_writing_fails_the_old_file_stays_and_no_temporary_is_left(call, tmp_path, monkeypatch):
    write_whole(tmp_path / "a", b"old")

    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError):
        write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old" and [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(("platform", "refusals"), [("linux", 1), ("win32", REPLACE_TRIES)])
def test_a_name_that_is_refused_for_good_is_an_error_and_no_silence(platform, refusals, tmp_path, monkeypatch):
    write_whole(tmp_path / "a", b"old")
    asked: list[str] = []

    def refuse(*arguments):
        asked.append("refused")
        raise PermissionError(errno.EACCES, "another program has it open")

    monkeypatch.setattr("modiste.core.files.REPLACE_WAIT_S", 0)
    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(PermissionError):
        write_whole(tmp_path / "a", b"new")
    assert len(asked) == refusals and (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize(("platform", "saved"), [("linux", False), ("win32", True)])
def test_a_name_that_another_program_holds_for_a_moment_is_asked_for_again_on_windows(
    platform, saved, tmp_path, monkeypatch
):
    tries, replace = iter([True, True, False]), os.replace

    def busy(*paths):
        if next(tries):
            raise PermissionError(errno.EACCES, "another program has it open")
        replace(*paths)

    monkeypatch.setattr("modiste.core.files.REPLACE_WAIT_S", 0)
    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(sys, "platform", platform)
    try:
        write_whole(tmp_path / "a", b"new")
    except PermissionError:
        assert not saved and not list(tmp_path.iterdir())
    else:
        assert saved and (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.skipif(os.name == "nt", reason="folders can't be opened there")
def test_the_content_is_synced_before_its_name_and_the_name_afterwards(tmp_path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (calls.append("fsync"), fsync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("replace"), replace(*paths)))
    write_whole(tmp_path / "a", b"new")
    assert calls == ["fsync", "replace", "fsync"]
    monkeypatch.setattr(sys, "platform", "win32")  # where no folder can be opened
    write_whole(tmp_path / "a", b"newer")
    assert calls[3:] == ["fsync", "replace"]


def test_a_digest_is_that_of_all_contents_and_a_size_that_of_all_files(tmp_path):
    make_folder(tmp_path / "x" / "y")
    (tmp_path / "x" / "a").write_bytes(b"1" * 3_000_000)
    (tmp_path / "x" / "y" / "b").write_bytes(b"2")
    files = [tmp_path / "x" / "a", tmp_path / "x" / "y" / "b"]
    assert sha256_of(files) == hashlib.sha256(b"1" * 3_000_000 + b"2").hexdigest()
    assert size_bytes(tmp_path / "x") == 3_000_001 and size_bytes(files[1]) == 1
    make_folder(tmp_path / "x" / "y")  # it is there: nothing happens


def test_a_files_content_is_never_in_memory_whole_while_its_digest_is_computed(tmp_path):
    (tmp_path / "model").write_bytes(bytes(8 << 20))
    expected = hashlib.sha256(bytes(8 << 20)).hexdigest()
    tracemalloc.start()
    try:
        assert sha256_of([tmp_path / "model"]) == expected
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("code", "kind", "exit_code", "text"),
    [
        (errno.ENOSPC, DiskError, 4, "the disk is full.*free some space"),
        (errno.EROFS, InputError, 2, "read-only"),
        (errno.EACCES, InputError, 2, "may not be written"),
        (errno.ENOTDIR, InputError, 2, "a file is where a folder is needed"),
        (errno.EIO, DiskError, 4, "can't be written: Input/output error"),
    ],
)
def test_an_error_of_the_system_is_a_message_with_an_exit_code(code, kind, exit_code, text, tmp_path):
    error = OSError(code, os.strerror(code))
    with pytest.raises(kind, match=text) as caught, writing(tmp_path / "file"):
        raise error
    assert caught.value.exit_code == exit_code and str(tmp_path / "file") in str(caught.value)
    assert type(write_error(tmp_path, error)) is kind


def test_until_the_new_content_is_on_the_disk_the_old_file_is_there_whole_and_a_reader_keeps_it(tmp_path, monkeypatch):
    path, fsync, seen = tmp_path / "a", os.fsync, []
    write_whole(path, b"old")

    def look(descriptor: int) -> None:
        seen.append(path.read_bytes())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    with path.open("rb") as reader:
        write_whole(path, b"newer")
        assert reader.read() == b"old"
    assert seen[0] == b"old" and path.read_bytes() == b"newer"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux which file a descriptor is")
def test_the_folders_of_new_names_are_synced(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    make_folder(tmp_path / "x" / "y")
    assert set(synced) == {str(tmp_path), str(tmp_path / "x")}
    synced.clear()
    write_whole(tmp_path / "x" / "a", b"1")
    assert synced[-1] == str(tmp_path / "x") and len(synced) == 2


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        ("open", "PERM", "the file may not be read"),
        ("read", "PERM", f"the file can't be read: {os.strerror(errno.EIO)}"),
        ("fstat", "CHANGED", "the file changed while it was read; wait until it is complete"),
    ],
)
def test_a_file_that_may_not_be_read_or_grows_meanwhile_is_named(call, code, words, tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(bytes(20))
    fstat = os.fstat

    def refused(*arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    def before_it_grew(descriptor):
        status = list(fstat(descriptor))
        status[6] -= 10
        return os.stat_result(status)

    def broken(*arguments, **named):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    patches = {"open": refused, "fstat": before_it_grew, "read": broken}
    monkeypatch.setattr(os, "fdopen" if call == "read" else call, patches[call])
    with pytest.raises(UnreadableFile) as caught:
        read_whole(tmp_path / "a", 1000)
    assert caught.value.code == code and str(caught.value) == f"{words} ({tmp_path / 'a'})"


def test_a_file_that_is_too_large_is_told_in_megabytes(tmp_path):
    error = too_large(tmp_path / "a", 3_600_000, 1_000_000)
    assert str(error) == f"the file holds 4 MB; 1 are the limit ({tmp_path / 'a'})"
    assert (error.path, error.code, error.reason) == (tmp_path / "a", "TOO_LARGE", str(error).partition(" (")[0])
