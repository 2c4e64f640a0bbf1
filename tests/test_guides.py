"""The guides in docs/: every command in them is run, on a few small photos, with few pictures and steps."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import reduce
from pathlib import Path

import pytest
from lora_samples import random_lora
from PIL import Image
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.cli.exit_codes import EXIT_OK, EXIT_SKIPS
from modiste.core.torchvision_ops import patch_torchvision_ops
from modiste.install import WORDS
from modiste.trainer.lora.file import write_lora

patch_torchvision_ops()
ROOT = Path(__file__).parent.parent
GUIDES = sorted(page for page in (ROOT / "docs").glob("*.md") if "```sh\n" in page.read_text(encoding="utf-8"))
TRAINING = {"validation": {"timesteps": 1, "most": 2, "pictures": 0, "choose": "loss", "patience": 0}}
# Behind what the guide says: the last of an option counts.
SMALL = {
    "prompt": "--preset mini --budget 8 --steps 2 --no-learn",
    "tag": "--preset mini",
    "score": "--preset mini",
    "generate": "--preset mini --steps 2",
    "finetune": "--preset mini --steps 2 --batch 2 --config small.json",
    "compare": "--preset mini --seeds 2 --steps 2",
    "judge": "--preset mini",
    "pipeline": "--preset mini --budget 8 --searched 1 --seeds 2 --steps 2 --no-learn "
    "--train-steps 2 --config small.json",
}


SMALL_LIBRARY = (
    ("budget=16", "budget=8, steps=2"),
    ("steps=600", 'steps=4, config={"data": {"held_out": 0.0, "held_out_least": 0}}'),
    ("strategy=style", "strategy=style, steps=2, confirm_seeds=2, choosing_seeds=1, strengths=(1.0,)"),
)


DATASET = '[[datasets]]\n[[datasets.subsets]]\nimage_dir = "my-brand"\ncaption_extension = ".txt"\nnum_repeats = 2\n'


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    """A folder with what the guides speak of: `my-photos/`, `new-photos/` and `my-brand/`."""
    piece = "collection/piece"
    for folder, source, count in (("my-photos", "photos/look", 2), ("my-brand", piece, 8), ("new-photos", piece, 2)):
        (tmp_path / folder).mkdir()
        for index in range(1, count + 1):
            photo = ROOT / "examples" / f"{source}-{index:02d}.jpg"
            shutil.copy(photo, tmp_path / folder / photo.name)
            if folder == "my-brand":
                Image.open(photo).resize((96, 96)).save(tmp_path / folder / photo.name)
    shutil.copytree(tmp_path / "new-photos", tmp_path / "dresses")
    for photo in (tmp_path / "dresses").iterdir():
        photo.with_suffix(".txt").write_text("a dress")
    (tmp_path / "dataset.toml").write_text(DATASET)
    write_lora(random_lora("sd1"), tmp_path / "hosts.safetensors", {})
    (tmp_path / "Lora").mkdir()
    (tmp_path / "my-samples").mkdir()
    for step in (300, 600):
        for photo in (tmp_path / "my-photos").iterdir():
            name = f"brand_{step:06d}_{photo.stem[-2:]}_20260101120000_1.png"
            Image.open(photo).resize((64 + step // 10, 128)).save(tmp_path / "my-samples" / name)
    (tmp_path / "small.json").write_text(json.dumps(TRAINING))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    return tmp_path


def test_what_the_guide_shows_of_the_library_runs(desk):
    page = (ROOT / "docs" / "headless.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", reduce(lambda text, change: text.replace(*change), SMALL_LIBRARY, shown)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((desk / "library-run" / "comparison" / "report.json").read_text(encoding="utf-8"))
    assert done.stdout.strip() == report["verdict"]["sentence"]
    captions = [file.read_text(encoding="utf-8") for file in (desk / "library-run" / "data").rglob("*.txt")]
    assert captions and all("vesper" in caption for caption in captions)


def test_there_are_guides_with_commands():
    assert {"training.md", "prompt-route.md", "headless.md"} <= {page.name for page in GUIDES}
    assert sum(len(commands(page)) for page in GUIDES) > 15


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_command_of_the_guide_runs(page, desk):
    for line in commands(page):
        words = shlex.split(line.replace("--extend 1000", "--extend 2"))
        if words[:2] == ["python", "install.py"]:
            assert words[2] in WORDS, line
            continue
        assert words[0] == "modiste", line
        if words[1] == "lora":  # of a real model's shape: of the embedded one no host but diffusers can take all
            words[3] = "hosts.safetensors"
        done = CliRunner().invoke(app, [*words[1:], *SMALL.get(words[1], "").split()])
        assert done.exit_code in (EXIT_OK, EXIT_SKIPS), f"{line}\n{done.output}"
        if "--deliver-to" in words:
            record = json.loads((desk / words[words.index("--out") + 1] / "delivered.json").read_text(encoding="utf-8"))
            assert (desk / record["file"]).is_file() and record["prompt"].endswith(":0.8>, vesper")
