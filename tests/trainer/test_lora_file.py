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
    cast_tensors,
    collect,
    delta_weights,
    family_of_modules,
    load_adapter,
    read_lora,
    read_tensors,
    write_diffusers,
    write_lora,
    write_tensors,
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


NOTHING = "this LoRA changes nothing: in each of its modules a factor is 0"
LOWER = "lower the learning rate, or write float32 or bfloat16"
COARSE = "train longer, or write it in float32 if float16 is too coarse for it"
UP = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_up.weight"


@pytest.mark.parametrize(
    ("tensor", "words", "to_try"),
    [
        (torch.full((8, 2), torch.nan), f"{UP} holds NaN or infinity", LOWER),
        (torch.full((8, 2), torch.inf), f"{UP} holds NaN or infinity", LOWER),
        (torch.full((8, 2), 1e5), f"{UP} does not fit into float16", LOWER),
        (torch.zeros(8, 2), NOTHING, COARSE),
        (torch.full((8, 2), 1e-9), NOTHING, COARSE),
    ],
)
def test_a_file_that_would_break_or_do_nothing_is_not_written(tensor, words, to_try, tmp_path):
    path = tmp_path / "lora.safetensors"
    with pytest.raises(InputError) as caught:
        write_lora(one_module(**{"lora_up.weight": tensor}), path, {})
    assert str(caught.value) == f"{words} ({path}); {to_try}"
    assert list(tmp_path.iterdir()) == []


def test_a_lora_with_one_layer_that_would_do_nothing_is_written_and_read_with_its_metadata(tmp_path):
    block, modules = "mid_block.attentions.0.transformer_blocks.0", one_module().modules
    zero = one_module(**{"lora_up.weight": torch.zeros(8, 2)}).modules[0].tensors
    state = AdapterState("sd1", (*modules, LoraModule("unet", f"{block}.attn1.to_k", "lora", zero)))
    write_lora(state, tmp_path / "lora.safetensors", {"ss_output_name": "a", "user": "b"})
    back = read_lora(tmp_path / "lora.safetensors")
    assert [module.changes_nothing for module in back.modules] == [False, True]
    hashes = {"sshs_model_hash", "sshs_legacy_hash"}
    assert {key: value for key, value in back.metadata.items() if key not in hashes} == {
        "ss_output_name": "a",
        "user": "b",
    }
    assert {tensor.dtype for tensor in back.modules[0].tensors.values()} == {torch.float16, torch.float32}


def test_tensors_are_written_the_same_in_any_order_and_cast_apart_from_the_training(tmp_path):
    tensors = {"b": torch.ones(2, 3).T, "a": torch.zeros(4, requires_grad=True)}
    cast = cast_tensors(tensors, "bfloat16")
    assert {tensor.dtype for tensor in cast.values()} == {torch.bfloat16}
    assert not any(tensor.requires_grad for tensor in cast.values())
    first = write_tensors(cast, tmp_path / "new" / "first.safetensors", {})
    second = write_tensors(dict(reversed(cast.items())), tmp_path / "second.safetensors", {})
    assert first == second
    metadata = read_tensors(tmp_path / "second.safetensors")[1]
    assert metadata.keys() == {"sshs_model_hash", "sshs_legacy_hash"}
    with pytest.raises(InputError) as caught:
        cast_tensors({"a.alpha": torch.tensor(torch.nan)}, "float16")
    assert str(caught.value) == f"a.alpha holds NaN or infinity; {LOWER}"
    (tmp_path / "bare.safetensors").write_bytes(save({"a": torch.ones(1)}))
    assert read_tensors(tmp_path / "bare.safetensors")[1] == {}


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
    with pytest.raises(InputError, match="^this is no whole safetensors file: (?!None)") as caught:
        read_lora(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("protocol", ["zip", "pickle"])
def test_pickles_are_not_opened_whatever_they_are_called(protocol, tmp_path):
    path = tmp_path / "lora.safetensors"
    torch.save({"a": torch.ones(1)}, path, _use_new_zipfile_serialization=protocol == "zip")
    with pytest.raises(InputError) as caught:
        read_lora(path)
    reason = "pickled weights are not opened: they can run code"
    assert str(caught.value) == f"{reason} ({path}); a .safetensors file"


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
LAYER, OURS = "mid_block.attentions.0.proj_in", "lora_unet_mid_block_attentions_0_proj_in"
WHOLE = {f"{OURS}.lora_{half}.weight": 2 for half in ("up", "down")}
NO_LORA = "this is no LoRA of Stable Diffusion 1, 2 or XL: it holds"
MISFIT = "its factors do not fit each other: lora_down.weight (3, 3), lora_up.weight (2, 2)"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"model.diffusion_model.out.2.weight": 1}, f"{NO_LORA} model.diffusion_model.out.2.weight"),
        ({f"{OURS}.lora_up.weight": 1}, f"{LAYER} has lora_up.weight, which is no whole LoRA"),
        (
            {f"{OURS}.lora_up.weight": 1, f"{OURS}.alpha": 1},
            f"{LAYER} has alpha, lora_up.weight, which is no whole LoRA",
        ),
        (
            {f"{OURS}.lora_{half}.weight": rank for half, rank in HALVES},
            f"{LAYER} can't be used: {MISFIT}; make the file anew",
        ),
        ({**WHOLE, f"{OURS}.mood": 1}, f"{NO_LORA} {OURS}.mood"),
        ({**WHOLE, "mood.alpha": 1}, f"{NO_LORA} mood.alpha"),
        ({f"unet.{LAYER}.lora_{half}.weight": 2 for half in "AB"} | {"unet.mood": 1}, f"{NO_LORA} unet.mood"),
        (
            {f"lora_unet_double_blocks_0_img_attn_qkv.{name}": 1 for name in ("lora_up.weight", "lora_down.weight")},
            "this is a LoRA of FLUX; one of Stable Diffusion 1.x, 2.x or XL",
        ),
        ({}, f"{NO_LORA} no tensors"),
    ],
)
def test_another_kind_of_file_is_named(keys, words, tmp_path):
    path = tmp_path / "lora.safetensors"
    path.write_bytes(save({name: torch.ones(rank, rank) for name, rank in keys.items()}))
    with pytest.raises(InputError) as caught:
        read_lora(path)
    reason, _, to_try = words.partition("; ")
    assert str(caught.value) == f"{reason} ({path})" + f"; {to_try}" * bool(to_try)


def test_a_file_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "lora.safetensors"
    with pytest.raises(InputError) as caught:
        read_lora(path)
    assert str(caught.value) == f"there is no such LoRA file ({path}); check the path"


def test_a_disk_that_keeps_other_bytes_than_it_was_given_is_named(tmp_path, monkeypatch):
    read, path = Path.read_bytes, tmp_path / "lora.safetensors"
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path)[:-1] + b"x")
    with pytest.raises(InputError) as caught:
        write_lora(one_module(), path, {})
    assert str(caught.value) == f"what was written reads back differently ({path}); check the disk"


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


def layer(path: str, width: int = 320, part: str = "unet") -> LoraModule:
    return LoraModule(
        part, path, "lora", {"lora_down.weight": torch.ones(2, width), "lora_up.weight": torch.ones(8, 2)}
    )


BLOCK = "down_blocks.0.attentions.0.transformer_blocks"
TEXT = "text_model.encoder.layers.0.mlp.fc1"


@pytest.mark.parametrize(
    ("modules", "metadata", "names", "family"),
    [
        ([layer(f"{BLOCK}.0.attn2.to_k", 768)], {"ss_v2": "True"}, ["lora_te1_text"], "sd1"),
        ([layer(f"{BLOCK}.0.attn2.to_v", 1024)], {}, [], "sd2"),
        ([layer(f"{BLOCK}.0.attn2.to_k", 2048)], {}, [], "sdxl"),
        ([layer(f"{BLOCK}.0.attn1.to_k", 1024)], {}, ["lora_unet_te1"], "sd1"),
        ([layer(f"{BLOCK}.1.attn1.to_q")], {"ss_base_model_version": "sd_v1"}, [], "sdxl"),
        ([layer(f"{BLOCK}.0.attn1.to_q"), layer(TEXT, 768, "text_encoder_2")], {}, [], "sdxl"),
        ([layer(TEXT, 1024, "text_encoder")], {}, [], "sd2"),
        ([layer(TEXT, 768, "text_encoder")], {"ss_v2": "True"}, [], "sd1"),
        ([layer(TEXT, 768, "text_encoder")], {}, ["lora_te1_text_model"], "sdxl"),
        ([layer("mid_block.attentions.0.proj_in")], {}, ["lora_unet_mid", "lora_te1_text"], "sdxl"),
        ([layer("mid_block.attentions.0.proj_in")], {"ss_v2": "True", "ss_base_model_version": "sdxl"}, [], "sdxl"),
    ],
)
def test_which_family_is_decided_by_depth_and_parts_then_widths_then_names_then_metadata(
    modules, metadata, names, family
):
    assert family_of_modules(iter(modules), metadata, iter(names)) == family


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
    config |= {"unet.use_rslora": True}
    path.write_bytes(save(tensors, {"lora_adapter_metadata": json.dumps(config)}))
    alphas = sorted(float(module.alpha or 0) for module in read_lora(path).modules)
    assert alphas == pytest.approx([0, 3 * 2**0.5, 5 * 2**0.5])
    tensors |= {f"{layers[0]}.alpha": torch.tensor(4.0)}  # of the file itself: it counts
    path.write_bytes(save(tensors, {"lora_adapter_metadata": json.dumps(config)}))
    assert {module.path: module.alpha for module in read_lora(path).modules}["mid_block.attentions.0.proj_in"] == 4.0


def test_old_names_of_attention_processors_are_read_from_diffusers_form(tmp_path):
    block, path = f"unet.{BLOCK}.0.attn1", tmp_path / "lora.safetensors"
    names = [f"{block}.processor.to_{name}_lora.{half}.weight" for name in ("q", "out") for half in ("up", "down")]
    text = "text_encoder.text_model.encoder.layers.0.self_attn.to_out.lora_linear_layer"
    names += [f"{text}.{half}.weight" for half in ("up", "down")]
    path.write_bytes(save({name: torch.full((2, 2), float("up" in name)) for name in names}))
    modules = {module.key: module.tensors for module in read_lora(path).modules}
    attention = "text_encoder.text_model.encoder.layers.0.self_attn"
    assert modules.keys() == {f"{block}.to_q", f"{block}.to_out.0", f"{attention}.out_proj"}
    for tensors in modules.values():
        assert tensors["lora_up.weight"].all() and not tensors["lora_down.weight"].any()


def test_diffusers_form_has_no_loha(parts, tmp_path):
    adapt(parts, "loha")
    state = collect(parts, "sd1")
    with pytest.raises(InputError) as caught:
        write_diffusers(state, tmp_path / "peft.safetensors")
    assert str(caught.value) == f"diffusers' form has no loha ({state.modules[0].key}); write_lora"
    middle = one_module(**{"lora_mid.weight": torch.ones(2, 2, 3, 3)})
    with pytest.raises(InputError, match="^diffusers' form has no lora "):
        write_diffusers(middle, tmp_path / "peft.safetensors")
    assert not (tmp_path / "peft.safetensors").exists()


def test_magnitudes_have_the_names_and_shapes_of_diffusers_there_and_of_kohya_here(tmp_path):
    ones, path = torch.ones, tmp_path / "peft.safetensors"
    linear = {"lora_down.weight": ones(2, 4), "lora_up.weight": ones(8, 2), "dora_scale": ones(8, 1)}
    kernel = {"lora_down.weight": ones(2, 4, 3, 3), "lora_up.weight": ones(8, 2, 1, 1), "dora_scale": ones(8, 1, 1, 1)}
    query, convolution = f"{BLOCK}.0.attn1.to_q", "mid_block.resnets.0.conv1"
    modules = [("unet", query, linear), ("unet", convolution, kernel), ("text_encoder", TEXT, linear)]
    state = AdapterState("sd1", tuple(LoraModule(part, name, "lora", tensors) for part, name, tensors in modules))
    write_diffusers(state, path)
    there = {name: tensor.shape for name, tensor in read_tensors(path)[0].items() if "magnitude" in name}
    assert there == {
        f"unet.{query}.lora_magnitude_vector": (8,),
        f"unet.{convolution}.lora_magnitude_vector": (1, 8, 1, 1),
        f"text_encoder.{TEXT}.lora_magnitude_vector.weight": (8,),
    }
    here = {module.path: module.tensors["dora_scale"].shape for module in read_lora(path).modules}
    assert here == {query: (8, 1), convolution: (8, 1, 1, 1), TEXT: (8, 1)}


def test_the_form_of_diffusers_is_in_half_precision_with_the_scale_in_its_second_factor(tmp_path):
    path, state = tmp_path / "peft.safetensors", one_module(alpha=torch.tensor(1.0))
    write_diffusers(state, path)
    tensors, metadata = read_tensors(path)
    key = state.modules[0].key
    assert tensors.keys() == {f"{key}.lora_A.weight", f"{key}.lora_B.weight"} and metadata["format"] == "pt"
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert (tensors[f"{key}.lora_B.weight"] == 0.5).all() and (tensors[f"{key}.lora_A.weight"] == 1).all()
    with pytest.raises(InputError) as caught:
        write_diffusers(one_module(**{"lora_up.weight": torch.full((8, 2), torch.nan)}), path)
    assert str(caught.value) == f"{key}.lora_B.weight holds NaN or infinity ({path}); {LOWER}"
