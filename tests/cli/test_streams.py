"""Commands whose output nobody reads to its end, or that have no room for it: no traceback, and the right exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fresh_process import python_environment

ROOT = Path(__file__).parents[2]
TALKS = """
import sys, typer
from rich.console import Console
from modiste.cli.exit_codes import Exits
from modiste.cli.terminal import Display, say

app = typer.Typer(cls=Exits)

@app.command()
def talk(lines: int = 20_000) -> int:
    with Display():
        say("begins")
    for number in range(lines):
        print(f"line {number} " + "x" * 60)
    Console().print("the last line")
    say("ends")
    return 3

@app.command()
def other() -> int:
    return 0

app(["talk"])
"""


def talk(redirection: str) -> subprocess.CompletedProcess:
    """A command that prints much and ends with 3, in a shell; the exit code is the command's."""
    line = f"set -o pipefail; '{sys.executable}' -c \"$TALKS\" {redirection}"
    environment = python_environment(TALKS=TALKS)
    return subprocess.run(["bash", "-c", line], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
@pytest.mark.parametrize("redirection", ["| head -1", ">&- 2>&-", ">&-", "2>&- | head -1", "2>&1 | head -1"])
def test_a_reader_that_leaves_early_changes_neither_the_work_nor_the_exit_code(redirection):
    ended = talk(redirection)
    assert ended.returncode == 3 and "Traceback" not in ended.stderr and "rror" not in ended.stderr
    assert ended.stdout.count("\n") == ("head" in redirection)
    assert ("ends" in ended.stderr) == ("2>" not in redirection)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_behind_standard_output_is_one_line_and_exit_code_4():
    ended = talk("> /dev/full")
    assert ended.returncode == 4
    assert ended.stderr == (
        "begins\nerror: the disk is full (standard output); free some space; the same command continues\n"
    )


@pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")
def test_a_terminal_that_is_closed_meanwhile_is_no_error_of_the_disk():
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", TALKS.replace('say("begins")', 'say("begins"); sys.stdin.readline()')]
    process = subprocess.Popen(
        command, cwd=ROOT, env=python_environment(), stdin=subprocess.PIPE, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    while b"begins" not in shown:
        shown += os.read(ours, 100)
    os.close(ours)
    process.communicate(b"\n", timeout=60)
    assert process.returncode == 3


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
def test_tag_ends_with_0_where_head_has_seen_enough(tmp_path):
    command = [sys.executable, str(ROOT / "harness.py"), "tag", str(ROOT / "examples" / "photos"), "--preset", "mini"]
    environment = python_environment(MODISTE_HOME=str(tmp_path))
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tag:
        assert tag.stdout.readline().startswith(str(ROOT))
        tag.stdout.close()
        error = tag.stderr.read()
    assert tag.returncode == 0 and "Traceback" not in error


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="a signal of POSIX")
@pytest.mark.parametrize(("before", "asked"), [("SIG_DFL", True), ("SIG_IGN", False)])
def test_a_closed_terminal_is_a_wish_to_stop_unless_nohup_said_otherwise(before, asked):
    from modiste.cli.stop_signals import stopping

    handler = signal.signal(signal.SIGHUP, getattr(signal, before))
    try:
        with stopping() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop() is asked
        assert signal.getsignal(signal.SIGHUP) is getattr(signal, before)
    finally:
        signal.signal(signal.SIGHUP, handler)
