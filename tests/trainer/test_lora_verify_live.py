"""`lora verify` against the hosts themselves, over files that other trainers have written: no disagreement.

MODISTE_COMFYUI, A1111_PATH, FORGE_PATH and SD_SCRIPTS_PATH name checkouts; lycoris-lora, toml and einops are installed.
MODISTE_RECORD=1 with -s prints the table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lora_host_code
import pytest
from fresh_process import python_environment
from safetensors.torch import load_file

from modiste.core.errors import InputError
from modiste.trainer.lora.groups import grouped
from modiste.trainer.lora.verify import verify

CHECKOUTS = ("MODISTE_COMFYUI", "A1111_PATH", "FORGE_PATH", "SD_SCRIPTS_PATH")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(os.environ.get(variable) for variable in CHECKOUTS), reason=f"needs {', '.join(CHECKOUTS)}"
    ),
]

COMMON = """
import json, logging, sys, types
from pathlib import Path
import torch
from modiste.core.torchvision_ops import patch_torchvision_ops
patch_torchvision_ops()
from safetensors.torch import load_file
from modiste.trainer.lora.names import sgm_path, open_clip_path
from modiste.trainer.lora.groups import grouped
from modiste.trainer.lora.targets import empty_model, targets_of

folder, family = Path(sys.argv[1]), "sd1"
lora = folder
sys.argv = ["main.py", "--cpu"]
targets = targets_of(family)
generator = torch.Generator().manual_seed(1)

def before(weights, name, shape):
    "The weight that the file's own trainer adapted, else any."
    return weights.get(f"org:{name}", 0.03 * torch.randn(tuple(shape), generator=generator)).clone()

def outcome(weights, name, old, new):
    "Whether the weight changed, and whether to what the trainer makes of it."
    if new.shape != old.shape or torch.equal(new, old):
        return {}
    merged = weights.get(f"merged:{name}")
    error = None if merged is None else float((new - merged).norm() / (merged - old).norm())
    return {name: error}

def every_file(read):
    for file in sorted(folder.glob("*.safetensors")):
        tensors, expected = load_file(file), file.with_suffix(".weights")
        weights = load_file(expected) if expected.exists() else {}
        of = {key: group.name for group in grouped(tensors).values() for key in group.keys}
        try:
            yield file.stem, read(file, tensors, weights, of)
        except Exception as error:
            yield file.stem, dict(refused=f"{type(error).__name__}: {error}"[:200], applied={})

with torch.no_grad():
    results = {}
"""

COMFYUI = (
    COMMON
    + lora_host_code.COMFYUI
    + """
import comfy.lora_convert
names = comfy.lora.model_lora_keys_clip(clip, comfy.lora.model_lora_keys_unet(model, {}))
shapes = {key: tensor.shape for part in (model, clip) for key, tensor in part.state_dict().items()}

def read(file, tensors, weights, of):
    patches = comfy.lora.load_lora(comfy.lora_convert.convert_lora(dict(tensors)), names)
    applied = {}
    for name in set(of.values()):
        if names.get(name) in patches:
            key, count = names[name], len(said)
            old = before(weights, name, shapes[key])
            new = comfy.lora.calculate_weight([(1.0, patches[key], 1.0, None, None)], old.clone(), key)
            applied |= outcome(weights, name, old, new) if not said[count:] else {}
    return dict(refused=None, applied=applied)

print(json.dumps(dict(every_file(read))))
"""
)

A1111 = (
    COMMON
    + lora_host_code.A1111
    + """
networks.extra_network_lora = types.SimpleNamespace(errors={})
networks.textual_inversion.create_embedding_from_data = lambda *_, **__: types.SimpleNamespace()
networks.shared.opts = types.SimpleNamespace(lora_bundled_ti_to_infotext=True)

def read(file, tensors, weights, of):
    net = networks.load_network(file.stem, types.SimpleNamespace(filename=str(file)))
    networks.loaded_networks[:] = [net]
    applied = {}
    for module in net.modules.values():
        name, layer = of[module.network_key], module.sd_module
        layer.to_empty(device="cpu")
        layer.network_current_names, layer.network_weights_backup, layer.network_bias_backup = (), None, None
        old = before(weights, name, layer.weight.shape)
        layer.weight.copy_(old)
        networks.network_apply_weights(layer)
        applied |= outcome(weights, name, old, layer.weight.detach())
        layer.to("meta")
    return dict(refused=None, applied=applied)

with torch.no_grad():
    print(json.dumps(dict(every_file(read))))
"""
)

FORGE = (
    COMMON
    + lora_host_code.FORGE
    + """
shapes = {**unet.names, **clip.names}

def read(file, tensors, weights, of):
    patches, left = forge.load_lora(tensors, names)
    if len(left) > 12:  # extensions-builtin/sd_forge_lora/networks.py, load_lora_for_models
        return dict(refused=f"{len(left)} keys are left over", applied={})
    applied = {}
    for name in set(of.values()):
        if names.get(name) in patches:
            old = before(weights, name, shapes[names[name]])
            new = forge.merge_lora_to_weight([(1.0, patches[names[name]], 1.0, None, None)], old.clone())
            applied |= outcome(weights, name, old, new)
    return dict(refused=None, applied=applied)

print(json.dumps(dict(every_file(read))))
"""
)

DIFFUSERS = (
    COMMON
    + """
from diffusers import DDPMScheduler, StableDiffusionPipeline
from transformers import CLIPTokenizer

def read(file, tensors, weights, of):
    parts = {part: empty_model(part, config) for part, config in targets.configs.items()}
    pipeline = StableDiffusionPipeline(
        vae=None, tokenizer=None, scheduler=DDPMScheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False, **parts)
    pipeline.load_lora_weights(str(file.parent), weight_name=file.name)
    layers = [name for part in parts.values() for name, layer in part.named_modules() if getattr(layer, "lora_A", None)]
    return dict(refused=None, applied=dict.fromkeys(layers))

print(json.dumps(dict(every_file(read))))
"""
)


def answer(script: str, folder: Path, files: Path) -> dict[str, Any]:
    """What a host's own code makes of each file: `refused`, and `applied`: module → its error, None where not known."""
    return json.loads(run_in(folder, "-c", script, str(files)).splitlines()[-1])


def run_in(folder: Path, *words: str) -> str:
    """What Python prints in a checkout, with our modules and those that PYTHONPATH names already."""
    ours = python_environment()
    paths = filter(None, (ours["PYTHONPATH"], os.environ.get("PYTHONPATH")))
    environment = {**ours, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=1800
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """All files, or those in the folder that MODISTE_FOREIGN_LORAS names."""
    if os.environ.get("MODISTE_FOREIGN_LORAS"):
        return Path(os.environ["MODISTE_FOREIGN_LORAS"])
    folder = tmp_path_factory.mktemp("foreign")
    run_in(Path(os.environ["SD_SCRIPTS_PATH"]), "-m", "foreign_loras", str(folder))
    return folder


HOSTS = {
    "A1111": (A1111, "A1111_PATH", "extensions-builtin/Lora"),
    "Forge": (FORGE, "FORGE_PATH", ""),
    "ComfyUI": (COMFYUI, "MODISTE_COMFYUI", ""),
    "diffusers": (DIFFUSERS, "SD_SCRIPTS_PATH", ""),
}
EXACT = 0.02


@pytest.mark.parametrize("host", HOSTS)
def test_verify_says_of_each_file_what_the_host_makes_of_it(host, files):
    script, variable, inner = HOSTS[host]
    answers = answer(script, Path(os.environ[variable]) / inner, files)
    disagreements = []
    for name, made in answers.items():
        file, modules = files / f"{name}.safetensors", len(grouped(load_file(files / f"{name}.safetensors")))
        try:
            report = {report.reader: report for report in verify(file)}[host]
        except InputError as error:
            disagreements.append(f"{name}: {error}")
            continue
        errors = [error for error in made["applied"].values() if error is not None]
        inexact = max(errors, default=0.0) > EXACT
        said, real = report.applied, len(made["applied"])
        mark = "" if report.ok else " ✗"
        worst = f"{max(errors):.3g}" if errors else ""
        columns = (host, name, modules, f"{said}{mark}", real, worst, "; ".join(report.notes), made["refused"] or "")
        line = " | ".join(map(str, columns))
        if os.environ.get("MODISTE_RECORD"):
            print(line)
        if said != real or (report.ok and (real < modules or inexact)) or (inexact and not report.notes):
            disagreements.append(line)
    assert not disagreements, "\n".join(disagreements)
