"""What sd-scripts reads, written into the run's folder: the own engine's pixels, captions and masks; TOML; models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from kohya_samples import bare_base, draw_photos
from PIL import Image
from safetensors.torch import save_file

from modiste.core.errors import InputError, MissingWeights
from modiste.core.torchvision_ops import patch_torchvision_ops
from modiste.fashion.photos import read_photo
from modiste.trainer.data.captions import caption_of
from modiste.trainer.data.config import DataConfig
from modiste.trainer.data.dataset import load_dataset
from modiste.trainer.data.sample import Dataset
from modiste.trainer.kohya.base import kohya_base, write_tokenizers
from modiste.trainer.kohya.files import datasets, toml, write_photos

patch_torchvision_ops()


def loaded(folder: Path, **asked) -> tuple[DataConfig, Dataset]:
    config = DataConfig(folders=(folder,), resolution=256, held_out=0, held_out_least=0, **asked)
    return config, load_dataset(config, read_photo)


def test_a_picture_is_the_cut_that_the_own_engine_learns_from_with_its_caption_beside_it(tmp_path):
    photos = draw_photos(tmp_path / "photos", [(330, 210), (256, 256), (200, 330)])
    config, data = loaded(photos, trigger="maison", bucket_least=1)
    groups = write_photos(data.samples, config, read_photo, tmp_path / "cut")
    written = {file.stem: file for folder in groups.values() for file in folder.glob("*.png")}
    assert set(written) == {sample.id for sample in data.samples}
    for sample in data.samples:
        picture = Image.open(written[sample.id])
        assert picture.mode == "RGB" and picture.size == (sample.bucket.width, sample.bucket.height)
        assert np.array_equal(picture, sample.crop.apply(read_photo(sample.path).image))
        caption = written[sample.id].with_suffix(".txt").read_text(encoding="utf-8")
        assert caption == f"{caption_of(sample, config)}\n" and caption.startswith("maison, dress number")
    assert len({group[0] for group in groups}) == 3


def test_a_mask_becomes_the_alpha_channel_and_a_photo_without_one_counts_whole(tmp_path):
    photos = draw_photos(tmp_path / "photos", [(256, 256), (256, 256)])
    mask = Image.new("L", (256, 256))
    mask.paste(200, (0, 0, 128, 256))
    mask.save(photos / "0-masklabel.png")
    config, data = loaded(photos)
    groups = write_photos(data.samples, config, read_photo, tmp_path / "cut")
    alpha = {}
    for sample in data.samples:
        picture = Image.open(next((tmp_path / "cut").rglob(f"{sample.id}.png")))
        alpha[sample.path.name] = np.asarray(picture.getchannel("A"))
        assert np.array_equal(picture.convert("RGB"), read_photo(sample.path).image)  # also where alpha is 0
    assert np.array_equal(alpha["0.png"], np.asarray(mask)) and (alpha["1.png"] == 255).all()
    tables = datasets(groups, config, 1, masked=True)
    assert all(subset["alpha_mask"] for one in tables["datasets"] for subset in one["subsets"])


def test_what_stays_in_place_when_captions_are_shuffled_counts_the_trigger_where_it_leads(tmp_path):
    photos = draw_photos(tmp_path / "photos", [(256, 256)] * 2)
    (photos / "1.txt").write_text("a maison dress, red")
    config, data = loaded(photos, trigger="maison", shuffle_captions=True, keep_tokens=1)
    groups = write_photos(data.samples, config, read_photo, tmp_path / "cut")
    kept = {file.read_text(): group[2] for group, folder in groups.items() for file in folder.glob("*.txt")}
    assert kept == {"maison, dress number 0, red, short\n": 2, "a maison dress, red\n": 1}


def test_prior_pictures_are_visited_once_and_without_the_trigger(tmp_path):
    photos = draw_photos(tmp_path / "photos", [(256, 256)])
    prior = draw_photos(tmp_path / "prior", [(256, 256)] * 2)
    config, data = loaded(photos, trigger="maison", repeats=3, prior_folder=prior)
    groups = write_photos(data.samples, config, read_photo, tmp_path / "cut")
    seen = sorted((group[1], file.read_text()[:6]) for group, folder in groups.items() for file in folder.glob("*.txt"))
    assert seen == [(1, "dress "), (1, "dress "), (3, "maison")]


def test_an_empty_caption_is_a_line_of_its_own_or_sd_scripts_would_stop_at_it(tmp_path):
    photos = draw_photos(tmp_path / "photos", [(256, 256)])
    (photos / "0.txt").write_text("")
    config, data = loaded(photos)
    write_photos(data.samples, config, read_photo, tmp_path / "cut")
    assert next((tmp_path / "cut").rglob("*.txt")).read_text() == "\n"


def test_a_photo_that_changed_meanwhile_is_an_error(tmp_path):
    photos = draw_photos(tmp_path / "photos", [(256, 256)])
    config, data = loaded(photos)
    Image.new("RGB", (256, 256)).save(photos / "0.png")
    with pytest.raises(InputError, match="has changed since the data was read"):
        write_photos(data.samples, config, read_photo, tmp_path / "cut")


def test_toml_reads_back_as_it_was_written(tmp_path):
    tomllib = pytest.importorskip("tomllib")
    config, data = loaded(draw_photos(tmp_path / "photos", [(330, 192), (256, 256)]), bucket_least=1)
    tables = datasets(write_photos(data.samples, config, read_photo, tmp_path / "cut"), config, 2, False)
    said = {
        "text": 'a "quoted" 服 👗 \\ back\tslash\x7f\n',
        "number": 1e-05,
        "list": ["a", "b"],
        "none": [],
        "yes": True,
    }
    assert tomllib.loads(toml({**said, **tables})) == {**said, **tables}
    assert len(tables["datasets"]) == 2 and tables["datasets"][0]["batch_size"] == 2


# ── base models ──


def test_a_published_build_is_known_by_its_configs(tmp_path):
    for family, prediction in (("sd1", "epsilon"), ("sd2", "v_prediction"), ("sdxl", "epsilon")):
        found = kohya_base(str(bare_base(tmp_path / family, family, prediction)))
        assert (found.family, found.prediction, found.name) == (family, prediction, family)
    with pytest.raises(MissingWeights, match="nobody/nothing is not on this machine"):
        kohya_base("nobody/nothing")


def test_a_unet_of_another_build_is_refused_with_what_it_has(tmp_path):
    folder = bare_base(tmp_path / "small")
    file = folder / "unet" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "block_out_channels": [16, 32]}))
    with pytest.raises(InputError, match=r"published builds.*block_out_channels \[16, 32\].*--engine diffusers"):
        kohya_base(str(folder))


def test_a_text_encoder_that_transformers_4_would_begin_at_random_is_refused(tmp_path):
    folder = bare_base(tmp_path / "sd15")
    file = folder / "text_encoder" / "model.safetensors"
    save_file({"text_model.encoder.layers.0.mlp.fc1.weight": torch.zeros(1)}, file)
    kohya_base(str(folder))
    save_file({"encoder.layers.0.mlp.fc1.weight": torch.zeros(1)}, file)
    with pytest.raises(InputError, match="of random weights"):
        kohya_base(str(folder))


def test_the_tokenizers_are_those_that_sd_scripts_would_ask_a_hub_for(tmp_path):
    from transformers import CLIPTokenizer

    folder = write_tokenizers("sdxl", tmp_path / "xl")
    names = {"openai_clip-vit-large-patch14", "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k"}
    assert {one.name for one in folder.iterdir()} == names
    folder = write_tokenizers("sd2", tmp_path / "sd2") / "stabilityai_stable-diffusion-2"
    ids = CLIPTokenizer.from_pretrained(folder)("a red dress", padding="max_length").input_ids
    assert ids[:5] == [49406, 320, 736, 2595, 49407] and set(ids[5:]) == {0} and len(ids) == 77
