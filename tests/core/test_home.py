"""The user's own folder, also where there is no home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fresh_process import python_environment

from modiste.core.errors import InputError
from modiste.core.home import modiste_home

UNKNOWN = """
import os
os.setuid(54321)
from modiste.core.errors import InputError
from modiste.core.home import modiste_home
try:
    print(modiste_home())
except InputError as error:
    print(error.exit_code, error)
"""


def test_modiste_home_names_the_folder_and_a_tilde_is_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "x"))
    assert modiste_home() == tmp_path / "x"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("MODISTE_HOME", "~/y")
    assert modiste_home() == tmp_path / "y"
    monkeypatch.delenv("MODISTE_HOME")
    assert modiste_home() == tmp_path / ".modiste"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become an unknown user")
def test_a_user_without_a_home_is_told_to_name_a_folder():
    def told(**variables: str) -> str:
        environment = python_environment()
        without = {name: environment[name] for name in environment if name not in ("HOME", "MODISTE_HOME")}
        command = [sys.executable, "-B", "-c", UNKNOWN]
        done = subprocess.run(command, env={**without, **variables}, capture_output=True, text=True)
        return done.stdout.strip() or done.stderr

    assert told() == "2 this user has no home folder (MODISTE_HOME); name a folder in the variable MODISTE_HOME"
    assert told(MODISTE_HOME="/somewhere") == str(Path("/somewhere"))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no folder that nobody may write into")
def test_a_home_that_can_not_be_written_is_named_by_whoever_needs_it():
    from modiste.fashion.caption_files import CaptionWriter
    from modiste.fashion.encoder_cache import ObservationCache

    folder = Path("/proc/nothing")
    for opened in (lambda: ObservationCache("words", folder), lambda: CaptionWriter(folder=folder)):
        with pytest.raises(InputError, match="can't be used.*/proc/nothing.*another folder in MODISTE_HOME") as error:
            opened()
        assert error.value.exit_code == 2
