"""Each trainer's command for the same job: Modiste's own, and two scripts of others as they are, from their checkouts.

Theirs are asked for what costs them least: sd-scripts keeps latents (`--cache_latents`) and trains the UNet alone with
torch's own attention (`--sdpa`); diffusers' example has no cache, and adapts the 128 attention projections where the
others adapt 192 layers.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
LEARNING_RATE = "1e-4"


@dataclass(frozen=True)
class TrainingTask:
    """What is trained: a LoRA on attention, from a diffusers folder, on the photos of a folder with captions."""

    base: Path
    photos: Path  # NAME.jpg and NAME.txt
    steps: int
    rank: int = 16
    resolution: int = 256  # pixels
    batch: int = 1
    precision: str = "fp32"  # fp32 | bf16 | auto, which is the plan's choice and Modiste's alone
    device: str = "cpu"


@dataclass(frozen=True)
class Way:
    """How one trainer is started, and how its steps are read from what it prints."""

    name: str
    steps: bytes  # pattern whose first group counts the steps that are done
    command: Callable[[TrainingTask, Path, Path], list[str]]  # job, checkout, empty folder → what to start
    variable: str = ""  # that names its checkout; none: ours
    script: str = ""  # in the checkout

    def missing(self, checkout: Path | None) -> str:
        """Why it can't run; empty where it can."""
        if self.variable and checkout is None:
            return f"{self.variable} names no checkout"
        if self.variable and not (checkout / self.script).is_file():
            return f"there is no {self.script} in {checkout}"
        return ""

    def environment(self, job: TrainingTask, checkout: Path, threads: int) -> dict[str, str]:
        """That of this process, offline, with its threads counted and the script's neighbours importable."""
        count = str(threads)
        path = [str((checkout / self.script).parent)] if self.script else []
        path += [part for part in (os.environ.get("PYTHONPATH"), str(ROOT)) if part]
        more = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count)
        more |= {"PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
        return {**os.environ, **more, **({"CUDA_VISIBLE_DEVICES": ""} if job.device == "cpu" else {})}


def modiste(job: TrainingTask, checkout: Path, folder: Path) -> list[str]:
    """`python -m modiste.trainer`, without validation, as the others have none."""
    data = dict(folders=[str(job.photos)], resolution=job.resolution, buckets=False, held_out=0, held_out_least=0)
    config = dict(
        base=str(job.base),
        data=data,
        network=dict(rank=job.rank, alpha=job.rank),
        steps=job.steps,
        batch_size=job.batch,
        precision=job.precision,
        device=job.device,
        save_every=job.steps,
        learning_rate=float(LEARNING_RATE),
    )
    (folder / "config.json").write_text(json.dumps(config))
    return [sys.executable, "-m", "modiste.trainer", str(folder / "config.json"), "--out", str(folder / "out")]


def diffusers_example(job: TrainingTask, checkout: Path, folder: Path) -> list[str]:
    """`accelerate launch` would start the same file; with one process it adds nothing."""
    images = folder / "images"
    images.mkdir()
    with (images / "metadata.jsonl").open("w") as lines:
        for photo, caption in captioned(job.photos).items():
            shutil.copy(photo, images)
            lines.write(json.dumps({"file_name": photo.name, "text": caption}) + "\n")
    return [
        *launched(DIFFUSERS, checkout),
        f"--pretrained_model_name_or_path={job.base}",
        f"--train_data_dir={images}",
        f"--cache_dir={folder / 'cache'}",
        f"--output_dir={folder / 'out'}",
        f"--resolution={job.resolution}",
        f"--train_batch_size={job.batch}",
        f"--max_train_steps={job.steps}",
        f"--checkpointing_steps={job.steps + 1}",
        f"--rank={job.rank}",
        f"--learning_rate={LEARNING_RATE}",
        f"--mixed_precision={_mixed(job)}",
        "--lr_warmup_steps=0",
        "--seed=0",
        "--report_to=all",  # that are installed: none
    ]


def sd_scripts(job: TrainingTask, checkout: Path, folder: Path) -> list[str]:
    """`train_network.py` on folders as it wants them, REPEATS_NAME, with the base's tokenizer, as no hub is asked."""
    images, tokenizers = folder / "images" / f"{job.steps}_photos", folder / "tokenizers"
    images.mkdir(parents=True)
    for photo, caption in captioned(job.photos).items():
        shutil.copy(photo, images)
        (images / photo.name).with_suffix(".txt").write_text(caption)
    shutil.copytree(job.base / "tokenizer", tokenizers / "openai_clip-vit-large-patch14")
    return [
        *launched(SD_SCRIPTS, checkout),
        f"--pretrained_model_name_or_path={job.base}",
        f"--train_data_dir={images.parent}",
        f"--tokenizer_cache_dir={tokenizers}",
        f"--output_dir={folder / 'out'}",
        f"--resolution={job.resolution},{job.resolution}",
        f"--train_batch_size={job.batch}",
        f"--max_train_steps={job.steps}",
        f"--network_dim={job.rank}",
        f"--network_alpha={job.rank}",
        f"--learning_rate={LEARNING_RATE}",
        f"--mixed_precision={_mixed(job)}",
        "--network_module=networks.lora",
        "--network_train_unet_only",
        "--optimizer_type=AdamW",
        "--caption_extension=.txt",
        "--save_model_as=safetensors",
        "--max_data_loader_n_workers=0",
        "--seed=0",
        "--cache_latents",
        "--sdpa",
    ]


def _mixed(job: TrainingTask) -> str:
    return "no" if job.precision == "fp32" else job.precision


def launched(way: Way, checkout: Path) -> list[str]:
    """By the rival's own Python, where its variable names one, and through the launcher, which heals torchvision."""
    python = os.environ.get(way.variable.replace("_PATH", "_PYTHON"), sys.executable)
    return [python, "-m", "modiste.bench.train_launch", str(checkout / way.script)]


def captioned(photos: Path) -> Mapping[Path, str]:
    """Photo → its caption."""
    return {photo: photo.with_suffix(".txt").read_text().strip() for photo in sorted(photos.glob("*.jpg"))}


MODISTE = Way("Modiste", rb'"stage": "train", "done": (\d+)', modiste)
DIFFUSERS = Way(
    "diffusers' train_text_to_image_lora.py",
    rb"Steps:.*?(\d+)/\d+",
    diffusers_example,
    "DIFFUSERS_PATH",
    "examples/text_to_image/train_text_to_image_lora.py",
)
SD_SCRIPTS = Way(
    "sd-scripts' train_network.py", rb"steps:.*?(\d+)/\d+", sd_scripts, "SD_SCRIPTS_PATH", "train_network.py"
)
