"""kill -9 over training: whatever instant it is, there is a whole checkpoint, and the end is an undisturbed run's.

`MODISTE_KILLS` says how many kills, 200 without it; `-s` shows each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from fresh_process import python_environment

KILLS = int(os.environ.get("MODISTE_KILLS", 200))


@pytest.mark.load
@pytest.mark.skipif(os.name == "nt", reason="kill -9 and fork are POSIX")
def test_training_killed_at_random_instants_has_a_whole_checkpoint_and_the_same_end(tmp_path):
    code = f"from training_kills import kill_training; kill_training({str(tmp_path / 'runs')!r}, {KILLS})"
    environment = python_environment(OMP_NUM_THREADS="1", MODISTE_HOME=str(tmp_path / "home"))
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line
        error = process.stderr.read()
    assert process.returncode == 0 and "Traceback" not in error, error
    counts = json.loads(last)
    assert sum(each["kills"] for each in counts.values()) >= KILLS
    assert all(each["ends"] for each in counts.values())
    assert sum(each["within a save"] for each in counts.values()) >= KILLS // 20
