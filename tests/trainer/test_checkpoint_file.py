"""A full fine-tune as one `.safetensors` in LDM names: what diffusers and the hosts' own code read out of it."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from train_samples import config, draw_photos, run_of

from modiste.checkpoints.families.configs import configs_of
from modiste.checkpoints.single_file import _vae, open_pipeline, recognised
from modiste.core.errors import InputError
from modiste.core.progress import silent
from modiste.core.torchvision_ops import patch_torchvision_ops
from modiste.trainer.lora.targets import empty_model
from modiste.trainer.model import checkpoint_file
from modiste.trainer.model.base_model import open_base
from modiste.trainer.model.checkpoint_file import checkpoint_tensors, is_published_size, write_checkpoint
from modiste.trainer.model.export import write_model
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


# ── the folder ──


@pytest.fixture
def opened(base):
    return open_base(str(base), torch.float32, "cpu")


def named(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*")}


def test_an_exported_model_is_in_half_precision_and_predicts_what_it_was_trained_for(opened, base, tmp_path):
    unfinished = tmp_path / f"model.{os.getpid()}.tmp"
    unfinished.mkdir()
    (unfinished / "old.txt").write_text("of an earlier try")
    tuned = replace(opened, scheduler_config={**opened.scheduler_config, "prediction_type": "v_prediction"})
    with torch.no_grad():
        tuned.unet.conv_in.bias.add_(1)
    assert write_model(tuned, tmp_path / "model") is None
    assert named(tmp_path / "model") <= named(base) and [path.name for path in tmp_path.iterdir()] == ["model"]
    pipeline = open_pipeline(tmp_path / "model", torch.float32)
    assert all(
        torch.equal(now, tuned.unet.state_dict()[name].half())
        for name, now in pipeline.unet.half().state_dict().items()
    )
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    weights = [tensor for file in tmp_path.rglob("*.safetensors") for tensor in load_file(file).values()]
    assert {tensor.dtype for tensor in weights if tensor.is_floating_point()} == {torch.float16}


def test_beside_the_folder_lies_the_one_file_of_an_exported_model_with_its_metadata(
    opened, tmp_path, tiny_is_published
):
    for metadata, expected in (({"modelspec.title": "vesper"}, "vesper"), (None, None)):
        assert write_model(opened, tmp_path / "model", metadata) == tmp_path / "model.safetensors"
        with safe_open(tmp_path / "model.safetensors", "pt") as file:
            assert (file.metadata() or {}).get("modelspec.title") == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.safetensors"]


@pytest.mark.parametrize("more", [0, 1])
def test_an_exported_model_is_finite_in_half_precision_or_not_there(more, opened, tmp_path):
    with torch.no_grad():
        opened.unet.conv_in.bias[0] = 1e5  # too large for float16
        if more:
            opened.unet.conv_out.weight[0] = torch.nan
    with pytest.raises(InputError) as caught:
        write_model(opened, tmp_path / "model")
    reason = f"the tuned UNet is not finite in conv_in.bias and {more} more: it is not written"
    assert str(caught.value) == f"{reason}; a smaller learning_rate" and not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux which file a descriptor is")
def test_every_file_of_an_exported_model_is_on_the_disk_before_it_has_its_name(opened, tmp_path, monkeypatch):
    calls, fsync, move = [], os.fsync, Path.replace

    def note(descriptor: int) -> None:
        calls.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Path, "replace", lambda path, target: (calls.append("moved"), move(path, target)))
    write_model(opened, tmp_path / "model")
    before = calls[: calls.index("moved")]
    unfinished = tmp_path / f"model.{os.getpid()}.tmp"
    assert {path.relative_to(unfinished).as_posix() for path in before} == named(tmp_path / "model")
    assert calls[calls.index("moved") + 1 :] == [tmp_path]


@pytest.mark.skipif(os.name == "nt", reason="no limits of that kind there")
@pytest.mark.parametrize("fails", ["weights", "first move", "second move"])
def test_where_an_exported_model_can_not_be_written_the_one_before_stays(fails, opened, tmp_path, monkeypatch):
    import resource

    write_model(opened, tmp_path / "model")
    old = {name: (tmp_path / "model" / name).read_bytes() for name in named(tmp_path / "model") if "." in name}
    with torch.no_grad():
        opened.unet.conv_in.bias.add_(1)
    limits, moves, move = resource.getrlimit(resource.RLIMIT_FSIZE), [], Path.replace

    def refused(path: Path, target: Path) -> Path:
        moves.append(target)
        if len(moves) == ("first move", "second move").index(fails) + 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return move(path, target)

    if fails == "weights":
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    else:
        monkeypatch.setattr(Path, "replace", refused)
    try:
        with pytest.raises(OSError, match="^model: .*large" if fails == "weights" else os.strerror(errno.EIO)):
            write_model(opened, tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {name: (tmp_path / "model" / name).read_bytes() for name in old} == old
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


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
