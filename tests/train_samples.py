"""What a small training needs: a base model of some thousand weights, photos with captions, and a config for both."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from modiste.core.errors import Stopped
from modiste.core.progress import Progress, silent
from modiste.core.torchvision_ops import patch_torchvision_ops
from modiste.fashion.photos import read_photo
from modiste.mini.tokenizer import save_tokenizer
from modiste.trainer.config import TrainConfig, read_config
from modiste.trainer.data.sampler import BatchSampler
from modiste.trainer.loop import memory_plan as plan
from modiste.trainer.loop.checkpoint import MANIFEST, verify, whole_checkpoints
from modiste.trainer.loop.processes import Processes
from modiste.trainer.model.base_model import open_base
from modiste.trainer.results import TrainResult
from modiste.trainer.run import CHECKPOINTS, TrainingRun
from modiste.trainer.train import begin_run, train

SCALED_LINEAR = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
ROOT = Path(__file__).parent.parent
patch_torchvision_ops()
plan.PEAK_SECONDS = 0.001  # no test asks how fast this machine is


def tiny_base(folder: Path, prediction: str = "epsilon", blocks: int = 2) -> Path:
    """A random Stable Diffusion 1 of some thousand weights, in diffusers' folders; its UNet has 1 or 2 `blocks`."""
    from diffusers import PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    tokenizer = save_tokenizer(folder / "tokenizer")
    torch.manual_seed(0)
    StableDiffusionPipeline(
        vae=_vae(),
        unet=UNet2DConditionModel(
            sample_size=8,
            layers_per_block=1,
            block_out_channels=(16, 32)[:blocks],
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D")[:blocks],
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D")[-blocks:],
            attention_head_dim=4,
            cross_attention_dim=16,
            norm_num_groups=8,
        ),
        text_encoder=CLIPTextModel(_text(tokenizer, 2)),
        tokenizer=tokenizer,
        scheduler=PNDMScheduler(**SCALED_LINEAR, skip_prk_steps=True, prediction_type=prediction),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def tiny_xl(folder: Path) -> Path:
    """A random Stable Diffusion XL of some thousand weights, with the published one's blocks."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    tokenizer = save_tokenizer(folder / "tokenizer")
    torch.manual_seed(0)
    StableDiffusionXLPipeline(
        vae=_vae(scaling_factor=0.13025),
        unet=UNet2DConditionModel(
            sample_size=8,
            layers_per_block=2,
            block_out_channels=(8, 8, 16),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=1,
            attention_head_dim=4,
            cross_attention_dim=16 + 16,
            norm_num_groups=4,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=4,
            projection_class_embeddings_input_dim=6 * 4 + 24,
        ),
        text_encoder=CLIPTextModel(_text(tokenizer, 3)),
        text_encoder_2=CLIPTextModelWithProjection(_text(tokenizer, 3)),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        scheduler=EulerDiscreteScheduler(**SCALED_LINEAR),
        add_watermarker=False,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def _vae(**more: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        latent_channels=4,
        sample_size=64,
        norm_num_groups=4,
        block_out_channels=(4, 4, 4, 4),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        **more,
    )


def _text(tokenizer: Any, layers: int) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        projection_dim=24,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


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


def run_of(wanted: TrainConfig, out: Path) -> TrainingRun:
    """A run that has begun and taken no step, to look at its gradient."""
    out.mkdir(parents=True, exist_ok=True)
    return begin_run(wanted, out, read_photo, None, silent, Processes())


def trained(
    wanted: TrainConfig,
    out: Path,
    progress: Callable[[Progress], None] = silent,
    stop: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """One run in this process."""
    return train(wanted, out, read_photo, progress=progress, stop=stop)


def stop_at(step: int, wanted: TrainConfig, out: Path) -> None:
    """Begins or goes on with a run, and stops it behind a step."""
    done = [0]  # a step asks whether to stop before it is reported

    def take(now: Progress) -> None:
        done.extend([now.done] if now.stage == "train" else [])

    try:
        trained(wanted, out, take, lambda: done[-1] == step - 1)
    except Stopped as stopped:
        assert f"stopped at step {step} of" in str(stopped)
        return
    raise AssertionError(f"the run in {out} was not stopped at step {step}")


def command(config_file: Path, out: Path) -> list[str]:
    """One run in a process of its own."""
    return [sys.executable, "-m", "modiste.trainer", str(config_file), "--out", str(out)]


def kill_often(config_file: str, out: str, kills: int, seed: int) -> None:
    """Runs a training in processes that are killed at random instants until `kills` of them are, and then to its end.

    For a process of its own: it forks, so that only the first process has to import the libraries.
    """
    wanted, chosen, folder = read_config(Path(config_file)), random.Random(seed), Path(out)
    open_base(wanted.base, torch.float32, "cpu")
    killed, within, whole = 0, 0, True
    while True:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            _train_and_exit(wanted, folder, writing)
        os.close(writing)
        if killed < kills:
            for _ in range(chosen.randint(2, 6)):  # begun, and some steps more
                os.read(reading, 1)
            time.sleep(chosen.uniform(0, 0.1))  # an instant anywhere in the steps and saves that come then
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        os.close(reading)
        if os.WIFEXITED(status):
            break
        killed += 1
        kept = whole_checkpoints(folder / CHECKPOINTS)
        whole = whole and (not kept or verify(kept[-1]) is not None)
        steps = [one for one in (folder / CHECKPOINTS).glob("step-*") if not (one / MANIFEST).is_file()]
        within += bool(steps)
    print(json.dumps({"kills": killed, "within a save": within, "always whole": whole}))
    sys.exit(os.WEXITSTATUS(status))


def _train_and_exit(wanted: TrainConfig, folder: Path, writing: int) -> None:
    """What the child does; a byte into the pipe at each step."""
    code = 1
    try:
        trained(wanted, folder, lambda now: os.write(writing, b"." * (now.stage == "train")))
        code = 0
    finally:
        os._exit(code)


def in_processes(rank: int, world: int, port: int, config_file: str, out: str) -> None:
    """One process of `world`, as `accelerate launch` would start it: a gradient of each batch, then the whole run."""
    os.environ |= dict(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), LOCAL_WORLD_SIZE=str(world))
    os.environ |= dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1")
    torch.set_num_threads(1)
    wanted, folder = read_config(Path(config_file)), Path(out)
    said: list[str] = []
    result = trained(wanted, folder / "run", lambda now: said.append(now.stage))
    processes = Processes.of_launch("cpu")
    folder.joinpath(f"said-{rank}.json").write_text(json.dumps([processes.rank, processes.world, len(said)]))
    (folder / "looked at").mkdir(exist_ok=True)
    run = begin_run(wanted, folder / "looked at", read_photo, None, silent, processes)
    save_file(gradients(run), folder / f"gradients-{rank}.safetensors")
    weights = {name: p.detach() for name, p in run.model.parameters.items()}
    save_file(weights, folder / f"weights-{rank}.safetensors")
    assert result.record["steps"] == wanted.steps
    if world > 1:
        torch.distributed.destroy_process_group()


def gradients(run: TrainingRun) -> dict[str, torch.Tensor]:
    """Of the first epoch's batches by their positions, at weights that are the same wherever it is asked; `losses`."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in run.model.parameters.values():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    found, losses = {}, []
    for batch in BatchSampler(run.data.samples, run.plan.batch_size, run.config.seed).epoch(0):
        for parameter in run.model.parameters.values():
            parameter.grad = None
        losses.append(float(run.gradient(batch)))
        found[str(batch.position)] = torch.cat([p.grad.flatten() for p in run.model.parameters.values()])
    held_out = run.gradient.validation_losses(run.data.held_out)
    return {**found, "losses": torch.tensor(losses), "held out": torch.tensor(held_out)}
