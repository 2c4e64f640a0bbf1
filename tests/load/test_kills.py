"""kill -9 over whole commands: whatever instant it is, the same command goes on to the same end.

`MODISTE_COMMAND_KILLS` says how many kills over five commands, 100 without it; `MODISTE_GENERATIONS` how many pictures
of a server, 1,000 without it; `-s` shows each kill. Training has a test of its own: test_training_kills.py.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from faulty_webui import FaultyWebui
from fresh_process import python_environment

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("MODISTE_COMMAND_KILLS", 100))
GENERATIONS = int(os.environ.get("MODISTE_GENERATIONS", 1000))
BUDGET = 40  # pictures a photo
SERVER_KILLS = 20
TAG = ["tag", "photos", "--captions", "--out", "tags.jsonl", "--preset", "mini"]
POSIX = pytest.mark.skipif(os.name == "nt", reason="kill -9 and fork are POSIX")


def tags_of(out: Path) -> Any:
    """What `tag` leaves, without the folder's name."""
    lines = [json.loads(line) for line in (out / "tags.jsonl").read_text(encoding="utf-8").splitlines()]
    captions = {file.name: file.read_text(encoding="utf-8") for file in (out / "photos").glob("*.txt")}
    return sorted((Path(line["image"]).name, line["caption"]) for line in lines), captions


def run(out: Path, kill_after_s: float | None = None) -> int:
    """The command in `out`, its Python started anew; its exit code, negative where it was killed."""
    environment = python_environment(MODISTE_HOME=str(out / "home"), OMP_NUM_THREADS="1")
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, str(ROOT / "harness.py"), *TAG], cwd=out, env=environment, **pipes) as tag:
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            tag.kill()
        error = tag.communicate()[1]
    assert b"Traceback" not in error, error.decode()
    return tag.returncode


def laid_out(folder: Path) -> Path:
    """A folder with photos of the collection of examples."""
    (folder / "photos").mkdir(parents=True)
    for photo in sorted((ROOT / "examples" / "collection").glob("*.jpg"))[:8]:
        shutil.copy(photo, folder / "photos")
    return folder


@POSIX
def test_a_command_killed_at_random_instants_comes_to_the_same_end(tmp_path):
    whole, killed = laid_out(tmp_path / "whole"), laid_out(tmp_path / "killed")
    begin = time.monotonic()
    assert run(whole) in (0, 3)
    took, dice, done = time.monotonic() - begin, random.Random(19), 0
    for _ in range(8):
        done += run(killed, dice.uniform(0.3, 1.0) * took) == -signal.SIGKILL
        if done == 2:
            break
        if (killed / "tags.jsonl").is_file() and len((killed / "tags.jsonl").read_bytes().splitlines()) == 8:
            shutil.rmtree(killed)  # it came to its end before the kill: begin anew, to kill on
            laid_out(killed)
    assert done == 2
    assert run(killed) in (0, 3)
    assert tags_of(killed) == tags_of(whole)


def counted(call: str, home: Path) -> dict[str, Any]:
    """What a call of command_kills.py prints at its end, in a process of its own: it forks."""
    environment = python_environment(OMP_NUM_THREADS="1", MODISTE_HOME=str(home))
    with (home.parent / "errors").open("w+") as errors:
        with subprocess.Popen(
            [sys.executable, "-c", f"import command_kills as c; c.{call}"],
            **{"env": environment, "stdout": subprocess.PIPE, "stderr": errors, "text": True},
        ) as process:
            last = ""
            for last in process.stdout:
                print(last, end="", flush=True)
        errors.seek(0)
        assert process.returncode == 0, errors.read()[-4000:]
    return json.loads(last)


@POSIX
@pytest.mark.load
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux for CPU seconds")
def test_five_commands_killed_at_random_instants_leave_whole_files_draw_nothing_twice_and_end_alike(tmp_path):
    counts = counted(f"kill_commands({str(tmp_path / 'runs')!r}, {KILLS})", tmp_path / "home")
    assert set(counts) == {"tag", "prompt", "compare", "judge", "pipeline"}
    assert sum(each["kills"] for each in counts.values()) >= KILLS
    assert all(each["ends"] for each in counts.values())
    assert sum(each["while drawing"] for each in counts.values()) >= KILLS // 20


@POSIX
@pytest.mark.load
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux for CPU seconds")
def test_a_search_of_a_thousand_pictures_over_a_faulty_server_with_twenty_kills_is_an_undisturbed_one(tmp_path):
    photos = max(1, GENERATIONS // BUDGET)
    with FaultyWebui() as sound, FaultyWebui(rate=0.05) as faulty:
        urls, folder = [sound.url, faulty.url], tmp_path / "runs"
        counts = counted(f"kill_search({str(folder)!r}, {urls!r}, {photos}, {SERVER_KILLS})", tmp_path / "home")
        wanted, drawn = pictures_asked_for(sound), pictures_asked_for(faulty)
    assert counts["ends"] == 1 and counts["kills"] >= min(SERVER_KILLS, GENERATIONS // 50)
    assert counts["pictures"] == counts["expected"] == len(wanted)
    assert drawn.keys() == wanted.keys(), "nothing is lost, and nothing else was drawn"
    # Asked for again is what a fault or a kill took: each kill a picture under way, each fault at most five tries.
    faults = sum(faulty.drawn.values()) - len(drawn)
    assert faults <= counts["kills"] + counts.get("stopped by the server", 0) + faulty.unusable


def pictures_asked_for(server: FaultyWebui) -> dict[tuple[str, str, int], int]:
    """(prompt, negative prompt, seed) → how often it was asked for."""
    asked: dict[tuple[str, str, int], int] = {}
    for payload in server.received:
        key = payload["prompt"], payload["negative_prompt"], payload["seed"]
        asked[key] = asked.get(key, 0) + 1
    return asked
