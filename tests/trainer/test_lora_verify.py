"""What each program would make of a file, by its own rules."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from lora_samples import adapt, random_lora, tiny_parts
from safetensors.torch import load_file, save_file

from modiste.core.errors import InputError
from modiste.routes.compare.tuned import open_tuned
from modiste.trainer.lora.file import AdapterState, LoraModule, collect, read_lora, write_diffusers, write_lora
from modiste.trainer.lora.tools import inspect, merge, resize
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
    assert [found[name].applied for name in READERS] == [350, 350, 350, 350]
    assert "the picture breaks" in found["A1111"].notes[0]


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
    assert found["A1111"].applied == found["ComfyUI"].applied == 263
    assert "shape" in found["A1111"].notes[0] and "another shape" in found["ComfyUI"].notes[0]
    assert found["Forge"].applied == 0 and "drawing ends with an error" in found["Forge"].notes[0]
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


# ── files that load and are no good ──

Q = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"  # 320 × 320 in SD 1.5
RESNET = "lora_unet_down_blocks_0_resnets_0_conv1"  # 320 × 320 × 3 × 3


def file_of(folder, tensors, metadata=None):
    """A file of any tensors, as any program may have left it."""
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / "any.safetensors", metadata)
    return folder / "any.safetensors"


def pair(up, down, name=Q):
    return {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down, f"{name}.alpha": torch.tensor(4.0)}


def test_a_file_of_nan_is_verified_by_none_inspected_and_neither_merged_nor_resized(tmp_path):
    path = file_of(tmp_path, pair(torch.full((320, 4), torch.nan), torch.ones(4, 320)))
    for report in reports(path).values():
        assert not report.ok and any("hold NaN or infinity" in note for note in report.notes), report.reader
        assert report.applied == 1, "it does load: that is what makes it a trap"
    seen = inspect(path)
    assert seen["not_finite"] == ["unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"]
    assert list(seen["norms"].values()) == [None] and seen["norm"] == 0
    for attempt in (lambda: merge(path, 1.0, tmp_path, tmp_path / "out"), lambda: resize(path, tmp_path / "out.st")):
        with pytest.raises(InputError, match="attn1.to_q holds NaN or infinity in lora_up.weight"):
            attempt()
    assert [file.name for file in tmp_path.iterdir()] == ["any.safetensors"]


def test_a_file_in_which_every_module_is_zero_changes_nothing_and_is_verified_by_none(tmp_path):
    zero = pair(torch.zeros(320, 4), torch.ones(4, 320))
    for report in reports(file_of(tmp_path, zero)).values():
        assert not report.ok and any("the file changes nothing" in note for note in report.notes), report.reader
    one = {**zero, **pair(torch.ones(320, 4), torch.ones(4, 320), Q.replace("to_q", "to_k"))}
    assert all(report.ok for report in reports(file_of(tmp_path, one)).values()), "an untrained module beside others"


@pytest.mark.parametrize(
    "tensors",
    [
        pair(torch.ones(320, 4), torch.ones(8, 320)),
        pair(torch.ones(320), torch.ones(4, 320)),
        pair(torch.ones(320, 4), torch.ones(320)),
        pair(torch.ones(320, 4), torch.ones(4, 320)) | {f"{Q}.alpha": torch.ones(2)},
        {f"{Q}.hada_w{n}_{side}": torch.ones(320, 4) for n in (1, 2) for side in "ab"},
        {f"{Q}.lokr_w1": torch.ones(4), f"{Q}.lokr_w2": torch.ones(80, 80)},
    ],
    ids=["ranks", "flat up", "flat down", "two alphas", "loha", "lokr"],
)
def test_factors_that_do_not_fit_each_other_are_applied_by_none_and_named_by_every_tool(tensors, tmp_path):
    path = file_of(tmp_path, tensors)
    for report in reports(path).values():
        assert (report.applied, report.ok) == (0, False), report.reader
    for attempt in (
        lambda: inspect(path),
        lambda: merge(path, 1.0, tmp_path, tmp_path / "out"),
        lambda: resize(path, tmp_path / "out.safetensors"),
    ):
        with pytest.raises(InputError, match="attn1.to_q can't be used: (its factors do not fit|alpha has 2 numbers)"):
            attempt()


def test_a_resized_loha_of_a_convolution_is_one_that_all_programs_take(tmp_path):
    generator = torch.Generator().manual_seed(0)
    loha = {
        f"{RESNET}.hada_w{n}_{side}": 0.1 * torch.randn((320, 2) if side == "a" else (2, 320 * 9), generator=generator)
        for n in (1, 2)
        for side in "ab"
    }
    path = file_of(tmp_path, loha)
    resize(path, tmp_path / "resized.safetensors", tolerance=0.0)
    assert all(report.ok for report in reports(tmp_path / "resized.safetensors").values())
    [before], [after] = read_lora(path).modules, read_lora(tmp_path / "resized.safetensors").modules
    assert after.shape == (320, 320, 3, 3) and before.shape == (320, 2880)


# ── kinds that only some programs take ──

SGM_Q = Q.replace("down_blocks_0_attentions_0", "input_blocks_1_1")
BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
NORM = "lora_unet_down_blocks_0_attentions_0_norm"  # 320
FOREIGN = {
    "ia3": ({f"{Q}.weight": torch.ones(320), f"{Q}.on_input": torch.tensor(False)}, {"A1111"}),
    "glora": (
        {
            f"{Q}.{name}": torch.ones(4, 320) if name in ("a1.weight", "b1.weight") else torch.ones(320, 4)
            for name in ("a1.weight", "a2.weight", "b1.weight", "b2.weight")
        }
        | {f"{Q}.alpha": torch.tensor(1.0)},
        {"A1111", "ComfyUI", "Forge"},
    ),
    "oft": ({f"{Q}.oft_blocks": torch.ones(8, 40, 40), f"{Q}.alpha": torch.tensor(0.1)}, {"A1111", "ComfyUI"}),
    "boft": (
        {f"{Q}.oft_blocks": torch.full((2, 8, 40, 40), 0.1), f"{Q}.alpha": torch.tensor(0.1)},
        {"A1111", "ComfyUI"},
    ),
    "norm": ({f"{NORM}.w_norm": torch.ones(320), f"{NORM}.b_norm": torch.ones(320)}, {"A1111", "ComfyUI", "Forge"}),
    "full": ({f"{Q}.diff": torch.ones(320, 320)}, {"A1111", "ComfyUI", "Forge"}),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_kind_of_lycoris_is_said_to_be_applied_by_those_that_have_it(kind, tmp_path):
    tensors, takers = FOREIGN[kind]
    found = reports(file_of(tmp_path, tensors))
    assert {reader for reader in READERS if found[reader].applied} == takers
    assert {reader for reader in READERS if found[reader].ok} == takers


@pytest.mark.parametrize(
    ("tensors", "applied"),
    [
        # Each as the programs' own code does it: test_lora_verify_live.py.
        ({f"{Q}.oft_diag": torch.ones(40, 8, 8)}, {"A1111"}),
        ({f"{Q}.oft_blocks": torch.full((2, 8, 40, 40), 0.1)}, {"A1111"}),
        ({f"{RESNET}.weight": torch.ones(320), f"{RESNET}.on_input": torch.tensor(False)}, set()),
        (
            {f"{RESNET}.lokr_w1": torch.ones(4, 4), f"{RESNET}.lokr_t2": torch.ones(2, 2, 3, 3)}
            | {f"{RESNET}.lokr_w2_a": torch.ones(2, 80), f"{RESNET}.lokr_w2_b": torch.ones(2, 80)},
            {"A1111"},
        ),
        (
            {
                f"unet.{BLOCK}.attn1.processor.to_out_lora.{side}.weight": torch.ones(shape)
                for side, shape in (("up", (320, 4)), ("down", (4, 320)))
            },
            {"Forge", "ComfyUI", "diffusers"},
        ),
        (pair(torch.ones(320, 4), torch.ones(4, 320), SGM_Q), {"A1111", "Forge", "ComfyUI"}),
        (
            {f"{Q}.lora.up.weight": torch.ones(320, 4), f"{Q}.lora.down.weight": torch.ones(4, 320)},
            {"Forge", "ComfyUI"},
        ),
        (pair(torch.ones(320, 4), torch.ones(4, 300)), {"Forge"}),
    ],
    ids=[
        *("old oft", "boft without alpha", "ia3 of a convolution", "lokr with a core"),
        *("old processors", "sgm names", "dots before up", "narrower"),
    ],
)
def test_a_form_is_said_to_be_applied_by_those_whose_code_applies_it(tensors, applied, tmp_path):
    found = reports(file_of(tmp_path, tensors))
    assert {reader for reader in READERS if found[reader].applied} == applied
    narrower = {"Forge"} == applied
    assert {reader for reader in READERS if found[reader].ok} == (set() if narrower else applied)


def test_a_lora_of_stable_diffusion_1_with_diffusers_name_of_its_text_encoder_is_not_taken_for_sdxls(tmp_path):
    text = pair(torch.ones(768, 4), torch.ones(4, 768), "lora_te1_text_model_encoder_layers_0_self_attn_q_proj")
    both = text | pair(torch.ones(320, 4), torch.ones(4, 768), Q.replace("attn1_to_q", "attn2_to_k"))
    found = reports(file_of(tmp_path, both))
    assert [found[reader].applied for reader in READERS[:3]] == [2, 2, 2]
    assert inspect(file_of(tmp_path, text))["family"] == "sdxl", "in doubt the name decides"


@pytest.mark.parametrize("there", ["lora_up.weight", "hada_w1_a", "a1.weight", "lokr_w1"])
def test_a_factor_without_its_other_stops_comfyui_and_forge_which_do_not_ask_for_it(there, tmp_path):
    tensors = pair(torch.ones(320, 4), torch.ones(4, 320)) | {
        f"{Q.replace('to_q', 'to_k')}.{there}": torch.ones(320, 4)
    }
    found = reports(file_of(tmp_path, tensors))
    for reader in ("ComfyUI", "Forge"):
        assert found[reader].applied == 0 and "to_k" in found[reader].notes[0] and "missing" in found[reader].notes[0]


def test_comfyui_is_said_to_limit_a_rotation_too_much_and_to_leave_its_rescale_out(tmp_path):
    blocks = torch.randn((8, 40, 40), generator=torch.Generator().manual_seed(0))
    oft = {f"{Q}.oft_blocks": blocks, f"{Q}.alpha": torch.tensor(0.01), f"{Q}.rescale": torch.full((320, 1), 1.1)}
    found = reports(file_of(tmp_path, oft))
    assert found["A1111"].ok and found["ComfyUI"].applied == 1
    assert [word in note for word, note in zip(("limited", "rescale"), found["ComfyUI"].notes, strict=True)] == [
        True
    ] * 2
    wide = reports(file_of(tmp_path, oft | {f"{Q}.alpha": torch.tensor(1e4), f"{Q}.rescale": torch.ones(320, 1)}))
    assert wide["ComfyUI"].ok


def test_forge_counts_no_alpha_among_the_keys_that_are_left_over(tmp_path):
    layers = [Q.replace("attn1_to_q", f"attn{n}_to_{layer}") for n in (1, 2) for layer in ("q", "k", "v", "out_0")]
    boft = {f"{name}.oft_blocks": torch.full((2, 8, 40, 40), 0.1) for name in layers}
    boft |= {f"{name}.alpha": torch.tensor(0.1) for name in layers} | pair(
        torch.ones(320, 4), torch.ones(4, 320), SGM_Q
    )
    assert len(boft) == 16 + 3, "of 16 keys 8 are left over, and 12 are too many"
    assert reports(file_of(tmp_path, boft))["Forge"].applied == 1


def test_a_file_in_two_spellings_is_verified_without_warnings_of_libraries(tmp_path):
    mixed = {f"unet.{BLOCK}.attn1.to_q.lora.up.weight": torch.ones(320, 4)}
    mixed[f"unet.{BLOCK}.attn1.to_q.lora.down.weight"] = torch.ones(4, 320)
    mixed["unet.down_blocks.0.attentions.0.proj_in.lora_B.weight"] = torch.ones(320, 4, 1, 1)
    mixed["unet.down_blocks.0.attentions.0.proj_in.lora_A.weight"] = torch.ones(4, 320, 1, 1)
    assert reports(file_of(tmp_path, mixed))["diffusers"].modules == 2  # warnings are errors here


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("lora_unet_double_blocks_0_img_attn_proj", "FLUX"),
        ("transformer.single_transformer_blocks.0.attn.to_q", "FLUX"),
        ("lora_unet_joint_blocks_0_x_block_attn_proj", "Stable Diffusion 3"),
        ("transformer_blocks.0.attn.add_q_proj", "Qwen-Image"),
        ("diffusion_model.layers.0.attention.out", "diffusion transformer"),
    ],
)
def test_a_lora_of_another_model_is_not_taken_for_stable_diffusions(name, model, tmp_path):
    path = file_of(tmp_path, pair(torch.ones(64, 4), torch.ones(4, 64), name))
    for attempt in (verify, inspect, read_lora):
        with pytest.raises(InputError, match=f"this is a LoRA of .*{model}"):
            attempt(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_tuned_model_whose_file_holds_nan_is_refused_before_anything_is_drawn(value, tmp_path):
    file = file_of(tmp_path, pair(torch.full((320, 4), value), torch.ones(4, 320)))
    with pytest.raises(InputError, match="holds NaN or infinity.*any.safetensors"):
        open_tuned(file)
