"""What the operating system refuses ends a command with a message and a code, and a bug stays a traceback."""

from __future__ import annotations

import errno
import os

import pytest
import typer
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.cli.exit_codes import Exits


def ending_with(error: Exception):
    """What a command ends with that raises `error`."""
    failing = typer.Typer(cls=Exits)

    @failing.command()
    def work() -> int:
        raise error

    @failing.command()
    def other() -> int:
        return 0

    return CliRunner().invoke(failing, ["work"])


@pytest.mark.parametrize(
    ("code", "exit_code", "text"),
    [(errno.ENOSPC, 4, "the disk is full"), (errno.EROFS, 2, "read-only"), (errno.EIO, 4, "can't be written")],
)
def test_a_disk_that_takes_no_more_is_a_message_with_an_exit_code(code, exit_code, text):
    result = ending_with(OSError(code, os.strerror(code), "out/report.json"))
    assert result.exit_code == exit_code and text in result.stderr and "out/report.json" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("code", [errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EACCES])
def test_a_path_that_can_not_be_used_is_one_line_and_bad_input(code):
    result = ending_with(OSError(code, os.strerror(code), f"{'a' * 300}.safetensors"))
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and "Traceback" not in result.stderr
    assert f"({'a' * 120}…); check the path" in result.stderr


def test_a_checkpoint_with_a_name_that_no_disk_takes_is_refused():
    result = CliRunner().invoke(app, ["generate", "a dress", "--checkpoint", "a" * 300])
    assert result.exit_code == 2 and "longer than the disk allows" in result.stderr


def test_another_error_of_the_system_is_a_bug_and_stays_one():
    assert isinstance(ending_with(OSError(errno.ENOENT, "no such file", "x")).exception, FileNotFoundError)
