"""Threads that wait asleep: said before torch is imported, never over the user's own words, and worth it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from modiste.core.threads import wait_asleep

SAYING = """
import os, sys
sys.argv[1:] = ["--help"]
from {module} import main
try:
    main()
except SystemExit:
    pass
assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE" and "torch" not in sys.modules
"""


def test_what_the_user_set_stays_and_else_threads_sleep():
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        environ = {name: "ACTIVE"}
        wait_asleep(environ)
        assert environ == {name: "ACTIVE"}
    environ = {}
    wait_asleep(environ)
    assert environ == {"OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.parametrize("module", ["modiste.cli.app", "modiste.cli.train_process"])
def test_commands_say_it_before_torch_is_there(module):
    script = SAYING.replace("{module}", module)
    environ = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    subprocess.run([sys.executable, "-c", script], env=environ, check=True, capture_output=True)
