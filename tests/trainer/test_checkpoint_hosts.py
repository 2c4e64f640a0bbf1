"""ComfyUI's own code opens the single file of a full fine-tune and computes what diffusers does of the same weights.

It runs in a process of its own in its checkout, with its own Python where there is one. The models are random, of the
published sizes: SD 1 and 2 take 2 GB of disk each, SDXL 7 GB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from modiste.checkpoints.families.configs import configs_of
from modiste.checkpoints.single_file import _vae, config_folder
from modiste.core.torchvision_ops import patch_torchvision_ops
from modiste.trainer.lora.targets import empty_model
from modiste.trainer.model.checkpoint_file import write_checkpoint
from modiste.trainer.model.text_encoding import encode, token_ids

patch_torchvision_ops()
WORDS = "a red dress with long sleeves"

COMFYUI = """
import json, sys
file, given = sys.argv[1:]
sys.argv = ["main.py", "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
import torch
from safetensors.torch import load_file
import comfy.sd

given = load_file(given)
with torch.inference_mode():
    patcher, clip, vae, _ = comfy.sd.load_checkpoint_guess_config(file, output_vae=True, output_clip=True)
    unet = patcher.model.diffusion_model.float()
    noise_pred = unet(given["latents"], given["timesteps"], context=given["context"], y=given.get("vector"))
    clip.cond_stage_model.float()
    tokens, pooled = clip.encode_from_tokens(clip.tokenize("WORDS"), return_pooled=True)
    pixels = vae.first_stage_model.float().decode(given["latents"])

def apart(name, theirs):
    return float((given[name] - theirs).norm() / given[name].norm())

print(json.dumps(dict(
    model=type(patcher.model).__name__, prediction=patcher.model.model_type.name,
    noise_pred=apart("noise_pred", noise_pred), tokens=apart("tokens", tokens), pixels=apart("pixels", pixels))))
""".replace("WORDS", WORDS)


def random_model(family: str, folder: Path, prediction: str) -> SimpleNamespace:
    """A published model's parts in float16, random and tame."""
    from diffusers import AutoencoderKL, DDPMScheduler
    from transformers import CLIPTokenizer

    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        vae = AutoencoderKL.from_config(_vae(family))
    parts = {"vae": vae, **{part: empty_model(part, values) for part, values in configs_of(family).items()}}
    for part in parts.values():
        part.half().to_empty(device="cpu").eval()
        for name, tensor in part.state_dict().items():
            fresh = 0.02 * torch.randn(tensor.shape, generator=generator)
            tensor.copy_(1 + fresh if "norm" in name and name.endswith("weight") else fresh)
        for module in part.modules():  # a buffer that no file has
            if hasattr(module, "position_ids"):
                module.position_ids = torch.arange(77)[None]
    configs = config_folder(folder, family, prediction)
    tokenizers = {path.name: CLIPTokenizer.from_pretrained(path) for path in sorted(configs.glob("tokenizer*"))}
    return SimpleNamespace(**parts, **tokenizers, scheduler=DDPMScheduler(prediction_type=prediction))


def said_by_diffusers(pipeline: SimpleNamespace, family: str) -> dict[str, torch.Tensor]:
    """Fixed inputs, and what the parts make of them in float32."""
    generator = torch.Generator().manual_seed(1)
    width = configs_of(family)["unet"]["cross_attention_dim"]
    given = {
        "latents": torch.randn((1, 4, 8, 8), generator=generator),
        "context": torch.randn((1, 77, width), generator=generator),
        "timesteps": torch.tensor([500]),
    }
    xl = {}
    if family == "sdxl":
        pooled, ids = torch.randn((1, 1280), generator=generator), torch.tensor([[512.0, 512, 0, 0, 512, 512]])
        xl = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": ids}}
        sizes = pipeline.unet.float().add_time_proj(ids.flatten()).reshape(1, -1)
        given["vector"] = torch.cat([pooled, sizes], -1)
    encoders = [part for name in ("text_encoder", "text_encoder_2") if (part := getattr(pipeline, name, None))]
    tokenizers = [part for name in ("tokenizer", "tokenizer_2") if (part := getattr(pipeline, name, None))]
    base = SimpleNamespace(family=family, text_encoders=[e.float() for e in encoders], tokenizers=tokenizers)
    with torch.inference_mode():
        unet = pipeline.unet.float()
        given["noise_pred"] = unet(given["latents"], given["timesteps"], given["context"], **xl).sample
        given["tokens"] = encode(base, [WORDS])["tokens"]
        given["pixels"] = pipeline.vae.float().decode(given["latents"]).sample
    assert token_ids(tokenizers[0], [WORDS]).shape == (1, 77)
    return {name: tensor.contiguous() for name, tensor in given.items()}


@pytest.mark.comfyui
@pytest.mark.parametrize(
    ("family", "prediction", "model"),
    [("sd1", "epsilon", "BaseModel"), ("sd2", "epsilon", "BaseModel"), ("sdxl", "v_prediction", "SDXL")],
)
def test_comfyui_computes_with_the_file_what_diffusers_computes(family, prediction, model, tmp_path):
    if not os.environ.get("MODISTE_COMFYUI"):
        pytest.skip("MODISTE_COMFYUI is not set")
    checkout = Path(os.environ["MODISTE_COMFYUI"])
    (tmp_path / "configs").mkdir()
    pipeline, file = random_model(family, tmp_path / "configs", prediction), tmp_path / "model.safetensors"
    write_checkpoint(pipeline, family, file, {})
    given = tmp_path / "given.safetensors"
    save_file(said_by_diffusers(pipeline, family), given)
    del pipeline
    own = checkout / "venv" / "bin" / "python"
    python = os.environ.get("MODISTE_COMFYUI_PYTHON") or (str(own) if own.is_file() else sys.executable)
    done = subprocess.run(
        [python, "-c", COMFYUI, str(file), str(given)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        encoding="utf-8",
        timeout=1200,
    )
    file.unlink()
    assert done.returncode == 0, done.stderr[-4000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert (seen["model"], seen["prediction"]) == (model, "EPS" if prediction == "epsilon" else "V_PREDICTION")
    assert max(seen["noise_pred"], seen["tokens"], seen["pixels"]) < 1e-3, seen
    assert "unet unexpected" not in done.stderr and "left over keys" not in done.stderr, done.stderr[-2000:]
