"""A host's single-file checkpoint opens without a hub: family, configs and vocabulary are known here."""

from __future__ import annotations

import json
import sys
import unicodedata
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from train_samples import tiny_base

from modiste.checkpoints.single_file import FIRST_LAYER, config_folder, open_pipeline, recognised, write_tokenizer
from modiste.core.errors import InputError
from modiste.core.torchvision_ops import patch_torchvision_ops
from modiste.trainer.model.text_encoding import token_ids

patch_torchvision_ops()
TEXT_KEY = "model.diffusion_model.input_blocks.{}.1.transformer_blocks.0.attn2.to_k.weight"
CANARY = b"cos\nmkdir\n(S'canary'\ntR."  # a pickle: whoever opens it makes a folder
TEXTS = [
    "a red dress with long sleeves, cotton, v-neck",
    "Robe d'été à fleurs, l'étiquette n'est pas visible",
    "赤いドレス と 长袖衬衫, 드레스",
    "émoji 👗👠 — “quotes” … naïve café",
    "don't we'll they've i'm you're he'd it's",
    "100% wool;  3/4-length   sleeves (size 38–42) #ootd @brand",
    "ﬁne ligatures, ½ sleeve, Ⅷ, ǅ, İstanbul, ß",
    "",
]


def checkpoint(file: Path, width: int, channels: int = 4, metadata: dict[str, str] | None = None, **more) -> Path:
    """A file with what a family is recognised by, and nothing else."""
    block = 4 if width == 2048 else 1
    tensors = {FIRST_LAYER: torch.zeros(1, channels, 3, 3), TEXT_KEY.format(block): torch.zeros(1, width), **more}
    save_file(tensors, file, metadata)
    return file


# ── recognition ──


@pytest.mark.parametrize(("width", "family"), [(768, "sd1"), (1024, "sd2"), (2048, "sdxl")])
def test_a_family_is_recognised_by_the_width_of_its_text(width, family, tmp_path):
    assert recognised(checkpoint(tmp_path / "model.safetensors", width)) == (family, "epsilon")


def test_a_model_that_predicts_v_says_so_by_its_metadata_a_tensor_or_its_name(tmp_path):
    said = {"modelspec.prediction_type": "v"}
    found = [
        recognised(checkpoint(tmp_path / "a.safetensors", 768, metadata=said)),
        recognised(checkpoint(tmp_path / "b.safetensors", 2048, v_pred=torch.zeros(0))),
        recognised(checkpoint(tmp_path / "v2-1_768-ema-pruned.safetensors", 1024)),
        recognised(checkpoint(tmp_path / "v2-1_512-ema-pruned.safetensors", 1024)),
    ]
    assert [prediction for _, prediction in found] == ["v_prediction", "v_prediction", "v_prediction", "epsilon"]


@pytest.mark.parametrize(
    ("width", "channels"), [(1280, 4), (768, 9), (1024, 5)], ids=["refiner", "inpainting", "depth"]
)
def test_a_model_of_another_build_is_refused_with_what_it_takes(width, channels, tmp_path):
    file = checkpoint(tmp_path / "model.safetensors", width, channels)
    with pytest.raises(InputError, match=f"takes {channels} channels and text of width {width}"):
        open_pipeline(file, torch.float32)


def test_what_is_no_checkpoint_is_refused_in_words(tmp_path):
    lora, torn, huge = (tmp_path / f"{name}.safetensors" for name in ("lora", "torn", "huge"))
    save_file({"lora_unet_down_blocks_0.lora_up.weight": torch.zeros(1)}, lora)
    torn.write_bytes(checkpoint(tmp_path / "whole.safetensors", 768).read_bytes()[:-100])
    huge.write_bytes((101 * 2**20).to_bytes(8, "little") + b"{}")
    for file, message in (
        (lora, "no Stable Diffusion checkpoint"),
        (torn, "can't be opened"),
        (huge, "can't be opened"),
    ):
        with pytest.raises(InputError, match=message):
            open_pipeline(file, torch.float32)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".bin", ".safetensors"])
def test_a_pickle_is_refused_and_nothing_of_it_runs(suffix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / f"model{suffix}"
    file.write_bytes(CANARY)
    with pytest.raises(InputError):
        open_pipeline(file, torch.float32)
    assert not (tmp_path / "canary").exists()


def test_a_folder_opens_in_the_dtype_that_is_asked_for(tmp_path):
    folder = tiny_base(tmp_path / "base")
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        pipeline = open_pipeline(folder, dtype)
        assert {part.dtype for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder)} == {dtype}
    (folder / "model_index.json").unlink()
    with pytest.raises(InputError, match="a diffusers folder with a model_index.json"):
        open_pipeline(folder, torch.float32)


# ── what a hub would be asked for ──


@pytest.mark.parametrize(
    ("family", "weights"),
    [("sd1", (859_520_964, 123_060_480)), ("sd2", (865_910_724, 340_387_840)), ("sdxl", (2_567_463_684, 123_060_480))],
)
def test_the_configs_of_each_family_build_models_of_the_published_sizes(family, weights, tmp_path):
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = config_folder(tmp_path, family, "v_prediction")
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet"))
        vae = AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae"))
        text = CLIPTextModel(CLIPTextConfig.from_pretrained(folder / "text_encoder"))
    assert (unet.num_parameters(), text.num_parameters()) == weights
    assert vae.num_parameters() == 83_653_863
    assert vae.config.scaling_factor == (0.13025 if family == "sdxl" else 0.18215)
    assert DDPMScheduler.from_pretrained(folder / "scheduler").config.prediction_type == "v_prediction"
    index = json.loads((folder / "model_index.json").read_text())
    parts = {name for name, value in index.items() if isinstance(value, list) and value[0]}
    assert parts == {one.name for one in folder.iterdir() if one.is_dir()}


@pytest.mark.parametrize(
    ("family", "pads"), [("sd1", [49407]), ("sd2", [0]), ("sdxl", [49407, 0])], ids=["sd1", "sd2", "sdxl"]
)
def test_a_text_is_filled_up_with_what_its_encoder_learned_with(family, pads, tmp_path):
    """OpenAI's CLIP with its end, OpenCLIP's H and bigG with token 0: as the published folders have it."""
    from transformers import CLIPTokenizer

    folder = config_folder(tmp_path, family, "epsilon")
    tokenizers = [CLIPTokenizer.from_pretrained(one) for one in sorted(folder.glob("tokenizer*"))]
    assert [tokenizer.pad_token_id for tokenizer in tokenizers] == pads
    for tokenizer, pad in zip(tokenizers, pads, strict=True):
        ids = token_ids(tokenizer, ["a red dress"])[0].tolist()
        assert ids == [49406, 320, 736, 2595, 49407, *[pad] * 72]


def test_the_tokenizer_needs_no_open_clip(tmp_path, monkeypatch):
    """A host's Python has none: ComfyUI's requirements do not bring it."""
    monkeypatch.setitem(sys.modules, "open_clip", None)
    write_tokenizer(tmp_path / "tokenizer")
    words = json.loads((tmp_path / "tokenizer" / "vocab.json").read_text(encoding="utf-8"))
    assert len(words) == 49408 and words["dress</w>"] == 2595


def test_the_tokenizer_gives_the_ids_of_open_clips(tmp_path):
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    write_tokenizer(tmp_path / "tokenizer")
    ours, theirs = CLIPTokenizer.from_pretrained(tmp_path / "tokenizer"), SimpleTokenizer()
    assert ours(TEXTS[0]).input_ids == [49406, *theirs.encode(TEXTS[0]), 49407]
    # The published CLIPTokenizer does not uncurl quotes or part ligatures, as open_clip's cleaning by ftfy does.
    theirs.clean_fn = lambda text: " ".join(unicodedata.normalize("NFC", text).split()).lower()
    assert len(ours) == 49408 and ours.model_max_length == 77
    assert (ours.bos_token_id, ours.eos_token_id, ours.pad_token_id) == (49406, 49407, 49407)
    for text in TEXTS:
        assert ours(text).input_ids == [49406, *theirs.encode(text), 49407], text
    padded = ours(TEXTS[0], padding="max_length", max_length=77).input_ids
    assert len(padded) == 77 and set(padded[len(ours(TEXTS[0]).input_ids) :]) == {49407}
    assert len(ours(" ".join(TEXTS) * 20, truncation=True).input_ids) == 77
