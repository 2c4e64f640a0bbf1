"""Looking into LoRA files, making them smaller, merging them and cutting them out of models."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from lora_samples import adapt, base_weights, merged_differences, random_lora, tiny_parts
from PIL import Image
from safetensors.torch import load_file, save_file

from modiste.core.errors import InputError
from modiste.core.torchvision_ops import patch_torchvision_ops
from modiste.fashion.prompts.captions import caption_of
from modiste.models.presets import PRESETS
from modiste.models.vision import open_tagger
from modiste.routes.finetune.finetune import config_for, finetune
from modiste.trainer.lora.file import AdapterState, LoraModule, collect, delta_weights, read_lora, write_lora
from modiste.trainer.lora.names import checkpoint_slot
from modiste.trainer.lora.tools import bake, extract, inspect, merge, resize
from modiste.trainer.lora.verify import verify

ROOT = Path(__file__).parents[2]


def saved(parts, path, kind="lora", dtype="float32"):
    adapt(parts, kind)
    write_lora(collect(parts, "sd1"), path, {"ss_output_name": "linen"}, dtype)
    return path


def worst(ours, theirs):
    assert ours.keys() == theirs.keys()
    return max(float((ours[key] - theirs[key]).norm() / theirs[key].norm()) for key in theirs)


# --- inspect ---


def test_inspect_says_what_a_file_holds(tmp_path):
    write_lora(random_lora("sd1"), tmp_path / "lora.safetensors", {"ss_output_name": "linen"})
    found = inspect(tmp_path / "lora.safetensors")
    assert found["family"] == "sd1" and found["modules"] == {"unet": 278, "text_encoder": 72}
    assert found["kinds"] == {"lora": 350} and found["ranks"] == {"2": 350} and found["alphas"] == {"1.0": 350}
    assert found["dtypes"] == {"float16": 700} and found["scales"] == {"0.5": 350}
    assert found["metadata"]["ss_output_name"] == "linen" and len(found["metadata"]["sshs_model_hash"]) == 64
    assert found["untrained"] == []


def test_the_norm_is_that_of_the_whole_difference(parts, tmp_path):
    found = inspect(saved(parts, tmp_path / "lora.safetensors"))
    wanted = {key: float(one.norm()) for key, one in merged_differences(parts).items()}
    assert found["norms"] == pytest.approx(wanted, rel=1e-4)
    assert found["norm"] == pytest.approx(sum(one**2 for one in wanted.values()) ** 0.5, rel=1e-4)


@pytest.mark.parametrize(("kind", "name"), [("dora", "lora+dora"), ("loha", "loha"), ("lokr", "lokr")])
def test_other_kinds_are_named(kind, name, parts, tmp_path):
    found = inspect(saved(parts, tmp_path / "lora.safetensors", kind))
    assert found["kinds"] == {name: sum(found["modules"].values())}


# --- merge ---


@pytest.mark.parametrize("kind", ["lora", "dora", "loha", "lokr"])
def test_a_merged_folder_is_the_model_with_the_adapter_on(kind, parts, folder, tmp_path):
    lora = saved(parts, tmp_path / "lora.safetensors", kind)
    base, deltas = base_weights(parts), merged_differences(parts)
    merge(lora, 0.7, folder, tmp_path / "merged")
    merged = base_weights(tiny_parts(tmp_path / "merged"))
    for key, weight in merged.items():
        wanted = base[key] + 0.7 * deltas[key] if key in deltas else base[key]
        assert torch.allclose(weight, wanted, atol=1e-5), key


def test_a_strength_of_0_leaves_every_weight_as_it_is(parts, folder, tmp_path):
    merge(saved(parts, tmp_path / "lora.safetensors"), 0.0, folder, tmp_path / "merged")
    for part in ("unet", "text_encoder", "vae"):
        file = next((folder / part).glob("*.safetensors"))
        before, after = load_file(file), load_file(tmp_path / "merged" / part / file.name)
        assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


def test_nothing_is_overwritten_and_nothing_half_done_is_left(parts, folder, tmp_path):
    lora = saved(parts, tmp_path / "lora.safetensors")
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="something already"):
        merge(lora, 1.0, folder, tmp_path / "there")
    state = read_lora(lora)
    strange = LoraModule("unet", "up_blocks.9.attentions.0.proj_in", "lora", state.modules[0].tensors)
    write_lora(AdapterState("sd1", (strange,)), lora, {})
    with pytest.raises(InputError, match=r"up_blocks\.9"):
        merge(lora, 1.0, folder, tmp_path / "merged")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["lora.safetensors", "there"]


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_a_checkpoint_of_a_host_is_merged_in_its_own_names(family, tmp_path):
    """A few modules of each part, in a made-up checkpoint; open_clip's q, k and v are thirds of one tensor."""
    state = random_lora(family)
    ends = ("mid_block.attentions.0.proj_in", "layers.0.self_attn.v_proj", "layers.0.mlp.fc1")
    state = AdapterState(family, tuple(one for one in state.modules if one.path.endswith(ends)))
    write_lora(state, tmp_path / "lora.safetensors", {"ss_v2": str(family == "sd2")}, "float32")
    tensors, slots = {"untouched": torch.ones(3)}, {}
    for one in state.modules:
        slots[one.key] = slot = checkpoint_slot(family, one.part, one.path)
        rows = one.shape[0] * (1 if slot.third is None else 3)
        tensors[slot.key] = torch.randn(rows, *one.shape[1:], generator=torch.Generator().manual_seed(0)).half()
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    merge(tmp_path / "lora.safetensors", 0.5, tmp_path / "model.safetensors", tmp_path / "merged.safetensors")
    merged, deltas = load_file(tmp_path / "merged.safetensors"), delta_weights(state)
    for key, slot in slots.items():
        change = merged[slot.key].float() - tensors[slot.key].float()
        if slot.third is not None:
            thirds = change.chunk(3)
            assert not thirds[0].any() and not thirds[1].any()
            change = thirds[slot.third]
        assert torch.allclose(change, 0.5 * deltas[key], atol=2e-3)
    assert torch.equal(merged["untouched"], tensors["untouched"])
    assert all(merged[key].dtype == tensors[key].dtype for key in tensors)


# --- resize ---


@pytest.mark.parametrize("tolerance", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("kind", ["lora", "loha", "lokr"])
def test_a_resized_file_stays_within_the_tolerance(kind, tolerance, parts, tmp_path):
    saved(parts, tmp_path / "lora.safetensors", kind)
    before = delta_weights(read_lora(tmp_path / "lora.safetensors"))
    ranks = resize(tmp_path / "lora.safetensors", tmp_path / "small.safetensors", tolerance, "float32")
    after = delta_weights(read_lora(tmp_path / "small.safetensors"))
    for key, delta in before.items():
        assert (after[key].flatten() - delta.flatten()).norm() <= (tolerance + 1e-5) * delta.norm()
        sigma = torch.linalg.svdvals(delta.flatten(1).double())
        smaller = sigma[ranks[key] - 1 :].square().sum().sqrt()  # what one rank less would lose
        assert ranks[key] == 1 or smaller > tolerance * sigma.norm()


def test_a_rank_that_was_never_used_goes_away(tmp_path):
    state = random_lora("sd1", resnets=False, rank=2)
    padded = tuple(
        LoraModule(
            one.part,
            one.path,
            "lora",
            {
                "lora_down.weight": torch.cat([one.tensors["lora_down.weight"]] * 3),
                "lora_up.weight": torch.cat([one.tensors["lora_up.weight"]] * 3, dim=1),
                "alpha": torch.tensor(6.0),
            },
        )
        for one in state.modules[:8]
    )
    write_lora(AdapterState("sd1", padded), tmp_path / "lora.safetensors", {"ss_output_name": "linen"}, "float32")
    ranks = resize(tmp_path / "lora.safetensors", tmp_path / "small.safetensors", 1e-4)
    assert set(ranks.values()) == {2}
    metadata = read_lora(tmp_path / "small.safetensors").metadata
    assert metadata["ss_output_name"] == "linen" and metadata["ss_network_dim"] == "2"


def test_a_tolerance_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="tolerance is 1.5; it must be between 0 and 1"):
        resize(tmp_path / "a.safetensors", tmp_path / "b.safetensors", 1.5)


# --- extract ---


def test_a_change_of_low_rank_is_extracted_exactly(parts, folder, tmp_path):
    lora = saved(parts, tmp_path / "lora.safetensors")
    merge(lora, 1.0, folder, tmp_path / "tuned")
    found = extract(folder, tmp_path / "tuned", 3, tmp_path / "extracted.safetensors", "float32")
    before, after = delta_weights(read_lora(lora)), delta_weights(read_lora(tmp_path / "extracted.safetensors"))
    assert found["modules"] == len(before) and found["left_out"] == [] and found["error"] <= 1e-5
    assert worst(after, before) <= 1e-4


def test_what_no_lora_holds_is_named(folder, tmp_path):
    tuned = shutil.copytree(folder, tmp_path / "tuned")
    file = tuned / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["conv_norm_out.weight"] += 1
    tensors["mid_block.attentions.0.proj_in.weight"] += torch.randn(
        tensors["mid_block.attentions.0.proj_in.weight"].shape, generator=torch.Generator().manual_seed(0)
    )
    save_file(tensors, file)
    found = extract(folder, tuned, 2, tmp_path / "lora.safetensors")
    assert found["modules"] == 1 and found["left_out"] == ["unet.conv_norm_out"] and 0 < found["error"] < 1


def test_equal_models_have_nothing_to_extract(folder, tmp_path):
    with pytest.raises(InputError, match="equal"):
        extract(folder, folder, 2, tmp_path / "lora.safetensors")


@torch.inference_mode()
def mean_loss(pipe, images, captions, timesteps: int = 16) -> float:
    """Over images, timesteps in equal steps, and noise of a fixed seed."""
    at = torch.arange(timesteps) * 1000 // timesteps + 500 // timesteps
    generator, found = torch.Generator().manual_seed(0), []
    for image, caption in zip(images, captions, strict=True):
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1
        latents = pipe.vae.encode(pixels).latent_dist.mean * pipe.vae.config.scaling_factor
        noise = torch.randn(timesteps, *latents.shape[1:], generator=generator)
        words = pipe.encode_prompt(caption, "cpu", 1, False)[0].expand(timesteps, -1, -1)
        noisy = pipe.scheduler.add_noise(latents.expand_as(noise), noise, at)
        found.append((pipe.unet(noisy, at, words).sample - noise).square().mean())
    return float(torch.stack(found).mean())


@pytest.mark.slow
def test_a_lora_cut_out_of_a_full_fine_tune_keeps_nine_tenths_of_its_gain(tmp_path):
    """The loss on photos that were held out, on fixed noise over the whole schedule: base, full fine-tune, LoRA."""
    patch_torchvision_ops()
    from diffusers import StableDiffusionPipeline

    preset, photos = PRESETS["mini"], ROOT / "examples" / "collection"
    asked = {"method": "full", "steps": 60, "validation": {"every": 60, "patience": 0, "pictures": 0}}
    trained = finetune(config_for(preset, [photos], asked), tmp_path / "run", preset, device="cpu")
    held_out = [Path(path) for path in trained.record["photos"]["held_out"]]
    images = [Image.open(path).convert("RGB").resize((64, 64), Image.Resampling.LANCZOS) for path in held_out]
    tagger = open_tagger(preset, "cpu")
    captions = [caption_of(tags, tagger.taxonomy, "", None) for tags in tagger.tag(images)]
    extract(Path(preset.checkpoint), trained.file, 16, tmp_path / "lora.safetensors")

    def loss_of(model: Path, lora: Path | None = None) -> float:
        pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None, dtype=torch.float32)
        if lora:
            pipe.load_lora_weights(lora.parent, weight_name=lora.name)
        return mean_loss(pipe, images, captions)

    base = loss_of(Path(preset.checkpoint))
    full, cut = base - loss_of(trained.file), base - loss_of(Path(preset.checkpoint), tmp_path / "lora.safetensors")
    assert full > 0 and cut >= 0.9 * full


# --- bake ---


def test_a_baked_dora_adds_the_same_and_loads_in_every_host(parts, folder, tmp_path):
    lora = saved(parts, tmp_path / "dora.safetensors", "dora")
    bake(lora, folder, tmp_path / "baked.safetensors", "float32")
    assert worst(delta_weights(read_lora(tmp_path / "baked.safetensors")), merged_differences(parts)) <= 1e-5
    found = {one.reader: one.ok for one in verify(tmp_path / "baked.safetensors", folder)}
    assert found["ComfyUI"] and found["Forge"] and not found["diffusers"]
