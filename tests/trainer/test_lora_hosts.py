"""The programs' own code reads our files: ComfyUI, A1111, Forge and sd-scripts, each from a checkout.

Each runs in a process of its own in its checkout, with this environment's libraries: none of them is started, and
models have no weights. What stands in for A1111's and Forge's other modules is named in their scripts. sd-scripts and
ComfyUI need `einops` beside our libraries.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import lora_host_code
import pytest
from lora_samples import random_lora

from modiste.trainer.lora.file import write_lora
from modiste.trainer.lora.targets import targets_of
from modiste.trainer.lora.verify import comfyui_names

ROOT = Path(__file__).parents[2]
KINDS = [("sd1", "lora"), ("sd1", "dora"), ("sd1", "loha"), ("sd1", "lokr"), ("sd2", "lora"), ("sdxl", "lora")]

COMMON = """
import json, logging, sys, types
from pathlib import Path
import torch
from modiste.core.torchvision_ops import patch_torchvision_ops
patch_torchvision_ops()
from modiste.trainer.lora.names import kohya_name, sgm_path, open_clip_path
from modiste.trainer.lora.state import delta_weight
from modiste.trainer.lora.file import read_lora
from modiste.trainer.lora.targets import empty_model, targets_of

lora, family, every = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sys.argv = ["main.py", "--cpu"]
targets, state = targets_of(family), read_lora(lora)
generator = torch.Generator().manual_seed(1)

def expected(module, weight):
    "What we say that this program makes of DoRA by rows: it divides by the base's norms."
    if not module.dora:
        return delta_weight(module, weight)
    tensors = {name: one for name, one in module.tensors.items() if name != "dora_scale"}
    delta = delta_weight(type(module)(module.part, module.path, module.kind, tensors), weight)
    norm = weight.flatten(1).norm(dim=1).reshape(module.tensors["dora_scale"].shape)
    return (weight + delta) * module.tensors["dora_scale"] / norm - weight

def worst(theirs):
    "The largest relative error of their W + delta W, on every n-th module."
    errors = []
    for module in state.modules[::every]:
        weight = torch.randn(targets.shapes[module.part][module.path], generator=generator) * 0.03
        ours = expected(module, weight)
        errors.append(float((theirs(module, weight.clone()) - weight - ours).norm() / ours.norm()))
    return max(errors)
"""

COMFYUI = f"""{COMMON}{lora_host_code.COMFYUI}
names = comfy.lora.model_lora_keys_clip(clip, comfy.lora.model_lora_keys_unet(model, {{}}))
patches = comfy.lora.load_lora(comfy.utils.load_torch_file(str(lora), safe_load=True), names)

def theirs(module, weight):
    key = names[kohya_name(family, module.part, module.path)]
    return comfy.lora.calculate_weight([(1.0, patches[key], 1.0, None, None)], weight, key)

left = [text for text in said if "not loaded" in text]
print(json.dumps(dict(applied=len(patches), left=left, worst=worst(theirs), names=sorted(names))))
"""

A1111 = f"""{COMMON}{lora_host_code.A1111}

said = []
logging.getLogger().setLevel(logging.DEBUG)
logging.getLogger().addHandler(types.SimpleNamespace(level=0, handle=lambda record: said.append(record.getMessage())))
net = networks.load_network("ours", types.SimpleNamespace(filename=str(lora)))
by_name = {{one.network_key.partition(".")[0]: one for one in net.modules.values()}}

def theirs(module, weight):
    updown, _ = by_name[kohya_name(family, module.part, module.path)].calc_updown(weight)
    return weight + updown

left = [text for text in said if "didn't match" in text]
print(json.dumps(dict(applied=len(net.modules), left=left, worst=worst(theirs))))
"""

FORGE = f"""{COMMON}{lora_host_code.FORGE}
patches, left = forge.load_lora(safetensors.torch.load_file(lora), names)

def theirs(module, weight):
    patch = patches[names[kohya_name(family, module.part, module.path)]]
    return forge.merge_lora_to_weight([(1.0, patch, 1.0, None, None)], weight)

with torch.inference_mode():
    print(json.dumps(dict(applied=len(patches), left=sorted(left), worst=worst(theirs))))
"""

SD_SCRIPTS = f"""{COMMON}
sys.modules["cv2"] = types.ModuleType("cv2")
from networks.lora import create_network_from_weights

class CLIP(torch.nn.Module):  # transformers 4's, whose names begin with text_model
    def __init__(self, part):
        super().__init__()
        inner = empty_model(part, targets.configs[part])
        self.text_model = getattr(inner, "text_model", inner)

config = targets.configs["unet"]
with torch.device("meta"):
    if family == "sdxl":
        from library.sdxl_original_unet import SdxlUNet2DConditionModel
        unet = SdxlUNet2DConditionModel()
    else:
        from library.original_unet import UNet2DConditionModel
        heads, width = config["attention_head_dim"], config["cross_attention_dim"]
        unet = UNet2DConditionModel(64, heads, width, family == "sd2", False)
    texts = [CLIP(part) for part in targets.configs if part != "unet"]
    texts = texts if family == "sdxl" else texts[0]
network, tensors = create_network_from_weights(1.0, str(lora), None, texts, unet)
network.apply_to(texts, unet)
info = network.load_state_dict(tensors, False)
by_name = {{one.lora_name: one for one in network.unet_loras + network.text_encoder_loras}}

def theirs(module, weight):
    one = by_name[kohya_name(family, module.part, module.path)]
    product = (one.lora_up.weight.flatten(1) @ one.lora_down.weight.flatten(1)).reshape(weight.shape)
    return weight + one.scale * product

with torch.inference_mode():
    left = list(info.missing_keys) + list(info.unexpected_keys)
    print(json.dumps(dict(applied=len(by_name), left=left, worst=worst(theirs))))
"""


def ask(script: str, folder: Path, lora: Path, family: str, every: int) -> dict:
    """What the program at `folder` made of the file, as its script prints it."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", script, str(lora), family, str(every)]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, encoding="utf-8", timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def checkout(variable: str) -> Path:
    """The folder that an environment variable names."""
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set")
    return Path(os.environ[variable])


def written(folder: Path, family: str, kind: str) -> tuple[Path, int]:
    """A random LoRA's file and the number of its modules."""
    state, path = random_lora(family, kind), folder / f"{family}-{kind}.safetensors"
    write_lora(state, path, {"ss_v2": str(family == "sd2")})
    return path, len(state.modules)


@pytest.mark.comfyui
@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_comfyui_leaves_no_key_over_and_adds_what_we_add(family, kind, tmp_path):
    folder = checkout("MODISTE_COMFYUI")
    path, modules = written(tmp_path, family, kind)
    seen = ask(COMFYUI, folder, path, family, every=7)
    assert (seen["applied"], seen["left"]) == (modules, [])
    assert seen["worst"] <= 1e-3
    assert set(comfyui_names(targets_of(family))) <= set(seen["names"])


@pytest.mark.parametrize(("family", "kind"), [one for one in KINDS if one[1] != "dora"])
def test_a1111_matches_every_key_and_adds_what_we_add(family, kind, tmp_path):
    folder = checkout("A1111_PATH") / "extensions-builtin" / "Lora"
    path, modules = written(tmp_path, family, kind)
    seen = ask(A1111, folder, path, family, every=7)
    assert (seen["applied"], seen["left"]) == (modules, [])
    assert seen["worst"] <= 1e-3


def test_a1111_makes_something_else_of_dora_by_rows(tmp_path):
    folder = checkout("A1111_PATH") / "extensions-builtin" / "Lora"
    path, _ = written(tmp_path, "sd1", "dora")
    assert ask(A1111, folder, path, "sd1", every=7)["worst"] > 0.5


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_forge_leaves_no_key_over_and_adds_what_we_add(family, kind, tmp_path):
    folder = checkout("FORGE_PATH")
    path, modules = written(tmp_path, family, kind)
    seen = ask(FORGE, folder, path, family, every=7)
    assert (seen["applied"], seen["left"]) == (modules, [])
    assert seen["worst"] <= 1e-3


@pytest.mark.kohya
@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_sd_scripts_makes_the_same_network_of_our_file(family, tmp_path):
    folder = checkout("SD_SCRIPTS_PATH")
    path, modules = written(tmp_path, family, "lora")
    seen = ask(SD_SCRIPTS, folder, path, family, every=7)
    assert (seen["applied"], seen["left"]) == (modules, [])
    assert seen["worst"] <= 1e-3
