"""What a small training needs: a base model of some thousand weights, photos with captions, and a config for both."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tiny_models import tiny_diffusion

from modiste.fashion.photos import read_photo
from modiste.progress import Progress, silent
from modiste.trainer.config import TrainConfig, read_config
from modiste.trainer.train import Run, TrainResult, _begin, train

ROOT = Path(__file__).parent.parent


def tiny_base(folder: Path, prediction: str = "epsilon") -> Path:
    """A random Stable Diffusion 1 of about 60,000 weights, in diffusers' folders."""
    tiny_diffusion(folder)
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "prediction_type": prediction}))
    return folder


def draw_photos(folder: Path, count: int = 6, masks: bool = False) -> Path:
    """Photos of 64 × 64, each with its caption, and where asked with a mask of its own size."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(count)
    for index in range(count):
        picture = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(picture).resize((64, 64), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text(f"dress number {index}, red, short")
        if masks:
            covered = np.zeros((64, 64), np.uint8)
            covered[: 16 + 8 * index, 8:40] = 255
            Image.fromarray(covered).save(folder / f"{index}-masklabel.png")
    return folder


def settings(base: Path, photos: Path, **asked: Any) -> dict[str, Any]:
    """A run of 8 steps on two of a batch, without validation; `asked` overrides it, `data` key by key."""
    data = dict(folders=[str(photos)], resolution=64, held_out=0, held_out_least=0) | asked.pop("data", {})
    defaults: dict[str, Any] = dict(
        base=str(base), steps=8, batch_size=2, learning_rate=3e-3, save_every=1000, precision="fp32", device="cpu"
    )
    return {**defaults, **asked, "data": data}


def config(base: Path, photos: Path, **asked: Any) -> TrainConfig:
    """The same, read."""
    return read_config(settings(base, photos, **asked))


def run_of(wanted: TrainConfig, out: Path) -> Run:
    """A run that has begun and taken no step, to look at its gradient."""
    from modiste.trainer.gradient import Processes

    out.mkdir(parents=True, exist_ok=True)
    return _begin(wanted, out, read_photo, None, silent, Processes())


def trained(
    wanted: TrainConfig,
    out: Path,
    progress: Callable[[Progress], None] = silent,
    stop: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """One run in this process."""
    return train(wanted, out, read_photo, progress=progress, stop=stop)


def command(config_file: Path, out: Path) -> list[str]:
    """One run in a process of its own."""
    return [sys.executable, "-m", "modiste.trainer", str(config_file), "--out", str(out)]


def finished(config_file: Path, out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same, waited for."""
    import os

    return subprocess.run(
        command(config_file, out), cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment}
    )
