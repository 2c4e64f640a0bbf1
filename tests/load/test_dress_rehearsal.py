"""A new user's path, from nothing to a verdict: the README's commands against a hub on loopback that holds models of
the published shapes with random weights (SD 1.5, ViT-B/32, DINOv2-base), each a process of its own, on the CPU."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from loopback_hub import Repository, loopback_hub
from PIL import Image

from modiste.bench.random_models import random_clip, random_diffusion, random_dino
from modiste.core.weights import PINNED, SHORT_NAMES
from modiste.fashion.encoder_cache import FILE
from modiste.mini.catalogue import make_catalogue

ROOT = Path(__file__).parents[2]
SMALL = ["--steps", "1", "--width", "64", "--height", "64"]
TRAINING = {
    "data": {"resolution": 64, "bucket_step": 8},
    "validation": {"timesteps": 1, "most": 1, "pictures": 1, "picture_steps": 1},
}
NEEDED_GIB = {"sd15": 9, "sdxl": 12}  # of memory: SD 1.5 in float32, SDXL in bfloat16, and what stands beside it

pytestmark = pytest.mark.load


def available(preset: str) -> None:
    """Skips where the preset's models do not fit into memory."""
    import psutil

    if psutil.virtual_memory().available < NEEDED_GIB[preset] * 2**30:
        pytest.skip(f"less than {NEEDED_GIB[preset]} GiB of memory are free")


@pytest.fixture(scope="module")
def encoders(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    return {"fashion-clip": random_clip(folder / "clip"), "dinov2": random_dino(folder / "dino")}


def repositories(made: dict[str, Path]) -> dict[str, Repository]:
    """The files as a hub has them: fp16 of Stable Diffusion, and a pickle beside each that nobody should fetch."""
    repositories = {}
    for name, place in made.items():
        files = {file.relative_to(place).as_posix(): file for file in place.rglob("*") if file.is_file()}
        model = SHORT_NAMES[name]
        repositories[model] = Repository({**files, "pytorch_model.bin": b"pickle"}, PINNED[model])
    return repositories


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A user's folder: a catalogue of ten garments from two sides, a photo, a brand, and photos that are new."""
    desk = tmp_path_factory.mktemp("desk")
    shots = make_catalogue(12, "rehearsal", views=2, held_out=None, workers=1)
    for number, views in enumerate(shots.pictures):
        for view, pixels in zip(("front", "back"), views, strict=True):
            kept = {"catalogue": number < 10, "my-brand": number < 4, "new-photos": number >= 10 and view == "front"}
            kept["my-photos"] = number == 0 and view == "front"
            for folder in (folder for folder, keep in kept.items() if keep):
                (desk / folder).mkdir(exist_ok=True)
                large = Image.fromarray(pixels).resize((600, 800), Image.Resampling.BICUBIC)
                large.save(desk / folder / f"sku{number:03d}-{view}.jpg", quality=90)
    (desk / "small.json").write_text(json.dumps(TRAINING))
    return desk


def typed_in_the_readme(command: str) -> list[str]:
    """The words of the README's own line for a command."""
    lines = re.findall(r"^\.venv/bin/modiste (.+)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    return next(line.split() for line in lines if line.split()[0] == command)


def texts_kept(desk: Path) -> int:
    """Sentences whose vectors the encoder has kept."""
    with closing(sqlite3.connect(desk / "home" / "cache" / FILE)) as cache:
        return cache.execute("SELECT count(*) FROM texts").fetchone()[0]


class Terminal:
    """A user's terminal in the desk's folder, with a hub at `url` and a home of its own."""

    def __init__(self, desk: Path, url: str, name: str):
        self.desk = desk
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"},
            "HF_ENDPOINT": url,
            "HF_HUB_CACHE": str(desk / f"cache-{name}"),
            "MODISTE_HOME": str(desk / "home"),
        }

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "harness.py"), *words]
        return subprocess.run(command, cwd=self.desk, env=self.environment, capture_output=True, text=True)


def test_from_nothing_to_a_verdict_with_models_of_the_real_shapes(encoders, desk, tmp_path):
    available("sd15")
    made = {"sd15": random_diffusion(tmp_path / "sd15", "sd1", half=True), **encoders}
    with loopback_hub(repositories(made)) as hub:
        modiste = Terminal(desk, hub.url, "sd15")

        # Nothing is here: the refusal names the one command that brings all of it.
        refused = modiste(*typed_in_the_readme("prompt"))
        assert refused.returncode == 2 and "`modiste get sd15 fashion-clip dinov2`" in refused.stderr

        # The download: what is used and nothing else, and every preset part is there then.
        fetched = modiste(*typed_in_the_readme("get"), "--yes")
        assert fetched.returncode == 0, fetched.stderr
        assert "2.14 GB" in fetched.stderr and not list((desk / "cache-sd15").rglob("*.bin"))
        assert re.search(r"sd15\s+ready", modiste("doctor").stdout)

    # From here on no hub answers.
    assert modiste(*typed_in_the_readme("get"), "--yes").returncode == 4
    calibrated = modiste("calibrate", "catalogue/", "--preset", "sd15")
    assert calibrated.returncode == 0, calibrated.stderr
    assert "measured on your 10 garments" in calibrated.stdout
    sentences = texts_kept(desk)
    assert sentences > 500  # of 940 that differ

    prompted = modiste(*typed_in_the_readme("prompt"), "--budget", "8", "--force", *SMALL)
    assert prompted.returncode == 0, prompted.stderr
    assert "reads the vocabulary" not in prompted.stderr and texts_kept(desk) == sentences, "it was read before"
    report = json.loads((desk / "run" / "report.json").read_text(encoding="utf-8"))
    assert "measured on your 10 garments" in json.dumps(report["calibration"]) and report["skipped"] == []
    assert (desk / "run" / "report.html").is_file() and report["images"][0]["generations"] <= 8

    training = ["--trigger", "vesper", "--steps", "2", "--batch", "1", "--config", "small.json"]
    trained = modiste("finetune", "my-brand/", "--out", "lora", "--preset", "sd15", *training)
    assert trained.returncode == 0, trained.stderr
    lora = "lora/fashion_lora_weights.safetensors"
    verified = modiste("lora", "verify", lora)
    assert verified.returncode == 0 and verified.stdout.count("192 of 192 modules") == 4

    compared = modiste(
        "compare",
        "new-photos/",
        "--tuned",
        lora,
        "--out",
        "proof",
        "--preset",
        "sd15",
        "--seeds",
        "2",
        "--force",
        *SMALL,
    )
    assert compared.returncode == 0, compared.stderr
    verdict = json.loads((desk / "proof" / "report.json").read_text(encoding="utf-8"))["verdict"]
    assert verdict["sentence"] and "Traceback" not in compared.stderr


def test_sdxl_is_fetched_searched_with_trained_and_compared(encoders, desk, tmp_path):
    available("sdxl")
    made = {"sdxl": random_diffusion(tmp_path / "sdxl", "sdxl", half=True), **encoders}
    small = [*SMALL, "--preset", "sdxl", "--dtype", "bfloat16", "--force"]
    with loopback_hub(repositories(made)) as hub:
        modiste = Terminal(desk, hub.url, "sdxl")
        fetched = modiste("get", "sdxl", "fashion-clip", "dinov2", "--yes")
        assert fetched.returncode == 0, fetched.stderr
        assert re.search(r"6\.9\d GB", fetched.stderr) and not list((desk / "cache-sdxl").rglob("*.bin"))

    prompted = modiste("prompt", "my-photos/", "--out", "run-xl", "--budget", "8", *small)
    assert prompted.returncode == 0, prompted.stderr
    assert json.loads((desk / "run-xl" / "report.json").read_text(encoding="utf-8"))["images"][0]["generations"] <= 8

    (desk / "small-xl.json").write_text(json.dumps({**TRAINING, "precision": "bf16"}))
    training = ["--trigger", "vesper", "--steps", "2", "--batch", "1", "--rank", "4", "--config", "small-xl.json"]
    trained = modiste("finetune", "my-brand/", "--out", "lora-xl", "--preset", "sdxl", *training)
    assert trained.returncode == 0, trained.stderr
    lora = "lora-xl/fashion_lora_weights.safetensors"
    verified = modiste("lora", "verify", lora)
    assert verified.returncode == 0, verified.stdout

    compared = modiste("compare", "new-photos/", "--tuned", lora, "--out", "proof-xl", "--seeds", "2", *small)
    assert compared.returncode == 0, compared.stderr
    verdict = json.loads((desk / "proof-xl" / "report.json").read_text(encoding="utf-8"))["verdict"]
    assert verdict["sentence"] and "Traceback" not in compared.stderr
