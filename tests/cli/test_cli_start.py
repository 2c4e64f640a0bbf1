"""The command starts at once: nobody waits for torch to read a help page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[2] / "harness.py"
HELP_S = 0.3  # CPU seconds

# Runs the script as `python harness.py …` does, then tells what that took and what it loaded.
PROBE = """
import atexit, json, runpy, sys, time
def tell():
    print(json.dumps({"cpu_s": time.process_time(), "loaded": sorted(sys.modules)}), file=sys.stderr)
atexit.register(tell)
script, sys.argv = sys.argv[1], sys.argv[1:]
runpy.run_path(script, run_name="__main__")
"""


def start(*words: str, cwd: Path) -> tuple[subprocess.CompletedProcess, dict]:
    command = [sys.executable, "-c", PROBE, str(HARNESS), *words]
    # Python puts a script's folder on the path, runpy does not.
    environ = {**os.environ, "PYTHONPATH": str(HARNESS.parent)}
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, encoding="utf-8", timeout=120)
    return done, json.loads(done.stderr.splitlines()[-1])


@pytest.mark.parametrize("words", [("--help",), ("prompt", "--help"), ("doctor", "--help")])
def test_help_takes_less_than_a_third_of_a_second_and_loads_no_torch(words, tmp_path):
    runs = [start(*words, cwd=tmp_path) for _ in range(3)]
    assert all(done.returncode == 0 and "Usage: modiste" in done.stdout for done, _ in runs)
    assert min(seen["cpu_s"] for _, seen in runs) < HELP_S
    heavy = {"torch", "numpy", "PIL", "diffusers", "transformers", "open_clip", "jinja2", "requests"}
    assert not heavy & set(runs[0][1]["loaded"])
    if words == ("--help",):  # a command's own help makes typer load it
        assert "pydantic" not in runs[0][1]["loaded"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [(("promt",), "--help"), (("prompt", "--speed", "9"), "--help"), (("prompt",), "to try it on the sample photos")],
)
def test_a_wrong_word_or_option_exits_with_two_and_a_hint(words, hint, tmp_path):
    done, _ = start(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert hint in done.stderr and "Traceback" not in done.stderr


def test_the_command_without_a_word_shows_the_help(tmp_path):
    done, _ = start(cwd=tmp_path)
    assert "Usage: modiste" in done.stdout + done.stderr
