"""A full fine-tune as one `.safetensors` in LDM names: what diffusers and the hosts' own code read out of it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from train_samples import config, draw_photos, run_of

from modiste.checkpoints.families.configs import configs_of
from modiste.checkpoints.single_file import _vae, open_pipeline, recognised
from modiste.core.progress import silent
from modiste.core.torchvision_ops import patch_torchvision_ops
from modiste.trainer.lora.targets import empty_model
from modiste.trainer.model import checkpoint_file
from modiste.trainer.model.checkpoint_file import checkpoint_tensors, is_published_size, write_checkpoint
from modiste.trainer.results import finish
from modiste.trainer.train import take_steps

patch_torchvision_ops()
FAMILIES = ("sd1", "sd2", "sdxl")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("data") / "photos", 8)


def published(family: str, prediction: str = "epsilon") -> SimpleNamespace:
    """The parts of a published model by its configs, without weights: on the meta device."""
    from diffusers import AutoencoderKL, DDPMScheduler

    with torch.device("meta"):
        vae = AutoencoderKL.from_config(_vae(family))
    parts = {"vae": vae, **{part: empty_model(part, values) for part, values in configs_of(family).items()}}
    return SimpleNamespace(**parts, scheduler=DDPMScheduler(prediction_type=prediction))


# ── names ──


@pytest.mark.parametrize("family", FAMILIES)
def test_diffusers_makes_the_same_models_of_the_ldm_names_again(family):
    """Its own conversion of published checkpoints, run backwards by ours, gives back every name and shape."""
    from diffusers.loaders.single_file_utils import (
        convert_ldm_unet_checkpoint,
        convert_ldm_vae_checkpoint,
    )

    pipeline = published(family)
    tensors = dict(checkpoint_tensors(pipeline, family))
    unet = convert_ldm_unet_checkpoint(dict(tensors), pipeline.unet.config)
    vae = convert_ldm_vae_checkpoint(dict(tensors), pipeline.vae.config)
    for model, converted in ((pipeline.unet, unet), (pipeline.vae, vae)):
        shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
        assert {name: tensor.shape for name, tensor in converted.items()} == shapes


@pytest.mark.parametrize("part", ["sd2 text_encoder", "sdxl text_encoder_2"])
def test_diffusers_reads_the_weights_of_an_open_clip_encoder_again(part):
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    family, name = part.split()
    settings = {**configs_of(family)[name], "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    settings |= {"num_hidden_layers": 2, "vocab_size": 100, "projection_dim": 32}
    torch.manual_seed(0)
    encoder = empty_model(name, settings).to_empty(device="cpu")
    for tensor in encoder.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape))
    pipeline = published(family)
    vars(pipeline)[name] = encoder
    tensors = dict(checkpoint_tensors(pipeline, family))
    prefix = checkpoint_file.TEXT_ENCODERS[family, name][0]
    converted = convert_open_clip_checkpoint(encoder, dict(tensors), prefix=f"{prefix}.")
    ours = {key.removeprefix("text_model."): tensor for key, tensor in encoder.state_dict().items()}
    theirs = {key.removeprefix("text_model."): tensor for key, tensor in converted.items()}
    missing = ours.keys() - theirs.keys()
    assert not missing and all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_the_file_is_recognised_as_its_family_and_prediction(tmp_path):
    for family, prediction in (("sd1", "epsilon"), ("sd2", "v_prediction"), ("sdxl", "v_prediction")):
        pipeline = published(family, prediction=prediction)
        keys = {
            name: tensor
            for name, tensor in checkpoint_tensors(pipeline, family)
            if name in ("v_pred", "model.diffusion_model.input_blocks.0.0.weight") or "attn2.to_k" in name
        }
        file = tmp_path / f"{family}.safetensors"
        small = {name: torch.zeros(tensor.shape, dtype=torch.float8_e5m2) for name, tensor in keys.items()}
        save_file(small, file)
        assert recognised(file) == (family, prediction)


def test_only_models_of_a_published_size_are_for_hosts(base):
    for family in FAMILIES:
        assert is_published_size(family, published(family).unet.config)
    assert not is_published_size("sd1", open_pipeline(base, torch.float32).unet.config)


# ── a run ──


@pytest.fixture
def tiny_is_published(base, monkeypatch):
    """Hosts that know the tiny model's size."""
    unet = json.loads((base / "unet" / "config.json").read_text())
    monkeypatch.setattr(checkpoint_file, "configs_of", lambda family: {"unet": unet})
    return unet


def test_a_full_fine_tune_leaves_the_tuned_weights_in_one_file_too(base, photos, tmp_path, tiny_is_published):
    run = run_of(config(base, photos, method="full", steps=2), tmp_path)
    take_steps(run, silent, lambda: False)
    result = finish(run)
    file = tmp_path / "fashion_sd_model.safetensors"
    assert result.record["checkpoint_file"] == file.name
    tensors = load_file(file)
    pipeline = open_pipeline(result.file, torch.float16)
    expected = dict(checkpoint_tensors(pipeline, "sd1"))
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in tensors)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    tuned = run.model.base.unet.conv_in.weight.detach().half()
    assert torch.equal(tensors["model.diffusion_model.input_blocks.0.0.weight"], tuned)
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    assert metadata["modelspec.architecture"] == "stable-diffusion-v1"
    assert metadata["modelspec.prediction_type"] == "epsilon"
    assert json.loads(metadata["modiste.config"])["method"] == "full"


def test_a_model_that_no_host_knows_leaves_the_folder_alone(base, photos, tmp_path):
    run = run_of(config(base, photos, method="full", steps=1), tmp_path)
    take_steps(run, silent, lambda: False)
    assert finish(run).record["checkpoint_file"] is None
    assert not list(tmp_path.glob("fashion_sd_model*.safetensors"))


def test_a_full_disk_leaves_no_half_written_file(tmp_path):
    pipeline = published("sd1")
    for part in ("unet", "vae", "text_encoder"):
        vars(pipeline)[part] = SimpleNamespace(state_dict=dict, config=getattr(pipeline, part).config)
    with pytest.raises(OSError):
        write_checkpoint(pipeline, "sd1", tmp_path / "nowhere" / "model.safetensors", {})
    assert not list(tmp_path.iterdir())
