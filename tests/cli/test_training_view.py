"""A terminal shows a training's numbers live; a pipe gets lines; `--json` gets nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modiste.cli.terminal import Display
from modiste.cli.training_view import BARS, WIDTH, TrainingView, curve
from modiste.core.progress import Progress

ROOT = Path(__file__).parents[2]
GAIN = dict(step=30, loss=0.05, mean=0.017, low=0.012, high=0.022)
REPORTS = [
    *(
        Progress("train", n, 30, "loss …", 3.0, values=dict(loss=1 / n, rate=1e-3, memory_mb=612.4))
        for n in range(1, 31)
    ),
    Progress("validation", 30, 60, "held-out loss 0.05", values=GAIN),
    Progress("sample", 1, 1, "similarity 71 of 100", picture=Path("samples/step-000030-0.png"), values=dict(step=30)),
    Progress("checkpoint", 30, 60, "kept", values=dict(step=30)),
]
SHOW = """
from modiste.cli.terminal import Display
from tests.cli.test_training_view import REPORTS
with Display() as display:
    for report in REPORTS:
        display(report)
"""


def test_the_loss_is_smoothed_and_falls_from_the_highest_bar_to_the_lowest():
    view = TrainingView()
    for report in REPORTS:
        view.take(report)
    train, held_out, picture = view.lines()
    smoothed = 0.95**29 + sum(0.05 * 0.95 ** (30 - n) / n for n in range(2, 31))
    assert view.losses[-1] == pytest.approx(smoothed)
    assert re.fullmatch(rf"loss 0\.\d{{4}} {BARS[-1]}[{BARS}]*{BARS[0]}  rate 1\.0e-03  612 MB", train)
    assert held_out == "held out 0.05000, better by +0.01700 (+0.01200 … +0.02200) at step 30"
    assert picture == "picture similarity 71 of 100: samples/step-000030-0.png"


def test_a_loss_that_is_not_finite_leaves_the_curve_alone_and_a_work_without_losses_has_no_view():
    view = TrainingView()
    for report in (Progress("draw", 1, 2), Progress("train", 1, 2, values={"loss": float("nan")})):
        view.take(report)
    assert view.losses == [] and view.lines() == []


def test_a_long_curve_is_drawn_in_a_fixed_width_and_a_flat_one_low():
    assert len(curve([float(value) for value in range(1000)])) == WIDTH and curve([0.5] * 3) == BARS[0] * 3


def test_a_terminal_shows_bar_loss_gain_and_picture():
    pty = pytest.importorskip("pty", reason="terminals of POSIX")
    reading, writing = pty.openpty()
    size = os.environ | dict(COLUMNS="120", LINES="40", TERM="xterm")
    process = subprocess.Popen([sys.executable, "-c", SHOW], cwd=ROOT, stderr=writing, stdout=writing, env=size)
    os.close(writing)
    shown = b""
    try:
        while block := os.read(reading, 1 << 16):
            shown += block
    except OSError:  # Linux's word for the end
        pass
    finally:
        os.close(reading)
    assert process.wait() == 0
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).splitlines()
    assert any(line.startswith("train") and "30/30 0:00:03" in line for line in last)
    assert not any(line.startswith(("validation", "checkpoint")) for line in last)
    for part in ("rate 1.0e-03", "better by +0.01700", "picture similarity 71 of 100"):
        assert any(part in line for line in last)


def test_a_pipe_gets_each_validation_as_a_line_and_a_quiet_display_nothing(capsys):
    for quiet in (False, True):
        with Display(quiet=quiet) as display:
            for report in REPORTS:
                display(report)
        said = capsys.readouterr()
        assert said.out == "" and ("validation 30/60 held-out loss 0.05" in said.err) == (not quiet)
    assert said.err == ""


def test_a_pipe_is_not_told_the_same_line_twice_in_a_row(capsys):
    with Display() as display:
        for name in ("a", "b", "c"):
            display(Progress("signs", 24, 24, picture=Path(f"{name}.png")))
        display(Progress("validation", 30, 60))
        display(Progress("signs", 24, 24))
    assert capsys.readouterr().err.splitlines() == [
        "signs 24/24",
        "validation 30/60",
        "signs 24/24",
    ]
