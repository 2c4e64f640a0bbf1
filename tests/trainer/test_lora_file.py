"""Saved and read again it is the same adapter, and it adds to the weights what peft itself would add."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest
import torch
from lora_samples import KINDS, adapt, base_weights, merged_differences, random_lora, tiny_parts
from safetensors.torch import load_file, save

from modiste.core.errors import InputError
from modiste.trainer.lora.file import (
    AdapterState,
    LoraModule,
    collect,
    delta_weights,
    load_adapter,
    read_lora,
    write_diffusers,
    write_lora,
)


def error(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """The worst relative error over the modules, which must be the same."""
    assert ours.keys() == theirs.keys()
    assert all(ours[key].shape == theirs[key].shape for key in theirs)
    return max(float((ours[key] - theirs[key]).norm() / theirs[key].norm()) for key in theirs)


def same(ours: AdapterState, theirs: AdapterState) -> bool:
    first, second = ({one.key: one for one in state.modules} for state in (ours, theirs))
    return first.keys() == second.keys() and all(
        first[key].kind == second[key].kind
        and first[key].tensors.keys() == second[key].tensors.keys()
        and all(torch.equal(one, second[key].tensors[name]) for name, one in first[key].tensors.items())
        for key in first
    )


@pytest.fixture(scope="module", params=KINDS)
def trained(request, folder):
    """Adapter, base weights, and what peft itself adds to them."""
    parts = tiny_parts(folder)
    adapt(parts, request.param)
    return collect(parts, "sd1"), base_weights(parts), merged_differences(parts)


@pytest.mark.parametrize(("dtype", "most"), [("float32", 1e-5), ("float16", 1e-3)])
def test_what_the_file_adds_is_what_peft_merges(trained, dtype, most, tmp_path):
    state, base, theirs = trained
    write_lora(state, tmp_path / "lora.safetensors", {}, dtype)
    assert error(delta_weights(read_lora(tmp_path / "lora.safetensors"), base), theirs) <= most


def test_saving_and_loading_is_the_identity(trained, folder, tmp_path):
    state, _, theirs = trained
    write_lora(state, tmp_path / "lora.safetensors", {}, "float32")
    back = read_lora(tmp_path / "lora.safetensors")
    assert same(back, state)
    fresh = tiny_parts(folder)
    load_adapter(fresh, back)
    assert same(collect(fresh, "sd1"), state)
    assert error(merged_differences(fresh), theirs) <= 1e-6


def test_loading_into_an_adapter_that_is_there_keeps_its_parameters(parts, folder):
    adapt(parts, "lora", seed=1)
    other = tiny_parts(folder)
    adapt(other, "lora", seed=2)
    before = [id(parameter) for parameter in parts["unet"].parameters()]
    load_adapter(parts, collect(other, "sd1"))
    assert [id(parameter) for parameter in parts["unet"].parameters()] == before
    assert same(collect(parts, "sd1"), collect(other, "sd1"))


def test_another_rank_than_the_adapters_is_named(parts, folder):
    adapt(parts, "lora")
    state = collect(parts, "sd1")
    other = tiny_parts(folder)
    KINDS["lora"]["r"] = 5
    adapt(other, "lora")
    del KINDS["lora"]["r"]
    with pytest.raises(InputError, match="same rank"):
        load_adapter(other, state)


def test_rslora_is_written_as_the_alpha_that_gives_its_scale(parts):
    adapt(parts, "rslora")
    module = collect(parts, "sd1").modules[0]
    assert module.scale == pytest.approx(2.0 / 3**0.5) and module.rank == 3
    assert module.tensors["alpha"].dtype == torch.float32 and module.tensors["alpha"].dim() == 0


def test_projections_keep_the_dimensions_of_the_models_own(parts):
    adapt(parts, "lora")
    shapes = {one.path: one.tensors["lora_down.weight"].dim() for one in collect(parts, "sd1").modules}
    assert shapes["down_blocks.0.attentions.0.proj_in"] == 4  # a 1×1 convolution
    assert shapes["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"] == 2
    assert shapes["text_model.encoder.layers.0.mlp.fc1"] == 2


def test_an_adapter_that_is_not_there_is_named(parts):
    with pytest.raises(InputError, match="no adapter 'default' in unet, text_encoder"):
        collect(parts, "sd1")


# --- what is not written ---


def one_module(**tensors: torch.Tensor) -> AdapterState:
    given = {"lora_down.weight": torch.ones(2, 4), "lora_up.weight": torch.ones(8, 2), "alpha": torch.tensor(2.0)}
    path = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    return AdapterState("sd1", (LoraModule("unet", path, "lora", given | tensors),))


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (torch.full((8, 2), torch.nan), "NaN"),
        (torch.full((8, 2), torch.inf), "NaN or infinity .*lower the learning rate"),
        (torch.full((8, 2), 1e5), "does not fit into float16 .*write float32"),
        (torch.zeros(8, 2), "changes nothing"),
        (torch.full((8, 2), 1e-9), "changes nothing.*in float32 if float16 is too coarse"),
    ],
)
def test_a_file_that_would_break_or_do_nothing_is_not_written(tensor, words, tmp_path):
    path = tmp_path / "lora.safetensors"
    with pytest.raises(InputError, match=words):
        write_lora(one_module(**{"lora_up.weight": tensor}), path, {})
    assert list(tmp_path.iterdir()) == []


def test_a_zero_may_be_written_where_it_is_asked_for(tmp_path):
    state = one_module(**{"lora_up.weight": torch.zeros(8, 2)})
    write_lora(state, tmp_path / "lora.safetensors", {}, allow_zero=True)
    assert read_lora(tmp_path / "lora.safetensors").modules[0].changes_nothing


def test_hashes_are_those_of_sd_scripts(tmp_path):
    """The model's: all behind the header. The old one: 64 KiB from 1 MiB on, with only `ss_` in the metadata."""
    state, path = random_lora("sd1"), tmp_path / "lora.safetensors"
    given = {"ss_output_name": "a", "modelspec.title": "b"}
    returned = write_lora(state, path, given)
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    metadata = json.loads(data[8:start])["__metadata__"]
    assert metadata["sshs_model_hash"] == hashlib.sha256(data[start:]).hexdigest() == returned
    trained = save(load_file(path), {"ss_output_name": "a"})
    assert metadata["sshs_legacy_hash"] == hashlib.sha256(trained[0x100000:0x110000]).hexdigest()[:8]
    assert metadata["modelspec.hash_sha256"] == f"0x{returned}"
    assert write_lora(state, path, {"ss_output_name": "other", "user": "c"}) == returned


def test_alpha_and_magnitudes_stay_float32(tmp_path):
    write_lora(random_lora("sd1", "dora"), tmp_path / "lora.safetensors", {})
    dtypes = {name.partition(".")[2]: one.dtype for name, one in load_file(tmp_path / "lora.safetensors").items()}
    half, full = torch.float16, torch.float32
    assert dtypes == {"lora_down.weight": half, "lora_up.weight": half, "alpha": full, "dora_scale": full}


# --- what is not read ---


def forged(header: dict | bytes, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


TENSOR = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
BROKEN = {
    "empty": b"",
    "a header longer than the file": struct.pack("<Q", 1 << 40) + b"{}",
    "no JSON": forged(b"{not json"),
    "overlapping tensors": forged({"a": TENSOR, "b": TENSOR}, b"1234"),
    "a hole": forged({"a": {**TENSOR, "data_offsets": [4, 8]}}, b"12345678"),
    "torn": forged({"a": {**TENSOR, "shape": [100], "data_offsets": [0, 400]}}, b"1234"),
    "shape and length differ": forged({"a": {**TENSOR, "shape": [9]}}, b"1234"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named(name, tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(BROKEN[name])
    with pytest.raises(InputError, match=r"broken\.safetensors"):
        read_lora(path)


@pytest.mark.parametrize("protocol", ["zip", "pickle"])
def test_pickles_are_not_opened_whatever_they_are_called(protocol, tmp_path):
    path = tmp_path / "lora.safetensors"
    torch.save({"a": torch.ones(1)}, path, _use_new_zipfile_serialization=protocol == "zip")
    with pytest.raises(InputError, match=r"pickled .*lora\.safetensors"):
        read_lora(path)


def test_a_header_that_begins_like_a_pickle_is_none(tmp_path):
    """0x80 is also the low byte of one header length in 256."""
    path = tmp_path / "lora.safetensors"
    for extra in range(0, 256, 8):
        write_lora(one_module(), path, {"ss_x": "x" * extra})
        if path.read_bytes()[0] == 0x80:
            assert len(read_lora(path).modules) == 1
            return
    raise AssertionError("no header of that length")


HALVES = (("up", 2), ("down", 3))  # of no common rank


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"model.diffusion_model.out.2.weight": 1}, "it holds model.diffusion_model.out.2.weight"),
        ({"lora_unet_mid_block_attentions_0_proj_in.lora_up.weight": 1}, "no whole LoRA"),
        (
            {f"lora_unet_mid_block_attentions_0_proj_in.lora_{half}.weight": rank for half, rank in HALVES},
            "can't be used",
        ),
        ({}, "no tensors"),
    ],
)
def test_another_kind_of_file_is_named(keys, words, tmp_path):
    path = tmp_path / "lora.safetensors"
    path.write_bytes(save({name: torch.ones(rank, rank) for name, rank in keys.items()}))
    with pytest.raises(InputError, match=rf"{words}.*lora\.safetensors"):
        read_lora(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no such LoRA file .*lora\.safetensors"):
        read_lora(tmp_path / "lora.safetensors")


def test_a_disk_that_keeps_other_bytes_than_it_was_given_is_named(tmp_path, monkeypatch):
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path)[:-1] + b"x")
    with pytest.raises(InputError, match=r"reads back differently .*lora\.safetensors.*check the disk"):
        write_lora(one_module(), tmp_path / "lora.safetensors", {})


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_the_family_is_read_from_the_tensors_whatever_the_metadata_says(family, tmp_path):
    write_lora(random_lora(family), tmp_path / "lora.safetensors", {"ss_base_model_version": "sd_v1"})
    assert read_lora(tmp_path / "lora.safetensors").family == family


@pytest.mark.parametrize(
    ("metadata", "family"),
    [({}, "sd1"), ({"ss_base_model_version": "sdxl_base_v1-0"}, "sdxl"), ({"ss_v2": "True"}, "sd2")]
    + [({"ss_v2": "False", "ss_base_model_version": "sd_v1"}, "sd1")],
)
def test_the_family_is_that_of_the_metadata_where_the_tensors_fit_every_one(metadata, family, tmp_path):
    write_lora(one_module(), tmp_path / "lora.safetensors", metadata)
    assert read_lora(tmp_path / "lora.safetensors").family == family


def test_dora_needs_the_base_weight(parts):
    adapt(parts, "dora")
    with pytest.raises(InputError, match="base weight"):
        delta_weights(collect(parts, "sd1"))


# --- diffusers ---


@pytest.fixture
def pipeline(folder):
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)


def loaded(pipeline) -> dict[str, torch.Tensor]:
    parts = {"unet": pipeline.unet, "text_encoder": pipeline.text_encoder}
    return merged_differences(parts, "ours")


@pytest.mark.parametrize("kind", ["lora", "rslora"])
def test_diffusers_loads_all_of_our_file_and_adds_the_same(kind, parts, pipeline, tmp_path):
    adapt(parts, kind)
    write_lora(collect(parts, "sd1"), tmp_path / "lora.safetensors", {}, "float32")
    pipeline.load_lora_weights(str(tmp_path / "lora.safetensors"), adapter_name="ours")
    assert error(loaded(pipeline), merged_differences(parts)) <= 1e-5


@pytest.mark.parametrize("kind", ["lora", "rslora", "dora"])
def test_the_form_of_diffusers_goes_there_and_comes_back(kind, parts, pipeline, tmp_path):
    adapt(parts, kind)
    base, theirs = base_weights(parts), merged_differences(parts)
    write_diffusers(collect(parts, "sd1"), tmp_path / "peft.safetensors", "float32")
    pipeline.load_lora_weights(str(tmp_path / "peft.safetensors"), adapter_name="ours")
    assert error(loaded(pipeline), theirs) <= 1e-5
    assert error(delta_weights(read_lora(tmp_path / "peft.safetensors"), base), theirs) <= 1e-5


@pytest.mark.parametrize("kind", ["lora", "rslora"])
def test_a_file_that_diffusers_itself_saved_is_read(kind, parts, pipeline, tmp_path):
    """Its own: alphas in the metadata, text encoder without `text_model.` since transformers 5."""
    adapt(parts, kind, "ours")
    pipeline.unet, pipeline.text_encoder = parts["unet"], parts["text_encoder"]
    from peft import get_peft_model_state_dict

    layers = {part: get_peft_model_state_dict(model, adapter_name="ours") for part, model in parts.items()}
    configs = {part: model.peft_config["ours"] for part, model in parts.items()}
    pipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=layers["unet"],
        text_encoder_lora_layers=layers["text_encoder"],
        unet_lora_adapter_metadata=configs["unet"].to_dict(),
        text_encoder_lora_adapter_metadata=configs["text_encoder"].to_dict(),
    )
    state = read_lora(tmp_path / "pytorch_lora_weights.safetensors")
    assert error(delta_weights(state), merged_differences(parts, "ours")) <= 1e-5


def test_alphas_of_single_layers_and_old_names_of_text_layers_are_read_from_diffusers_form(tmp_path):
    """peft's `alpha_pattern` names layers by the end of their path; diffusers up to 0.17 wrote `to_q` for `q_proj`."""
    layers = ["unet.mid_block.attentions.0.proj_in", "unet.mid_block.attentions.0.proj_out"]
    layers += ["text_encoder.text_model.encoder.layers.0.self_attn.to_q"]
    tensors = {f"{layer}.lora.{half}.weight": torch.ones(2, 2) for layer in layers for half in ("up", "down")}
    config = {"unet.lora_alpha": 3.0, "unet.alpha_pattern": {"proj_out": 5.0, "out": 7.0}}
    path = tmp_path / "lora.safetensors"
    path.write_bytes(save(tensors, {"lora_adapter_metadata": json.dumps(config)}))
    alphas = {module.path.rpartition(".")[2]: module.tensors.get("alpha") for module in read_lora(path).modules}
    assert alphas == {"proj_in": 3.0, "proj_out": 5.0, "q_proj": None}


def test_diffusers_form_has_no_loha(parts, tmp_path):
    adapt(parts, "loha")
    with pytest.raises(InputError, match="no loha"):
        write_diffusers(collect(parts, "sd1"), tmp_path / "peft.safetensors")
