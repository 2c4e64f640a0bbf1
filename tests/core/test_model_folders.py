"""Checkpoints in the folders of ComfyUI and A1111: listed, and found by their bare names."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from modiste.checkpoints.single_file import FIRST_LAYER
from modiste.cli.app import app
from modiste.core.errors import InputError
from modiste.core.weights import locate
from modiste.models.presets import preset_of_checkpoint

TEXT_KEY = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"


def checkpoint(file, width=768):
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({FIRST_LAYER: torch.zeros(1, 4, 3, 3), TEXT_KEY: torch.zeros(1, width)}, file)
    return file


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    """A ComfyUI with an extra folder by YAML, and an A1111, both named by the environment."""
    comfyui, webui = tmp_path / "ComfyUI", tmp_path / "webui"
    (comfyui / "models" / "checkpoints").mkdir(parents=True)
    checkpoint(comfyui / "models" / "checkpoints" / "xl" / "photo.safetensors", 2048)
    checkpoint(comfyui / "models" / "checkpoints" / "both.safetensors")
    checkpoint(tmp_path / "disk" / "sd" / "elsewhere.safetensors", 1024)
    checkpoint(webui / "models" / "Stable-diffusion" / "dream.safetensors")
    checkpoint(webui / "models" / "Stable-diffusion" / "old" / "both.safetensors")
    (webui / "models" / "Stable-diffusion" / "pickled.ckpt").write_bytes(b"x")
    save_file({"a.lora_up.weight": torch.zeros(1)}, webui / "models" / "Stable-diffusion" / "lora.safetensors")
    extra = f"mine:\n  base_path: {tmp_path / 'disk'}\n  checkpoints: |\n    sd\n    gone\n  loras: l\nempty:\n"
    (comfyui / "extra_model_paths.yaml").write_text(extra)
    monkeypatch.setenv("MODISTE_COMFYUI", str(comfyui))
    monkeypatch.setenv("MODISTE_WEBUI", str(webui))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def test_a_bare_name_finds_its_file_in_either_host_and_in_extra_folders(hosts):
    for name, place in (
        ("dream", "webui/models/Stable-diffusion/dream.safetensors"),
        ("Photo.safetensors", "ComfyUI/models/checkpoints/xl/photo.safetensors"),
        ("xl/photo.safetensors", "ComfyUI/models/checkpoints/xl/photo.safetensors"),
        ("xl\\photo.safetensors", "ComfyUI/models/checkpoints/xl/photo.safetensors"),
        ("elsewhere", "disk/sd/elsewhere.safetensors"),
        ("old/both.safetensors", "webui/models/Stable-diffusion/old/both.safetensors"),
    ):
        assert locate(name) == (hosts / place).resolve(), name
    assert locate("nowhere") is None and locate("pickled") is None
    with pytest.raises(InputError, match="2 checkpoints are called 'both'"):
        locate("both")


def test_a_checkpoint_brings_the_preset_of_its_family_and_size(hosts):
    sizes = {name: preset_of_checkpoint(name) for name in ("dream", "photo", "elsewhere")}
    assert {name: (preset.name, preset.width) for name, preset in sizes.items()} == {
        "dream": ("sd15", 512),
        "photo": ("sdxl", 1024),
        "elsewhere": ("sd15", 512),
    }
    assert preset_of_checkpoint("nowhere") is None
    large = checkpoint(hosts / "v2-1_768.safetensors", 1024)
    assert (preset_of_checkpoint(str(large)).width, preset_of_checkpoint(str(large)).name) == (768, "sd15")


def test_models_lists_what_this_machine_has_with_family_and_prediction(hosts):
    done = CliRunner().invoke(app, ["models", "--json"])
    rows = {(row["host"], row["name"]): row for row in json.loads(done.stdout)}
    assert {key: (row["family"], row["prediction"]) for key, row in rows.items()} == {
        ("comfyui", "both.safetensors"): ("sd1", "epsilon"),
        ("comfyui", "xl/photo.safetensors"): ("sdxl", "epsilon"),
        ("comfyui", "elsewhere.safetensors"): ("sd2", "epsilon"),
        ("a1111", "dream.safetensors"): ("sd1", "epsilon"),
        ("a1111", "lora.safetensors"): (None, None),
        ("a1111", "old/both.safetensors"): ("sd1", "epsilon"),
    }
    text = CliRunner().invoke(app, ["models"]).output
    assert "dream.safetensors" in text and "Stable Diffusion XL, predicts noise (epsilon)" in text
    assert "no Stable Diffusion checkpoint" in text


def test_roots_can_be_options_and_a_wrong_one_is_named(hosts, monkeypatch):
    monkeypatch.delenv("MODISTE_COMFYUI")
    monkeypatch.delenv("MODISTE_WEBUI")
    assert "MODISTE_WEBUI" in CliRunner().invoke(app, ["models"]).output
    done = CliRunner().invoke(app, ["models", "--json", "--webui", str(hosts / "webui")])
    assert {row["host"] for row in json.loads(done.stdout)} == {"a1111"}
    wrong = CliRunner().invoke(app, ["models", "--webui", str(hosts / "nowhere")])
    assert wrong.exit_code == 2 and "nowhere" in wrong.stderr
    (hosts / "ComfyUI" / "extra_model_paths.yaml").write_text("mine: [")
    broken = CliRunner().invoke(app, ["models", "--comfyui", str(hosts / "ComfyUI")])
    assert broken.exit_code == 2 and "extra_model_paths.yaml" in broken.stderr


def test_folders_that_link_into_each_other_end(hosts):
    folder = hosts / "webui" / "models" / "Stable-diffusion"
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    assert locate("dream") == (folder / "dream.safetensors").resolve()
