"""The lock of a folder: one holder, and a file that holds garbage hinders nobody."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from modiste.core.errors import InputError, ModisteError
from modiste.core.folder_lock import (
    LOCKED_BYTE,
    FolderBusy,
    FolderLock,
    lock_file,
    lock_folder,
    lock_holder,
    unlock_file,
)


def test_a_lock_has_one_holder_who_is_named_and_can_be_taken_again_after_its_release(tmp_path):
    lock = FolderLock(tmp_path / "lock")
    with pytest.raises(FolderBusy) as caught:
        FolderLock(tmp_path / "lock")
    assert caught.value.pid == os.getpid()
    lock.release()
    again = FolderLock(tmp_path / "lock")
    assert again.left_by is None
    again.release()


def test_the_pid_of_a_holder_that_died_is_known(tmp_path):
    (tmp_path / "lock").write_text("4242")
    lock = FolderLock(tmp_path / "lock")
    assert lock.left_by == 4242
    lock.release()


def test_what_a_holder_that_died_was_writing_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "lock").write_text("4242")
    kept = ["model.safetensors", "model.safetensors.4243.tmp", "4242.tmp.png", "notes.tmp"]
    for name in ("report.json.4242.tmp", *kept):
        (tmp_path / name).write_text("x")
    (tmp_path / "model.4242.tmp" / "unet").mkdir(parents=True)
    FolderLock(tmp_path / "lock").release()
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["lock", *kept])


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_link_that_a_dead_holder_left_goes_and_not_what_it_leads_to_and_what_stays_hinders_nobody(
    tmp_path, monkeypatch
):
    (tmp_path / "lock").write_text("4242")
    (tmp_path / "photos").mkdir()
    (tmp_path / "a.4242.tmp").symlink_to(tmp_path / "photos")
    (tmp_path / "b.4242.tmp").symlink_to(tmp_path / "nowhere")
    (tmp_path / "c.4242.tmp").mkdir()

    def refused(*arguments, **named):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "rmdir", refused)
    FolderLock(tmp_path / "lock").release()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["c.4242.tmp", "lock", "photos"]


@pytest.mark.parametrize("content", [bytes(range(256)), b"\xff\xfe1", b"pid 7", bytes(10_000), "²".encode()])
def test_a_lock_file_with_garbage_can_be_taken(content, tmp_path):
    (tmp_path / "lock").write_bytes(content)
    lock = FolderLock(tmp_path / "lock")
    assert lock.left_by is None
    with pytest.raises(FolderBusy, match=f"^held by process {os.getpid()}$"):
        FolderLock(tmp_path / "lock")
    (tmp_path / "lock").write_bytes(content)  # what a holder that is just writing its id would look like
    with pytest.raises(FolderBusy, match="^held by process unknown$"):
        FolderLock(tmp_path / "lock")
    lock.release()


def test_the_holder_of_a_lock_is_named_to_who_only_looks_and_a_look_takes_no_lock(tmp_path):
    file = tmp_path / "lock"
    assert lock_holder(file) is None and not file.exists()
    lock = FolderLock(file)
    assert [lock_holder(file), lock_holder(file)] == [os.getpid()] * 2
    lock.release()
    assert lock_holder(file) is None
    file.write_text("4242")  # left by one that died
    assert lock_holder(file) is None
    FolderLock(file).release()
    file.write_bytes(b"\xff\xfe1")  # garbage names nobody
    assert lock_holder(file) is None
    file.write_bytes("²".encode())
    assert lock_holder(file) is None


def test_of_a_locks_file_no_more_is_read_than_an_id_is_long_and_nothing_is_left_in_it(tmp_path):
    file = tmp_path / "lock"
    file.write_text("4242".ljust(20) + "x" * 10_000)
    lock = FolderLock(file)
    assert lock.left_by == 4242 and file.read_text() == str(os.getpid())
    file.write_text("4242".ljust(20) + "x" * 10_000)
    assert lock_holder(file) == 4242
    lock.release()
    assert file.read_text() == ""
    lock.release()  # a second time does nothing


def test_a_folder_in_use_is_refused_with_what_happens_there_whether_or_not_its_holder_is_known(tmp_path):
    folder = tmp_path / "run"
    lock = lock_folder(folder, "lock", "training here")
    for pid, holder in ((str(os.getpid()), str(os.getpid())), ("", "(unknown)")):
        (folder / "lock").write_text(pid)
        with pytest.raises(InputError) as caught:
            lock_folder(folder, "lock", "training here")
        to_try = "wait for it, stop it, or use another --out"
        assert str(caught.value) == f"process {holder} is training here ({folder}); {to_try}"
    lock.release()
    lock_folder(folder, "lock", "training here").release()


def test_a_folder_that_nothing_can_be_written_to_is_refused_in_words_by_the_callers_kind_of_error(tmp_path):
    class RunError(ModisteError):
        pass

    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "run"
    for kind, options in ((InputError, ()), (RunError, (RunError,))):
        with pytest.raises(kind) as caught:
            lock_folder(folder, "lock", "training here", *options)
        reason = f"nothing can be written here: {os.strerror(errno.ENOTDIR)}"
        assert str(caught.value) == f"{reason} ({folder}); an --out that can be written to"


class ByteLocks:
    """Windows' `msvcrt`, as far as locks go: bytes from the descriptor's position on, each with one holder."""

    LK_UNLCK, LK_NBLCK = 0, 2

    def __init__(self):
        self.held: dict[tuple[int, int], int] = {}  # (file, byte) → descriptor

    def locking(self, descriptor: int, mode: int, count: int) -> None:
        begin = os.lseek(descriptor, 0, os.SEEK_CUR)
        places = [(os.fstat(descriptor).st_ino, begin + index) for index in range(count)]
        mine = all(self.held.get(place) == descriptor for place in places)
        if mode not in (self.LK_UNLCK, self.LK_NBLCK):
            raise OSError(errno.EINVAL, "Invalid argument")
        if not mine if mode == self.LK_UNLCK else any(place in self.held for place in places):
            raise PermissionError(errno.EACCES, "Permission denied")
        for place in places:
            if mode == self.LK_NBLCK:
                self.held[place] = descriptor
            else:
                del self.held[place]


@pytest.fixture
def windows(monkeypatch) -> ByteLocks:
    """The part of Windows that locks need."""
    locks = ByteLocks()
    monkeypatch.setitem(sys.modules, "msvcrt", locks)
    monkeypatch.setattr(sys, "platform", "win32")
    return locks


def test_windows_locks_one_byte_behind_any_text_and_the_position_in_the_file_stays(windows, tmp_path):
    (tmp_path / "lock").write_text("4242")
    with (tmp_path / "lock").open("rb", buffering=0) as first, (tmp_path / "lock").open("rb", buffering=0) as second:
        first.read(2), second.read(3)
        lock_file(first)
        assert windows.held == {(os.fstat(first.fileno()).st_ino, LOCKED_BYTE): first.fileno()}
        with pytest.raises(BlockingIOError) as busy:
            lock_file(second)
        assert busy.value.errno == errno.EACCES and busy.value.strerror == "Permission denied"
        assert [first.tell(), second.tell(), first.read()] == [2, 3, b"42"]
        unlock_file(first)
        assert windows.held == {} and first.tell() == 4
        lock_file(second)
        unlock_file(second)


def test_a_folders_lock_has_one_holder_on_windows_too(windows, tmp_path):
    lock = lock_folder(tmp_path / "run", "lock", "training here")
    with pytest.raises(InputError, match=f"^process {os.getpid()} is training here"):
        lock_folder(tmp_path / "run", "lock", "training here")
    assert lock_holder(tmp_path / "run" / "lock") == os.getpid()
    lock.release()
    assert windows.held == {} and lock_holder(tmp_path / "run" / "lock") is None
    (tmp_path / "run" / "lock").write_text("4242")
    assert lock_holder(tmp_path / "run" / "lock") is None and windows.held == {}, "a look takes no lock"
