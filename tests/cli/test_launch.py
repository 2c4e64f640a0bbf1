"""One command in several processes: who speaks, who is told to stop, and with which code it all ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.cli.launch import require_cards, run_in_processes
from modiste.core.errors import InputError

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "examples" / "collection"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals as POSIX has them")
LAUNCH = """
import sys
from pathlib import Path
from modiste.cli.launch import run_in_processes
sys.exit(run_in_processes(3, Path(sys.argv[1]), [sys.executable, "-c", sys.argv[2]]))
"""


def started(folder: Path, script: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", LAUNCH, str(folder), textwrap.dedent(script)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_each_process_knows_its_rank_and_the_first_alone_speaks(tmp_path):
    script = """
    import os
    names = "RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE MASTER_ADDR".split()
    print(*(os.environ[name] for name in names), int(os.environ["MASTER_PORT"]) > 0)
    """
    out, error = started(tmp_path / "run", script).communicate(timeout=60)
    assert (out, error) == ("0 0 3 3 127.0.0.1 True\n", "")
    logs = [(tmp_path / "run" / f"process-{rank}.log").read_text() for rank in (1, 2)]
    assert logs == ["1 1 3 3 127.0.0.1 True\n", "2 2 3 3 127.0.0.1 True\n"]


def test_a_wish_to_stop_reaches_every_process_once_and_their_code_is_ours(tmp_path):
    script = """
    import os, signal, sys, time
    times = []
    signal.signal(signal.SIGTERM, lambda *_: times.append(1))
    print("ready", flush=True)
    if os.environ["RANK"] == "0":
        for rank in (1, 2):
            while "ready" not in open("RUN/process-%d.log" % rank).read(): time.sleep(.01)
        print("all", flush=True)
    while not times: time.sleep(.01)
    time.sleep(.3)
    print(len(times), flush=True)
    sys.exit(4)
    """
    (tmp_path / "run").mkdir()
    process = started(tmp_path / "run", script.replace("RUN", str(tmp_path / "run")))
    assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "all\n"]
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (4, "1\n") and "Traceback" not in error
    assert [(tmp_path / "run" / f"process-{rank}.log").read_text() for rank in (1, 2)] == ["ready\n1\n"] * 2


def test_where_one_process_fails_the_others_end_and_its_last_words_are_passed_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("modiste.cli.launch.GRACE_S", 0.2)
    script = "import os, sys, time; os.environ['RANK'] == '2' and sys.exit('no card is free'); time.sleep(60)"
    assert run_in_processes(3, tmp_path / "run", [sys.executable, "-c", script]) == 1
    assert "process 2 ended with code 1: no card is free" in capsys.readouterr().err


def test_more_cards_than_there_are_and_another_engine_are_refused_before_anything_is_made(tmp_path):
    with pytest.raises(InputError, match="999 were asked for"):
        require_cards(999, "auto")
    require_cards(999, "cpu")
    words = [str(PHOTOS), "--preset", "mini", "--out", str(tmp_path / "out"), "--gpus", "999"]
    done = CliRunner().invoke(app, ["finetune", *words])
    assert done.exit_code == 2 and "--device cpu" in done.stderr and not (tmp_path / "out").exists()
    done = CliRunner().invoke(app, ["finetune", *words, "--engine", "kohya"])
    assert done.exit_code == 2 and not (tmp_path / "out").exists()


@pytest.mark.load
def test_two_processes_of_the_command_train_what_one_trains(tmp_path):
    from safetensors.torch import load_file

    files = []
    for count in (1, 2):
        out = tmp_path / str(count)
        words = ["--preset", "mini", "--out", str(out), "--steps", "6", "--gpus", str(count), "--device", "cpu"]
        done = subprocess.run(
            [sys.executable, "harness.py", "finetune", str(PHOTOS), *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env=os.environ | {"MODISTE_HOME": str(tmp_path / "home")},
        )
        assert done.returncode == 0, done.stderr
        files.append(load_file(out / "fashion_lora_weights.safetensors"))
    one, two = files
    learned = [float(tensor.abs().max()) for name, tensor in one.items() if name.endswith("lora_up.weight")]
    assert one.keys() == two.keys() and min(learned) > 1e-4
    for name, tensor in one.items():
        assert (tensor - two[name]).abs().max() <= 1e-5, name  # rounding: 1.3e-6 was seen
