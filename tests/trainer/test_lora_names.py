"""Names are those of sd-scripts, letter by letter, and lead back to the module."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lora_samples import random_lora

from modiste.checkpoints.families.configs import configs_of
from modiste.core.errors import InputError
from modiste.trainer.lora.names import (
    UNetLayout,
    checkpoint_slot,
    diffusers_path,
    kohya_name,
    layout_of,
    parse_kohya_name,
    sgm_path,
)
from modiste.trainer.lora.targets import targets_of

FAMILIES = ("sd1", "sd2", "sdxl")
COUNTS = {"sd1": (192, 86, 72), "sd2": (192, 86, 138), "sdxl": (722, 66, 264)}


def golden(family: str) -> dict[str, dict[str, list[list[int]]]]:
    """Kohya's own names → shapes of down and up at rank 4: `unet`, `unet_resnets`, `text`."""
    return json.loads((Path(__file__).parents[1] / "data" / f"lora_{family}.json").read_text())


def shapes_of(family: str, kind: str, resnets: bool) -> dict[str, list[int]]:
    return {name: list(one.shape) for name, one in random_lora(family, kind, resnets, rank=4).named_tensors()}


@pytest.mark.parametrize("family", FAMILIES)
def test_names_and_shapes_are_those_of_sd_scripts(family):
    theirs = golden(family)
    assert tuple(len(theirs[part]) for part in ("unet", "unet_resnets", "text")) == COUNTS[family]
    for resnets in (False, True):
        parts = [theirs["unet"], theirs["text"]] + [theirs["unet_resnets"]] * resnets
        wanted = {}
        for name, (down, up) in ((name, one) for part in parts for name, one in part.items()):
            wanted |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": []}
        assert shapes_of(family, "lora", resnets) == wanted


@pytest.mark.parametrize("family", FAMILIES)
def test_dora_adds_one_magnitude_a_row_in_the_weights_own_dimensions(family):
    ours, theirs = shapes_of(family, "dora", True), golden(family)
    every = {**theirs["unet"], **theirs["unet_resnets"], **theirs["text"]}
    magnitudes = {name: shape for name, shape in ours.items() if name.endswith(".dora_scale")}
    assert magnitudes == {f"{name}.dora_scale": [up[0]] + [1] * (len(up) - 1) for name, (_, up) in every.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_name_leads_back_to_its_module(family):
    for part, shapes in targets_of(family).shapes.items():
        for path in shapes:
            assert parse_kohya_name(kohya_name(family, part, path)) == (part, path)
            if part == "unet":
                assert diffusers_path(sgm_path(path, layout_of(family))) == path


@pytest.mark.parametrize("family", FAMILIES)
def test_the_layout_of_the_published_config_is_the_familys(family):
    assert UNetLayout.of(configs_of(family)["unet"]) == layout_of(family)


def test_text_encoder_paths_of_transformers_4_and_5_get_one_name():
    wanted = "lora_te_text_model_encoder_layers_3_self_attn_q_proj"
    assert kohya_name("sd1", "text_encoder", "text_model.encoder.layers.3.self_attn.q_proj") == wanted
    assert kohya_name("sd1", "text_encoder", "encoder.layers.3.self_attn.q_proj") == wanted


def test_sdxl_in_diffusers_spelling_is_understood_too():
    assert parse_kohya_name("lora_unet_down_blocks_1_attentions_0_proj_in") == parse_kohya_name(
        "lora_unet_input_blocks_4_1_proj_in"
    )


@pytest.mark.parametrize(
    "name",
    ["unet.down_blocks.0", "lora_unet", "lora_transformer_blocks_0", "lora_unet_input_blocks_4_1", "bundle_emb"],
)
def test_what_is_no_kohya_name_is_none(name):
    assert parse_kohya_name(name) is None


def test_a_part_that_a_family_lacks_is_named():
    with pytest.raises(InputError, match="sd1 has no part 'text_encoder_2'"):
        kohya_name("sd1", "text_encoder_2", "text_model.encoder.layers.0.mlp.fc1")


def test_weights_are_found_in_checkpoints_of_hosts():
    upsampler = "up_blocks.0.upsamplers.0.conv"
    keys = [checkpoint_slot(family, "unet", upsampler).key for family in ("sd1", "sdxl")]
    assert keys == [f"model.diffusion_model.output_blocks.2.{place}.conv.weight" for place in (1, 2)]
    value = checkpoint_slot("sdxl", "text_encoder_2", "text_model.encoder.layers.7.self_attn.v_proj")
    assert value.key == "conditioner.embedders.1.model.transformer.resblocks.7.attn.in_proj_weight"
    assert value.third == 2
