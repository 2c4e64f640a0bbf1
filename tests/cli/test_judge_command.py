"""`modiste judge` as it is typed: what it refuses before anything is made, and sample pictures up to the report."""

from __future__ import annotations

import json
from pathlib import Path

import brand_studio
import pytest
from PIL import Image
from typer.testing import CliRunner

from modiste.cli.app import app


def judge(*words: object):
    return CliRunner().invoke(app, ["judge", *map(str, words), "--preset", "mini"])


@pytest.fixture
def photos(tmp_path) -> Path:
    return brand_studio.brand_photos(tmp_path / "photos", 2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name LoRA files, or --samples FOLDER"),
        (["a.safetensors", "--samples", "."], "name LoRA files, or --samples FOLDER"),
        (["--tuned", "a.safetensors", "--samples", "."], "name LoRA files, or --samples FOLDER"),
        (["--samples", ".", "--keep", "b.safetensors"], "--keep copies a LoRA file, and sample pictures are none"),
        (["--samples", ".", "--catalogue", "."], "--catalogue is for files"),
        (["a.safetensors", "--strengths", "0.5,strong"], "strengths '0.5,strong' are no numbers"),
        (["a.safetensors", "--strengths", "0"], "strengths '0' are no numbers above 0"),
        (["--tuned", "a.safetensors"], "a.safetensors"),
        (["--samples", "nowhere"], "this is no folder of samples"),
    ],
)
def test_what_can_not_be_judged_is_refused_in_words_before_anything_is_made(photos, tmp_path, words, told):
    done = judge("--photos", photos, "--out", tmp_path / "out", *words)
    assert done.exit_code == 2 and told in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == "" and not (tmp_path / "out").exists()


def sample_pictures(folder: Path, photo: Path, steps: range) -> Path:
    """Pictures of two prompts that come nearer to the photo from step to step, as Modiste's trainer names them."""
    folder.mkdir()
    target = Image.open(photo).convert("RGB")
    for step in steps:
        for prompt in range(2):
            plain = Image.new("RGB", target.size, (80 + 40 * prompt, 120, 90))
            Image.blend(plain, target, step / 3).save(folder / f"step-{step:06d}-{prompt}.png")
    return folder


def test_a_folder_with_nothing_to_pair_says_so_and_ends_with_2(photos, tmp_path):
    one = sample_pictures(tmp_path / "one", photos / "piece-00.png", range(3, 4))
    done = judge("--photos", photos, "--samples", one, "--out", tmp_path / "out")
    assert done.exit_code == 2 and "nothing can be compared: 2 pictures, 2 of them of 1 step(s)" in done.stderr
    assert "samples.csv" in done.stderr


def test_sample_pictures_become_a_table_a_page_and_a_report_without_drawing_any(photos, tmp_path):
    folder = sample_pictures(tmp_path / "samples", photos / "piece-00.png", range(1, 4))
    shown = judge("--photos", photos, "--samples", folder, "--out", tmp_path / "out")
    assert shown.exit_code == 0, shown.output
    assert "step 3" in shown.stdout and "report.html" in shown.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["kind"] == "samples" and report["pictures"] == 6 and report["unpaired"] == 0
    assert [row["step"] for row in report["rows"]] == [1, 2, 3] and report["verdict"]["label"] == "step 3"
    assert not (tmp_path / "out" / "journal.sqlite").exists(), "nothing was drawn"
