"""A host's single checkpoint file as what draws: the same picture as the diffusers folder of the same weights."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from single_file_samples import make_small, small_model

from modiste.checkpoints.kinds import CheckpointKind, kind_of
from modiste.checkpoints.single_file import V_SIGN, recognised
from modiste.core.errors import InputError, MissingWeights
from modiste.core.files import sha256_of
from modiste.hosts.local import LocalHost
from modiste.hosts.request import GenerationRequest

REQUEST = GenerationRequest(prompt="a red dress", seed=1, steps=2, width=64, height=64, sampler="Euler")


def picture(source, **options):
    return next(LocalHost(str(source), device="cpu", batch_size=1, **options).generate([REQUEST]))


def apart(first, second) -> int:
    """The largest difference of two pictures, in levels of 255."""
    from PIL import ImageChops

    return max(high for _, high in ImageChops.difference(first.image, second.image).getextrema())


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_a_single_file_draws_what_the_diffusers_folder_of_its_weights_draws(family, tmp_path, monkeypatch):
    make_small(monkeypatch)
    folder, file = small_model(tmp_path / "model", family)
    by_file, by_folder = picture(file), picture(folder)
    assert apart(by_file, by_folder) <= 1, "attention's 1×1 convolutions are read as products: the last bit differs"
    assert len(by_file.image.getcolors(1 << 16)) > 100
    assert by_file.used.checkpoint == "model.safetensors"
    assert by_file.used.checkpoint_hash == sha256_of([file])[:10], "as A1111 shows it"
    assert kind_of(file) == CheckpointKind(family, "epsilon")


def test_v_prediction_is_seen_in_the_weights_of_sd2_and_draws_another_picture(tmp_path, monkeypatch):
    make_small(monkeypatch)
    _, file = small_model(tmp_path / "model", "sd2")
    tensors = load_file(file)
    assert recognised(file) == ("sd2", "epsilon")
    tensors[V_SIGN] = torch.linspace(-1, 1, len(tensors[V_SIGN]))
    predicts_v = tmp_path / "other.safetensors"
    save_file(tensors, predicts_v)
    assert recognised(predicts_v) == ("sd2", "v_prediction")
    host = LocalHost(str(predicts_v), device="cpu")
    assert host.pipeline.scheduler.config.prediction_type == "v_prediction"


def test_the_prediction_that_is_told_stands_in_place_of_the_files_and_is_named(tmp_path, monkeypatch):
    make_small(monkeypatch)
    folder, file = small_model(tmp_path / "model", "sd1")
    as_saved = picture(file)
    told = [picture(source, prediction="v_prediction") for source in (file, folder)]
    assert apart(*told) <= 1 and apart(as_saved, told[0]) > 10
    assert apart(as_saved, picture(file, prediction="epsilon")) == 0
    assert told[0].used.checkpoint == "model.safetensors [v_prediction]"
    with pytest.raises(InputError, match="--prediction epsilon or v_prediction"):
        picture(file, prediction="sample")


def test_a_pickle_a_lora_and_a_name_that_is_nowhere_are_refused_before_anything_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    pickled, lora = tmp_path / "model.ckpt", tmp_path / "lora.safetensors"
    pickled.write_bytes(b"\x80\x04")
    save_file({"lora_unet_down_blocks_0.lora_up.weight": torch.zeros(1)}, lora)
    for file, words in ((pickled, "pickled"), (lora, "no Stable Diffusion checkpoint")):
        with pytest.raises(InputError, match=words):
            LocalHost(str(file))
    with pytest.raises(MissingWeights, match="`modiste models` lists"):
        LocalHost("dreamshaper")
