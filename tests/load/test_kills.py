"""kill -9 over whole commands: whatever instant it is, the same command goes on to the same end."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fresh_process import python_environment

ROOT = Path(__file__).parents[2]


def tags_of(out: Path) -> Any:
    """What `tag` leaves, without the folder's name."""
    lines = [json.loads(line) for line in (out / "tags.jsonl").read_text(encoding="utf-8").splitlines()]
    captions = {file.name: file.read_text(encoding="utf-8") for file in (out / "photos").glob("*.txt")}
    return sorted((Path(line["image"]).name, line["caption"]) for line in lines), captions


def report_of(out: Path) -> Any:
    """What `prompt` found: prompts, scores, seeds."""
    report = json.loads((out / "run" / "report.json").read_text(encoding="utf-8"))
    return [(photo["optimized_prompt"], photo["similarity_score"], photo["tried"]) for photo in report["images"]]


def lora_of(out: Path) -> Any:
    """The trained weights, to the bit, and the losses on the way."""
    from safetensors.torch import load_file

    tensors = load_file(out / "run" / "fashion_lora_weights.safetensors")
    record = json.loads((out / "run" / "train.json").read_text(encoding="utf-8"))
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}, record["losses"]


COMMANDS: dict[str, tuple[list[str], Callable[[Path], Any]]] = {
    "tag": (["tag", "photos", "--captions", "--out", "tags.jsonl"], tags_of),
    "prompt": (["prompt", "photos", "--out", "run", "--budget", "8", "--no-learn", "--same-seeds"], report_of),
    "finetune": (["finetune", "photos", "--out", "run", "--steps", "12", "--trigger", "vesper"], lora_of),
}


def run(command: list[str], out: Path, kill_after_s: float | None = None) -> int:
    """One command of the embedded preset in `out`; its exit code, negative where it was killed."""
    words = [sys.executable, str(ROOT / "harness.py"), *command, "--preset", "mini"]
    environment = python_environment(MODISTE_HOME=str(out / "home"), OMP_NUM_THREADS="1")
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, cwd=out, env=environment, **pipes) as process:
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            process.kill()
        error = process.communicate()[1]
    assert b"Traceback" not in error, error.decode()
    return process.returncode


def laid_out(folder: Path) -> Path:
    """A folder with two photos of the collection of examples."""
    (folder / "photos").mkdir(parents=True)
    for photo in sorted((ROOT / "examples" / "collection").rglob("*.jpg"))[:8]:
        shutil.copy(photo, folder / "photos")
    return folder


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
@pytest.mark.parametrize(
    ("name", "kills"),
    [
        ("tag", 2),
        pytest.param("tag", 40, marks=pytest.mark.load),
        pytest.param("prompt", 40, marks=pytest.mark.load),
        pytest.param("finetune", 40, marks=pytest.mark.load),
    ],
)
def test_a_command_killed_at_random_instants_comes_to_the_same_end(name, kills, tmp_path):
    command, result = COMMANDS[name]
    whole, killed = laid_out(tmp_path / "whole"), laid_out(tmp_path / "killed")
    begin = time.monotonic()
    assert run(command, whole) in (0, 3)
    took, dice, done = time.monotonic() - begin, random.Random(19), 0
    for _ in range(4 * kills):
        done += run(command, killed, dice.uniform(0.3, 1.0) * took) == -signal.SIGKILL
        if done == kills:
            break
        if result_is_there(command, killed):  # it came to its end before the kill: begin anew, to kill on
            shutil.rmtree(killed)
            laid_out(killed)
    assert done >= min(kills, 2)
    assert run(command, killed) in (0, 3)
    assert result(killed) == result(whole)


def result_is_there(command: list[str], out: Path) -> bool:
    if command[0] == "tag":
        return (out / "tags.jsonl").is_file() and len((out / "tags.jsonl").read_bytes().splitlines()) == 8
    return (out / "run" / {"prompt": "report.json", "finetune": "train.json"}[command[0]]).is_file()
