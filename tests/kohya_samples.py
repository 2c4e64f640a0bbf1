"""A small sd-scripts: a program of its name, in an environment of its own, that says what the real one says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from lora_samples import random_lora
from PIL import Image

from modiste.checkpoints.families.configs import configs_of
from modiste.checkpoints.single_file import _vae, config_folder
from modiste.trainer.config import TrainConfig, read_config
from modiste.trainer.kohya.engine import STAMP
from modiste.trainer.lora.file import write_lora
from modiste.trainer.lora.state import AdapterState, LoraModule

# FAKE says what goes wrong. Real lines of sd-scripts 48d368fa: rich's columns, two languages, tqdm's bar in one line.
TRAIN_NETWORK = """
import json, os, pathlib, shutil, signal, sys

fake = os.environ.get("FAKE", "")
lines = pathlib.Path(sys.argv[sys.argv.index("--config_file") + 1]).read_text(encoding="utf-8").splitlines()
options = {key: json.loads(value) for key, _, value in (line.partition(" = ") for line in lines)}
out, steps = pathlib.Path(options["output_dir"]), options["max_train_steps"]
here = pathlib.Path(__file__).parent
(here / "called.json").write_text(json.dumps({"options": options, "environ": dict(os.environ), "cwd": os.getcwd()}))
if fake == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

def log(text, source):
    print(f"2026-02-16 08:07:29 INFO     {text:<80}{source}:20", flush=True)

def bar(step, loss):
    share = f"{100 * step // steps:>3}%|####      |"
    sys.stderr.write(f"\\rsteps: {share} {step}/{steps} [00:0{step}<00:10,  5.03s/it, avr_loss={loss}]")
    sys.stderr.flush()

log("prepare images. / \\u753b\\u50cf\\u3092\\u6e96\\u5099\\u3057\\u307e\\u3059", "train_util.py")
log("resume training from local state", "train_util.py") if "resume" in options else None
if fake == "fails":
    sys.exit("Traceback (most recent call last):\\nRuntimeError: Failed to import x because of:\\nno module named y")
if fake == "memory":
    sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
sys.stderr.write(f"steps:   0%|          | 0/{steps} [00:00<?, ?it/s]")
loss = 0.5
for step in range(1, steps + 1):
    bar(step, loss)
    if step % options["save_every_n_steps"] == 0:
        log(f"saving state at step {step}", "train_util.py")
        (out / f"lora-step{step:08d}-state").mkdir()
        (out / f"lora-step{step:08d}-state" / "optimizer.bin").write_text(str(step))
    loss = "nan" if fake == "nan" else round(0.5 - step / 100, 3)
    bar(step, loss)
    if fake in ("waits", "deaf") and step == 3:
        signal.pause()
    if fake == "killed" and step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
if fake != "no file":
    shutil.copy(here / ("zeros.safetensors" if fake == "zeros" else "result.safetensors"), out / "lora.safetensors")
sys.stderr.write("\\n")
"""


def lay_engine(engines: Path) -> Path:
    """engines/kohya as `install.py kohya` leaves it, with the small program and the LoRAs that it will give."""
    folder = engines / "kohya"
    checkout = folder / "sd-scripts"
    checkout.mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    for script in ("train_network.py", "sdxl_train_network.py"):
        (checkout / script).write_text(TRAIN_NETWORK, encoding="utf-8")
    found = random_lora("sd1", resnets=False)
    write_lora(found, checkout / "result.safetensors", {"ss_sd_scripts_commit_hash": "abc", "ss_lowram": "None"})
    write_lora(without_effect(found), checkout / "zeros.safetensors", {}, allow_zero=True)
    (folder / STAMP).write_text(json.dumps({"version": "small"}))
    return folder


def without_effect(state: AdapterState) -> AdapterState:
    """The same adapters with B = 0, as before the first step."""
    modules = []
    for one in state.modules:
        zero = {name: 0 * tensor if name == "lora_up.weight" else tensor for name, tensor in one.tensors.items()}
        modules.append(LoraModule(one.part, one.path, one.kind, zero))
    return AdapterState(state.family, tuple(modules))


def bare_base(folder: Path, family: str = "sd1", prediction: str = "epsilon") -> Path:
    """A diffusers folder of the published build, without weights."""
    folder.mkdir(parents=True)
    return config_folder(folder, family, prediction)


def draw_photos(folder: Path, sizes: list[tuple[int, int]], captions: bool = True) -> Path:
    """Photos of given sizes, in colours of their own."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(sizes))
    for index, size in enumerate(sizes):
        picture = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        picture.resize(size, Image.Resampling.BICUBIC).save(folder / f"{index}.png")
        if captions:
            (folder / f"{index}.txt").write_text(f"dress number {index}, red, short")
    return folder


def config(base: Path, photos: Path, **asked: Any) -> TrainConfig:
    """A run of 6 steps on one of a batch, a state every second; `asked` overrides it, `data` key by key."""
    data = dict(folders=[str(photos)], resolution=64, held_out=0, held_out_least=0) | asked.pop("data", {})
    defaults: dict[str, Any] = dict(
        base=str(base), steps=6, save_every=2, batch_size=1, precision="fp32", device="cpu", network={"rank": 2}
    )
    return read_config({**defaults, **asked, "data": data})


def called(engine: Path) -> dict[str, Any]:
    """How the small program was called last: its options, environment and folder."""
    return json.loads((engine / "sd-scripts" / "called.json").read_text(encoding="utf-8"))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    found = {}
    for place, _, names in os.walk(folder):
        found |= {str(Path(place, name).relative_to(folder)): Path(place, name).read_bytes() for name in names}
    return found


def random_base(folder: Path, family: str = "sd1", prediction: str = "epsilon") -> Path:
    """The published build with random weights in float16 and transformers 4's names: 2 GB for Stable Diffusion 1."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from safetensors.torch import save_file
    from transformers import CLIPTextConfig, CLIPTextModel

    bare_base(folder, family, prediction)
    published = {**configs_of(family), "vae": _vae(family)}
    text = {key: one for key, one in published["text_encoder"].items() if key not in ("architectures", "model_type")}
    makers = {
        "unet": lambda: UNet2DConditionModel.from_config(published["unet"]),
        "vae": lambda: AutoencoderKL.from_config(published["vae"]),
        "text_encoder": lambda: CLIPTextModel(CLIPTextConfig(**text)),
    }
    torch.manual_seed(0)
    for part, make in makers.items():
        tensors = {name: tensor.half().contiguous() for name, tensor in make().state_dict().items()}
        if part == "text_encoder":
            tensors = {f"text_model.{name.removeprefix('text_model.')}": one for name, one in tensors.items()}
        name = "model" if part == "text_encoder" else "diffusion_pytorch_model"
        save_file(tensors, folder / part / f"{name}.safetensors")
    return folder
