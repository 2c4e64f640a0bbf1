"""A command without photos says what to give, and names the sample photos in a line that can be copied."""

from __future__ import annotations

import shlex

import pytest
from typer.testing import CliRunner

from modiste.cli.app import _without_mode, app
from modiste.cli.samples import EXAMPLES, SAMPLES
from modiste.fashion.photos import find_photos


@pytest.mark.parametrize("words", [*([command] for command in SAMPLES), ["--mode", "prompt"], ["--mode", "finetune"]])
@pytest.mark.parametrize("from_elsewhere", [False, True])
def test_a_command_without_photos_says_in_one_line_what_to_give_and_where_the_sample_photos_lie(
    words, from_elsewhere, monkeypatch, tmp_path
):
    if from_elsewhere:
        monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, _without_mode(words))
    assert done.exit_code == 2 and done.stdout == ""
    assert done.stderr.startswith(f"error: {words[-1]} needs photos") and done.stderr.count("\n") == 1
    program, command, samples, *options = shlex.split(done.stderr.partition("sample photos: ")[2])
    assert (program, command) == ("modiste", words[-1]) and "--preset" in options
    assert len(find_photos([samples])[0]) >= 16


def test_the_sample_photos_are_part_of_what_pip_installs():
    assert '"examples/**/*"' in (EXAMPLES.parent / "pyproject.toml").read_text(encoding="utf-8")


def test_other_mistakes_keep_their_usage_line():
    done = CliRunner().invoke(app, ["prompt", "a.jpg"])
    assert done.exit_code == 2 and "Usage:" in done.stderr and "--out" in done.stderr
