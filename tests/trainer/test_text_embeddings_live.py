"""What SDXL's UNet is told of a text: by us, and by ComfyUI's and sd-scripts' own code from the same single file.

MODISTE_COMFYUI and MODISTE_COMFYUI_PYTHON name that host, SD_SCRIPTS_PATH the checkout. sd-scripts needs transformers
4 and OpenCV: a Python of its own in SD_SCRIPTS_PYTHON, or folders with them in SD_SCRIPTS_PACKAGES. The text encoders
have their published sizes and random weights, 3.3 GB; the UNet is a small one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from single_file_samples import SMALL_UNET, small_model

from modiste.checkpoints import single_file
from modiste.checkpoints.single_file import write_tokenizer

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PROMPTS = [
    "a photo of a vesper midi red dress with long sleeves",
    "",
    "café élégant, 紅色洋裝",
    "blurry, cropped, deformed, extra limbs, watermark, text",
    " ".join(["a floral print on a linen shirt with a mandarin collar,"] * 6),
]
COMFYUI = """
import json, sys
file, out, prompts = sys.argv[1:4]; sys.argv = ["main.py", "--cpu"]
import comfy.options; comfy.options.enable_args_parsing()
import torch, comfy.utils
from comfy import sdxl_clip, supported_models
from safetensors.torch import save_file
texts = {name: value for name, value in comfy.utils.load_torch_file(file).items() if name.startswith("conditioner.")}
state = supported_models.SDXL({}).process_clip_state_dict(texts)
clip = sdxl_clip.SDXLClipModel(device="cpu", dtype=torch.float32)
missing, _ = clip.load_state_dict(state, strict=False)
unused = {"clip_l.logit_scale", "clip_g.logit_scale", "clip_l.transformer.text_projection.weight"}
assert set(missing) <= unused, missing
clip.eval()
tokenizer = sdxl_clip.SDXLTokenizer()
rows = [clip.encode_token_weights(tokenizer.tokenize_with_weights(prompt))[:2] for prompt in json.loads(prompts)]
tokens, pooled = (torch.cat(column).contiguous() for column in zip(*rows))
save_file({"tokens": tokens, "pooled": pooled}, out)
"""
SD_SCRIPTS = """
import json, sys
file, out, prompts, tokenizers, root = sys.argv[1:6]
import importlib.util as u
boot = u.spec_from_file_location("modiste", f"{root}/modiste.py"); package = u.module_from_spec(boot)
sys.modules["modiste"] = package; boot.loader.exec_module(package)
from modiste.core.torchvision_ops import patch_torchvision_ops; patch_torchvision_ops()
import torch
from library import sdxl_model_util as model_util, strategy_sdxl
from safetensors.torch import save_file

class NoUnet(torch.nn.Module): pass
model_util.sdxl_original_unet.SdxlUNet2DConditionModel = NoUnet
load = model_util._load_state_dict_on_device
model_util._load_state_dict_on_device = lambda model, *more, **named: (
    "the UNet is left out" if isinstance(model, NoUnet) else load(model, *more, **named)
)
first, second, *_ = model_util.load_models_from_sdxl_checkpoint("sdxl_base_v1-0", file, "cpu")
tokenize = strategy_sdxl.SdxlTokenizeStrategy(None, tokenizers)
encode = strategy_sdxl.SdxlTextEncodingStrategy()
ids = tokenize.tokenize(json.loads(prompts))
# It takes the file's projection as it lies: the transpose of a linear layer's, as ComfyUI and diffusers read it.
second.text_projection.weight.data = second.text_projection.weight.data.T.contiguous()
with torch.no_grad():
    one_state, other_state, pooled = encode.encode_tokens(tokenize, [first.eval().float(), second.eval().float()], ids)
save_file({"tokens": torch.cat([one_state, other_state], -1).contiguous(), "pooled": pooled.contiguous()}, out)
"""


def environment(name: str) -> str:
    if not (value := os.environ.get(name)):
        pytest.skip(f"{name} is not set")
    return value


@contextmanager
def small_unet() -> Iterator[None]:
    """Inside `with`, files are made and opened with a small UNet, and all else as published."""
    published = single_file.configs_of

    def small(family):
        configs = published(family)
        return configs | {"unet": configs["unet"] | SMALL_UNET[family]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(single_file, "configs_of", small)
        yield


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """A single file of SDXL with text encoders and VAE of the published sizes."""
    if not (os.environ.get("MODISTE_COMFYUI") or os.environ.get("SD_SCRIPTS_PATH")):
        pytest.skip("neither MODISTE_COMFYUI nor SD_SCRIPTS_PATH is set")
    with small_unet():
        return small_model(tmp_path_factory.mktemp("sdxl") / "model", "sdxl")[1]


@pytest.fixture(scope="module")
def ours(file):
    """The trainer's own embeddings of the file."""
    import torch

    from modiste.trainer.model.base_model import open_base
    from modiste.trainer.model.text_encoding import encode

    with small_unet(), torch.no_grad():
        return encode(open_base(str(file), torch.float32, "cpu"), PROMPTS)


def apart(found, expected) -> tuple[float, float]:
    """Least cosine over prompts and tokens, and the largest difference as a share of the largest value."""
    import torch

    cosines = torch.nn.functional.cosine_similarity(found.double(), expected.double(), dim=-1)
    return float(cosines.min()), float((found - expected).abs().max() / expected.abs().max())


def compared(ours, out: Path) -> None:
    from safetensors.torch import load_file

    theirs = load_file(out)
    for name in ("tokens", "pooled"):
        assert ours[name].shape == theirs[name].shape
        cosine, difference = apart(ours[name], theirs[name])
        print(f"{out.stem} {name}: least cosine {cosine:.7f}, largest difference {difference:.1e}")
        assert cosine >= 0.9999, name


@pytest.mark.comfyui
def test_an_sdxl_files_texts_are_those_of_comfyui(file, ours, tmp_path):
    checkout, python = environment("MODISTE_COMFYUI"), os.environ.get("MODISTE_COMFYUI_PYTHON", sys.executable)
    out = tmp_path / "comfyui.safetensors"
    words = [python, "-c", COMFYUI, str(file), str(out), json.dumps(PROMPTS)]
    subprocess.run(words, cwd=checkout, check=True, env=os.environ | {"PYTHONPATH": checkout})
    compared(ours, out)


@pytest.mark.kohya
def test_an_sdxl_files_texts_are_those_of_sd_scripts(file, ours, tmp_path):
    checkout, python = environment("SD_SCRIPTS_PATH"), os.environ.get("SD_SCRIPTS_PYTHON", sys.executable)
    for name in ("openai_clip-vit-large-patch14", "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k"):
        write_tokenizer(tmp_path / name)
    out = tmp_path / "sd-scripts.safetensors"
    words = [python, "-c", SD_SCRIPTS, str(file), str(out), json.dumps(PROMPTS), str(tmp_path), str(ROOT)]
    path = os.environ.get("SD_SCRIPTS_PACKAGES", "")
    subprocess.run(words, cwd=checkout, check=True, env=os.environ | {"PYTHONPATH": path})
    compared(ours, out)
