"""What each program would make of a file, by its own rules."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from lora_samples import adapt, random_lora, tiny_parts
from safetensors.torch import load_file, save_file

from modiste.trainer.lora.file import AdapterState, LoraModule, collect, write_diffusers, write_lora
from modiste.trainer.lora.verify import verify

READERS = ["A1111", "Forge", "ComfyUI", "diffusers"]


def reports(path, model=None):
    found = verify(path, model)
    assert [one.reader for one in found] == READERS
    return {one.reader: one for one in found}


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_every_program_applies_all_of_our_files(family, tmp_path):
    state = random_lora(family)
    write_lora(state, tmp_path / "lora.safetensors", {})
    for report in reports(tmp_path / "lora.safetensors").values():
        assert (report.applied, report.unmatched, report.notes) == (len(state.modules), (), ()), report.reader
        assert report.ok


@pytest.mark.parametrize("kind", ["loha", "lokr"])
def test_lycoris_kinds_are_applied_by_all_but_diffusers(kind, tmp_path):
    write_lora(random_lora("sd1", kind), tmp_path / "lora.safetensors", {})
    found = reports(tmp_path / "lora.safetensors")
    assert [found[name].ok for name in READERS] == [True, True, True, False]
    assert found["diffusers"].applied == 0 and "refuses" in found["diffusers"].notes[0]


def test_dora_by_rows_is_exact_in_none(tmp_path):
    write_lora(random_lora("sd1", "dora"), tmp_path / "lora.safetensors", {})
    found = reports(tmp_path / "lora.safetensors")
    assert [found[name].ok for name in READERS] == [False] * 4
    assert [found[name].applied for name in READERS] == [0, 350, 350, 350]


def test_dotted_keys_never_match_in_a1111(tmp_path):
    write_diffusers(random_lora("sd1"), tmp_path / "peft.safetensors")
    found = reports(tmp_path / "peft.safetensors")
    assert [found["A1111"].applied, len(found["A1111"].unmatched)] == [0, 700]
    assert found["diffusers"].ok
    # ComfyUI's map spells attention in another way: 16 blocks of 2 × 4 layers are left out, in silence there
    assert found["ComfyUI"].applied == 350 - 128
    assert all(".attn" in key for key in found["ComfyUI"].unmatched)
    assert found["Forge"].applied == 0 and "256 keys" in found["Forge"].notes[0]


def changed(folder, rename):
    """Our file with some of its keys spelt in another way, and how many those are."""
    write_lora(random_lora("sd1"), folder / "lora.safetensors", {})
    tensors = load_file(folder / "lora.safetensors")
    renamed = {rename(key): one for key, one in tensors.items()}
    save_file(renamed, folder / "lora.safetensors")
    return folder / "lora.safetensors", len(renamed.keys() - tensors.keys())


def test_text_encoder_names_of_transformers_5_match_no_host(tmp_path):
    path, wrong = changed(tmp_path, lambda key: key.replace("lora_te_text_model_encoder", "lora_te_encoder"))
    found = reports(path)
    assert wrong == 3 * 72
    for reader in ("A1111", "ComfyUI"):
        assert (found[reader].applied, len(found[reader].unmatched)) == (350 - 72, wrong)
    assert found["Forge"].applied == 0


def test_a_misspelt_module_is_counted_and_named(tmp_path):
    path, wrong = changed(tmp_path, lambda key: key.replace("_mid_block_attentions_0_proj_in.", "_mid_block_proj_in."))
    found = reports(path)
    for reader in ("A1111", "Forge", "ComfyUI"):
        assert (found[reader].applied, len(found[reader].unmatched)) == (349, wrong)
        assert all("mid_block_proj_in" in key for key in found[reader].unmatched)


def test_one_module_without_its_other_half_stops_a1111(tmp_path):
    write_lora(random_lora("sd1"), tmp_path / "lora.safetensors", {})
    tensors = load_file(tmp_path / "lora.safetensors")
    del tensors["lora_unet_mid_block_attentions_0_proj_in.lora_up.weight"]
    save_file(tensors, tmp_path / "lora.safetensors")
    found = reports(tmp_path / "lora.safetensors")
    assert found["A1111"].applied == 0 and "mid_block_attentions_0_proj_in" in found["A1111"].notes[0]
    assert found["ComfyUI"].applied == 349


def test_a1111_needs_all_four_of_open_clips_attention(tmp_path):
    state = random_lora("sd2")
    kept = tuple(one for one in state.modules if not one.path.endswith("self_attn.k_proj"))
    write_lora(AdapterState("sd2", kept), tmp_path / "lora.safetensors", {})
    found = reports(tmp_path / "lora.safetensors")
    assert found["ComfyUI"].ok
    assert found["A1111"].applied == len(kept) - 3 * 23
    assert "q, k, v and out" in found["A1111"].notes[0]


def test_the_shape_of_another_model_is_seen(tmp_path):
    state = random_lora("sd1", resnets=False)
    first, *rest = state.modules
    broken = LoraModule(
        first.part, first.path, first.kind, {**first.tensors, "lora_up.weight": torch.ones(64, 2, 1, 1)}
    )
    write_lora(replace(state, modules=(broken, *rest)), tmp_path / "lora.safetensors", {})
    found = reports(tmp_path / "lora.safetensors")
    for reader in ("A1111", "ComfyUI", "Forge"):
        assert found[reader].applied == 263 and "another shape" in found[reader].notes[0]
    assert found["diffusers"].applied == 0  # it stops there


def test_a_small_model_of_ones_own_is_verified_against_its_folder(tmp_path):
    parts = tiny_parts(tmp_path / "tiny-sd")
    adapt(parts, "lora")
    state = collect(parts, "sd1")
    write_lora(state, tmp_path / "lora.safetensors", {})
    found = reports(tmp_path / "lora.safetensors", tmp_path / "tiny-sd")
    assert found["ComfyUI"].ok and found["Forge"].ok and found["diffusers"].ok
    assert found["ComfyUI"].applied == len(state.modules)
    assert not reports(tmp_path / "lora.safetensors")["ComfyUI"].ok  # of SD 1.5 it has the names, not the shapes
