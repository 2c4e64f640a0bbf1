"""The lock of a folder: one holder, and a file that holds garbage hinders nobody."""

from __future__ import annotations

import os

import pytest

from modiste.core.errors import InputError
from modiste.core.folder_lock import FolderBusy, FolderLock, lock_folder, lock_holder


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


@pytest.mark.parametrize("content", [bytes(range(256)), b"\xff\xfe1", b"pid 7", bytes(10_000), "²".encode()])
def test_a_lock_file_with_garbage_can_be_taken(content, tmp_path):
    (tmp_path / "lock").write_bytes(content)
    lock = FolderLock(tmp_path / "lock")
    assert lock.left_by is None
    with pytest.raises(FolderBusy):
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


def test_a_folder_in_use_is_refused_with_what_happens_there_whether_or_not_its_holder_is_known(tmp_path):
    lock = lock_folder(tmp_path / "run", "lock", "training here")
    for pid, holder in ((str(os.getpid()), str(os.getpid())), ("", r"\(unknown\)")):
        (tmp_path / "run" / "lock").write_text(pid)
        with pytest.raises(InputError, match=f"^process {holder} is training here .*another --out$"):
            lock_folder(tmp_path / "run", "lock", "training here")
    lock.release()
    lock_folder(tmp_path / "run", "lock", "training here").release()
