"""Training learns, touches nothing else, keeps the best step, and writes a file that draws what was trained."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from train_samples import config, draw_photos, run_of, tiny_base, tiny_xl, trained

from modiste.core.errors import InputError, MissingWeights, Stopped
from modiste.core.progress import Pace, silent
from modiste.fashion.photos import read_photo
from modiste.trainer.data.sampler import BatchSampler, SampleVisit
from modiste.trainer.loop.checkpoint import whole_checkpoints
from modiste.trainer.loop.loss_curve import draw_curve, running_mean
from modiste.trainer.loop.memory_plan import MemoryFigures, first_plan, fitted, kept_plan, state_bytes
from modiste.trainer.loop.optimizers import LARGEST_SCALE, PATIENCE, LossScale, rate_factor
from modiste.trainer.loop.step_log import StepLog
from modiste.trainer.loop.validation import Validation, ValidationResult, strata
from modiste.trainer.lora.file import read_lora
from modiste.trainer.lora.peft_layers import load_adapter
from modiste.trainer.model.base_model import open_base
from modiste.trainer.model.text_encoding import encode
from modiste.trainer.results import LORA_FILE, MODEL_FOLDER, finish, step_file
from modiste.trainer.run import CHECKPOINTS
from modiste.trainer.train import take_steps

LORA = {
    "lora": dict(network=dict(rank=4, alpha=2.0)),
    "rslora": dict(network=dict(rslora=True, rank=4)),
    "convolutions": dict(network=dict(rank=4, conv_rank=2, conv_alpha=1.0)),
    "blocks": dict(network=dict(rank=4, conv_rank=2, blocks=["mid", "up"])),
    "loha": dict(network=dict(kind="loha", rank=4, conv_rank=2)),
    "lokr": dict(network=dict(kind="lokr", rank=4, conv_rank=2)),
    "dora": dict(network=dict(dora=True, rank=4, conv_rank=2)),
    "text encoder": dict(network=dict(rank=4, text_rank=2, text_alpha=1.0, conv_rank=2)),
    "bfloat16": dict(network=dict(rank=4), precision="bf16"),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("data") / "photos", 8)


@pytest.fixture(scope="module")
def masked(tmp_path_factory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("data") / "masked", 6, masks=True)


def said_of(base, speaker=None) -> torch.Tensor:
    """What a model's UNet says of fixed noise and words; those are the `speaker`'s where the model let its own go."""
    generator = torch.Generator().manual_seed(5)
    noisy = torch.randn((2, 4, 8, 8), generator=generator)
    with torch.no_grad():
        words = encode(base if base.text_encoders else speaker, ["a red dress", ""])
        more = {}
        if "pooled" in words:
            more = {"added_cond_kwargs": {"text_embeds": words["pooled"], "time_ids": torch.full((2, 6), 64.0)}}
        said = base.unet.float()(noisy, torch.tensor([100, 900]), words["tokens"].float(), **more)
    return said.sample


def flat_gradient(run, batch, scale: float = 1.0) -> torch.Tensor:
    for parameter in run.model.parameters.values():
        parameter.grad = None
    run.gradient(batch, scale)
    return torch.cat([p.grad.flatten() for p in run.model.parameters.values() if p.grad is not None])


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def scattered(run, size: float = 0.05):
    """Gives every trainable weight a value, so that no gradient is 0 because B is."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in run.model.parameters.values():
            parameter += size * torch.randn(parameter.shape, generator=generator)
    return run


# ── learning ──


@pytest.mark.parametrize("method", [dict(network=dict(conv_rank=8), learning_rate=1e-2), dict(method="full")])
def test_fifty_steps_on_one_photo_halve_its_loss(method, base, tmp_path):
    photos = draw_photos(tmp_path / "photos", 1)
    wanted = config(
        base,
        photos,
        steps=50,
        batch_size=4,
        schedule="constant",
        loss=dict(min_snr_gamma=None),
        data=dict(repeats=4, caption_dropout=0),
        **method,
    )
    run = run_of(wanted, tmp_path / "run")
    before = run.gradient.loss.of_photo(run.data.samples[0])
    take_steps(run, silent, lambda: False)
    assert run.gradient.loss.of_photo(run.data.samples[0]) < before / 2
    assert sum(run.loop.losses[-5:]) < 0.6 * sum(run.loop.losses[:5])


@pytest.mark.parametrize("kind", ["dora", "loha", "lokr", "text encoder"])
def test_frozen_weights_stay_bit_identical_and_every_trained_one_moves(kind, base, photos, tmp_path):
    run = run_of(config(base, photos, **LORA[kind], steps=4), tmp_path)
    trained_names = run.model.parameters.keys()

    def weights(frozen: bool) -> dict[str, torch.Tensor]:
        return {
            name: parameter.detach().clone()
            for part, model in run.model.base.parts.items()
            for name, parameter in ((f"{part}.{name}", p) for name, p in model.named_parameters())
            if (name not in trained_names) == frozen
        }

    frozen, moving = weights(True), weights(False)
    assert moving.keys() == trained_names and all(p.dtype == torch.float32 for p in moving.values())
    take_steps(run, silent, lambda: False)
    assert all(torch.equal(frozen[name], now) for name, now in weights(True).items())
    stuck = [name for name, now in weights(False).items() if torch.equal(moving[name], now)]
    assert not stuck


@pytest.mark.parametrize("kind", LORA)
def test_each_kind_starts_at_the_base_and_writes_a_file_that_gives_another_model_its_output(
    kind, base, photos, tmp_path
):
    run = run_of(config(base, photos, **LORA[kind], steps=4, learning_rate=1e-2), tmp_path)
    fresh = open_base(str(base), run.plan.dtype, "cpu")
    before = said_of(fresh)
    if "dora" in kind:  # divides by a norm and multiplies by it again
        torch.testing.assert_close(said_of(run.model.base, fresh), before, rtol=1e-5, atol=1e-6)
    else:
        assert torch.equal(said_of(run.model.base, fresh), before)
    take_steps(run, silent, lambda: False)
    result = finish(run)
    assert result.file == tmp_path / LORA_FILE
    load_adapter(fresh.parts, read_lora(result.file))
    now, expected = said_of(fresh), said_of(run.model.base, fresh)
    assert apart(before, expected) > 1e-3
    assert apart(now - before, expected - before) < 0.01  # the file holds float16


def test_only_the_named_blocks_of_the_unet_learn(base, photos, tmp_path):
    def learning(*blocks: str) -> set[str]:
        network = dict(rank=4, conv_rank=2, text_rank=2, blocks=blocks)
        run = run_of(config(base, photos, network=network), tmp_path / "-".join(blocks))
        return {name.split(".")[1] if name.startswith("unet.") else "text" for name in run.model.parameters}

    assert learning("down", "mid", "up") == {"down_blocks", "mid_block", "up_blocks", "text"}
    assert learning("mid", "up") == {"mid_block", "up_blocks", "text"}
    assert learning("down") == {"down_blocks", "text"}


def test_a_full_fine_tune_leaves_a_folder_that_diffusers_opens_by_itself(base, photos, tmp_path, capfd):
    from diffusers import StableDiffusionPipeline

    run = run_of(config(base, photos, method="full", steps=4), tmp_path)
    take_steps(run, silent, lambda: False)
    capfd.readouterr()
    result = finish(run)
    assert capfd.readouterr().err == ""
    assert result.file == tmp_path / MODEL_FOLDER and not list(tmp_path.glob("*.tmp"))
    tuned = StableDiffusionPipeline.from_pretrained(result.file, safety_checker=None, local_files_only=True)
    for name, tensor in run.model.base.unet.state_dict().items():
        assert torch.equal(tuned.unet.state_dict()[name].half(), tensor.half())
    again = open_base(str(result.file), torch.float32, "cpu")
    assert apart(said_of(again), said_of(run.model.base, again)) < 0.01
    assert apart(said_of(open_base(str(base), torch.float32, "cpu")), said_of(run.model.base, again)) > 0.01


def test_bfloat16_comes_close_to_float32(base, photos, tmp_path):
    runs = {name: trained(config(base, photos, precision=name), tmp_path / name).record for name in ("fp32", "bf16")}
    assert runs["bf16"]["losses"] == pytest.approx(runs["fp32"]["losses"], rel=0.02)
    assert runs["bf16"]["plan"]["precision"] == "bf16"


# ── Stable Diffusion XL ──


@pytest.fixture(scope="module")
def xl(tmp_path_factory) -> Path:
    return tiny_xl(tmp_path_factory.mktemp("models") / "xl")


def test_an_xl_model_trains_with_both_text_encoders_and_gives_its_file_back(xl, photos, tmp_path):
    run = run_of(config(xl, photos, steps=4, learning_rate=1e-2, network=dict(rank=4, text_rank=2)), tmp_path)
    take_steps(run, silent, lambda: False)
    assert {name.partition(".")[0] for name in run.model.parameters} == {"unet", "text_encoder", "text_encoder_2"}
    file = finish(run).file
    fresh = open_base(str(xl), torch.float32, "cpu")
    before = said_of(fresh)
    load_adapter(fresh.parts, read_lora(file))
    assert apart(said_of(fresh) - before, said_of(run.model.base) - before) < 0.01


def test_xl_conditions_equal_those_of_its_pipeline(xl, photos, tmp_path):
    from diffusers import StableDiffusionXLPipeline

    pipeline = StableDiffusionXLPipeline.from_pretrained(xl, add_watermarker=False)
    run = run_of(config(xl, photos, data=dict(caption_dropout=0)), tmp_path)
    visits = BatchSampler(run.data.samples, 2, 0).epoch(0)[0].visits
    captions = [visit.sample.caption for visit in visits]
    words = run.model.conditioning(captions, [visit.sample for visit in visits])
    tokens, _, pooled, _ = pipeline.encode_prompt(captions, do_classifier_free_guidance=False)
    torch.testing.assert_close(words["encoder_hidden_states"], tokens)
    torch.testing.assert_close(words["added_cond_kwargs"]["text_embeds"], pooled)
    sizes = pipeline._get_add_time_ids((64, 64), (0, 0), (64, 64), torch.float32, 24)
    assert torch.equal(words["added_cond_kwargs"]["time_ids"], sizes.repeat(2, 1))


CAPTIONS = ["a red dress with long sleeves", "", "blau " * 200]


def test_words_equal_those_of_the_pipeline(base):
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(base, safety_checker=None)
    expected, _ = pipeline.encode_prompt(CAPTIONS, "cpu", 1, False)
    with torch.no_grad():
        found = encode(open_base(str(base), torch.float32, "cpu"), CAPTIONS)["tokens"]
    torch.testing.assert_close(found, expected)


def test_a_skipped_layer_is_as_if_the_text_encoder_had_one_less(base):
    from transformers import CLIPTextConfig, CLIPTextModel

    opened = open_base(str(base), torch.float32, "cpu")
    [encoder] = opened.text_encoders
    shorter = CLIPTextModel(CLIPTextConfig(**{**encoder.config.to_dict(), "num_hidden_layers": 1})).eval()
    shorter.load_state_dict(encoder.state_dict(), strict=False)
    with torch.no_grad():
        found = encode(opened, CAPTIONS, clip_skip=2)["tokens"]
        opened.text_encoders = [shorter]
        torch.testing.assert_close(found, encode(opened, CAPTIONS)["tokens"])


# ── the gradient ──


@pytest.mark.parametrize(
    "asked",
    [
        dict(),
        dict(method="full"),
        dict(network=dict(text_rank=2), loss=dict(noise_offset=0.1, huber=0.1)),
        dict(loss=dict(background=0.5)),
    ],
    ids=["lora", "full", "text encoder, offset, huber", "masks and background"],
)
def test_a_batch_cut_into_any_parts_has_the_same_gradient(asked, base, photos, masked, tmp_path):
    data = masked if "background" in asked.get("loss", {}) else photos
    run = scattered(run_of(config(base, data, batch_size=4, **asked), tmp_path))
    batch = next(one for one in BatchSampler(run.data.samples, 4, 0).epoch(0) if len(one.visits) > 2)
    found = {}
    for micro_batch in (1, 2, 3, 4):
        run.model.plan = run.plan.model_copy(update={"micro_batch": micro_batch})
        found[micro_batch] = flat_gradient(run, batch)
    assert max(apart(found[size], found[4]) for size in (1, 2, 3)) <= 3e-6  # float32 rounds; means of means: 0.1


def test_recomputed_activations_have_the_same_gradient(base, photos, tmp_path):
    plain = scattered(run_of(config(base, photos, network=dict(text_rank=2)), tmp_path / "plain"))
    again = scattered(run_of(config(base, photos, network=dict(text_rank=2), checkpointing=True), tmp_path / "again"))
    assert again.plan.checkpointing and again.model.base.unet.is_gradient_checkpointing
    batch = BatchSampler(plain.data.samples, 2, 0).epoch(0)[0]
    assert apart(flat_gradient(again, batch), flat_gradient(plain, batch)) <= 1e-6


def test_a_scaled_loss_has_the_same_gradient_and_says_the_same_loss(base, photos, tmp_path):
    run = scattered(run_of(config(base, photos), tmp_path))
    batch = BatchSampler(run.data.samples, 2, 0).epoch(0)[0]
    plain, loss = flat_gradient(run, batch), run.gradient(batch)
    assert apart(flat_gradient(run, batch, 1024.0), plain) <= 1e-6 and run.gradient(batch, 1024.0) == loss


def test_a_loss_scale_halves_on_overflow_doubles_after_long_without_and_is_none_in_bfloat16():
    assert LossScale.of("bf16").value == LossScale.of("fp32").value == 1
    scale = LossScale.of("fp16")
    assert scale.value == LARGEST_SCALE
    assert scale.update(False) and scale.update(False) and scale.value == LARGEST_SCALE / 4
    assert not any(scale.update(True) for _ in range(PATIENCE)) and scale.value == LARGEST_SCALE / 2
    none = LossScale()
    assert not none.update(False) and none.value == 1


def test_the_loss_is_the_error_of_the_pipelines_own_parts_by_hand(base, photos, tmp_path):
    from diffusers import DDPMScheduler, StableDiffusionPipeline
    from PIL import Image

    from modiste.trainer.data.cache import pixels

    run = run_of(config(base, photos, loss=dict(min_snr_gamma=None), data=dict(caption_dropout=0)), tmp_path)
    visit = SampleVisit(run.data.samples[0], 0, 3, 0)
    pipeline = StableDiffusionPipeline.from_pretrained(base, safety_checker=None)
    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    with torch.no_grad():
        picture = Image.open(visit.sample.path).convert("RGB")
        latents = pipeline.vae.encode(pixels(picture)).latent_dist.sample(visit.generator("latents"))
        latents = latents * pipeline.vae.config.scaling_factor
        noise = torch.randn(latents.shape[1:], generator=visit.generator("noise"))[None]
        t = torch.randint(1000, (1,), generator=visit.generator("timestep"))
        words, _ = pipeline.encode_prompt(visit.sample.caption, "cpu", 1, False)
        said = pipeline.unet(scheduler.add_noise(latents, noise, t), t, words).sample
        expected = torch.nn.functional.mse_loss(said, noise)
        found = run.gradient.loss.of_visits([visit])
    torch.testing.assert_close(found[0], expected, rtol=1e-5, atol=1e-6)


def test_what_is_outside_a_mask_does_not_count(base, masked, tmp_path):
    """By hand, from the model's own parts: Σ(l·m) / Σm, and not the mean over the picture."""
    run = scattered(run_of(config(base, masked, data=dict(caption_dropout=0)), tmp_path), 0.3)
    visit = SampleVisit(run.data.samples[1], 0, 0, 0)
    loss, diffusion = run.gradient.loss, run.gradient.loss.diffusion
    with torch.no_grad():
        latents = run.model.sampled_latents(visit)[None]
        noise = torch.randn(latents.shape[1:], generator=visit.generator("noise"))[None]
        t = torch.randint(1000, (1,), generator=visit.generator("timestep"))
        noisy = diffusion.add_noise(latents, noise, t)
        predicted = run.model.predict(noisy, t, [visit.sample.caption], [visit.sample])
        squares = (predicted - diffusion.target(latents, noise, t)) ** 2
        mask = run.model.latents.mask(visit.sample)[None].expand_as(squares)
        weight = diffusion.weight(t, run.config.loss)
        found = loss.of_visits([visit])
    assert 0 < float(mask.mean()) < 1
    torch.testing.assert_close(found, weight * (squares * mask).sum() / mask.sum())
    assert apart(found, weight * squares.mean()) > 1e-3


def test_a_gradient_longer_than_the_limit_is_cut_to_it_and_a_shorter_one_left(base, photos, tmp_path):
    run = run_of(config(base, photos, max_grad_norm=0.5), tmp_path)
    for size, expected in ((10.0, 0.5), (1e-6, None)):
        for parameter in run.model.parameters.values():
            parameter.grad = torch.full_like(parameter, size)
        before = torch.cat([p.grad.flatten() for p in run.model.parameters.values()]).norm()
        run.optimization.update(0, torch.tensor(1.0))
        after = torch.cat([p.grad.flatten() for p in run.model.parameters.values()]).norm()
        assert float(after) == pytest.approx(expected or float(before), rel=1e-4)


def test_shuffled_captions_leave_no_file_for_each_order_and_a_run_goes_on_bit_identically(
    base, photos, tmp_path, monkeypatch
):
    asked = config(base, photos, data=dict(shuffle_captions=True, caption_dropout=0))
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    whole = trained(asked, tmp_path / "whole")
    assert not list((tmp_path / "home" / "cache" / "texts").rglob("*.safetensors"))
    steps = []

    def stop() -> bool:
        steps.append(1)
        return len(steps) == 3

    with pytest.raises(Stopped):
        trained(asked, tmp_path / "stopped", stop=stop)
    again = trained(asked, tmp_path / "stopped")
    assert again.record["losses"] == whole.record["losses"]
    mine, theirs = (dict(read_lora(result.file).named_tensors()) for result in (whole, again))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_size_conditions_stay_exact_and_latents_come_from_a_float32_vae_in_bfloat16_too(photos, tmp_path):
    from diffusers import AutoencoderKL

    from modiste.trainer.data.cache import pixels

    folder = tiny_xl(tmp_path / "xl")
    run = run_of(config(folder, photos, precision="bf16"), tmp_path / "run")
    photo = run.data.samples[0]
    wide = replace(photo, original=(1365, 2047))
    added = run.model.conditioning([photo.caption], [wide])["added_cond_kwargs"]
    assert added["time_ids"][0, :2].tolist() == [2047.0, 1365.0]
    with torch.no_grad():
        vae = AutoencoderKL.from_pretrained(folder / "vae").float()
        expected = vae.encode(pixels(read_photo(photo.path).image)).latent_dist.mean[0]
    torch.testing.assert_close(run.model.latents.moments(photo).mean, expected, rtol=1e-5, atol=1e-6)


def test_what_is_outside_a_mask_is_held_at_the_base_models_prediction(base, masked, tmp_path):
    asked = dict(network=dict(rank=4, text_rank=2), data=dict(caption_dropout=0))
    with_it = scattered(run_of(config(base, masked, loss=dict(background=2.0), **asked), tmp_path / "with"), 0.3)
    without = scattered(run_of(config(base, masked, **asked), tmp_path / "without"), 0.3)
    visit = SampleVisit(with_it.data.samples[1], 0, 0, 0)
    found, plain = (run.gradient.loss.of_visits([visit]) for run in (with_it, without))
    seen = {}
    with torch.no_grad():
        for name, model in (("tuned", with_it.model.base), ("before", open_base(str(base), torch.float32, "cpu"))):
            clean = with_it.model.sampled_latents(visit)[None]
            noise = torch.randn(clean.shape[1:], generator=visit.generator("noise"))[None]
            t = torch.randint(1000, (1,), generator=visit.generator("timestep"))
            noisy = with_it.gradient.loss.diffusion.add_noise(clean, noise, t)
            seen[name] = model.unet(noisy, t, encode(model, [visit.sample.caption])["tokens"]).sample
        outside = 1 - with_it.model.latents.mask(visit.sample)[None]
        apart_there = ((seen["tuned"] - seen["before"]) ** 2 * outside).sum() / (4 * outside.sum())
        weight = with_it.gradient.loss.diffusion.weight(t, with_it.config.loss)
    assert 0 < float(outside.mean()) < 1 and float(apart_there) > 1e-5
    torch.testing.assert_close(found - plain, 2.0 * weight * apart_there, rtol=1e-3, atol=1e-6)
    found.sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in with_it.model.parameters.values())


def test_the_mask_of_a_mirrored_visit_is_mirrored_too(base, masked, tmp_path):
    run = run_of(config(base, masked, data=dict(flip=True)), tmp_path)
    masks = {}

    def kept(samples, flips, of=run.model.masks):
        masks[flips[0]] = of(samples, flips)
        return masks[flips[0]]

    run.model.masks = kept
    for flipped in (False, True):
        run.gradient.loss.of_visits([SampleVisit(run.data.samples[0], 0, 0, 0, flipped)])
    assert torch.equal(masks[True], masks[False].flip(-1)) and not torch.equal(masks[True], masks[False])


def test_a_background_that_nothing_holds_is_refused_for_a_full_fine_tune(base, photos):
    with pytest.raises(InputError, match="background 0.5 asks the base model"):
        config(base, photos, method="full", loss=dict(background=0.5))


def test_a_prior_pictures_loss_has_its_weight(base, photos, tmp_path):
    prior = draw_photos(tmp_path / "prior", 3)
    data = dict(prior_folder=str(prior), prior_weight=0.25, caption_dropout=0)
    run = run_of(config(base, photos, data=data), tmp_path / "run")
    equal = run_of(config(base, photos, data=data | dict(prior_weight=1.0)), tmp_path / "equal")
    light, heavy = (
        one.gradient.loss.of_visits([SampleVisit(sample, 0, 0, 0) for sample in one.data.samples if sample.prior])
        for one in (run, equal)
    )
    torch.testing.assert_close(light, 0.25 * heavy)


def test_a_second_start_with_warm_caches_gives_bit_identical_weights(base, tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    photos = draw_photos(tmp_path / "photos", 4)
    files = [trained(config(base, photos), tmp_path / name).file for name in ("cold", "warm")]
    cold, warm = (read_lora(file).named_tensors() for file in files)
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(cold, warm, strict=True))


def test_losses_with_kept_words_equal_those_with_words_encoded_anew(base, photos, tmp_path):
    run = scattered(run_of(config(base, photos), tmp_path))
    visits = BatchSampler(run.data.samples, 4, 0).epoch(0)[0].visits
    kept = run.gradient.loss.of_visits(visits)
    run.model.texts, run.model.base.text_encoders = None, open_base(str(base), torch.float32, "cpu").text_encoders
    torch.testing.assert_close(run.gradient.loss.of_visits(visits), kept, rtol=1e-6, atol=1e-7)


def test_words_kept_in_one_precision_are_not_taken_for_those_of_another(base, tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    photos = draw_photos(tmp_path / "photos", 4)
    run_of(config(base, photos, precision="bf16"), tmp_path / "bf16")
    found = []
    for home in ("home", "another home"):
        monkeypatch.setenv("MODISTE_HOME", str(tmp_path / home))
        run = run_of(config(base, photos), tmp_path / f"fp32 {home}")
        found.append(run.model.texts.embeds([run.data.samples[0].caption])[0]["tokens"])
    assert torch.equal(*found)


# ── optimizers and rates ──


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_each_optimizer_learns(optimizer, base, photos, tmp_path):
    run = run_of(config(base, photos, optimizer=optimizer, steps=30, method="full", schedule="constant"), tmp_path)
    before = sum(map(run.gradient.loss.of_photo, run.data.samples))
    take_steps(run, silent, lambda: False)
    assert sum(map(run.gradient.loss.of_photo, run.data.samples)) < 0.9 * before


@pytest.mark.parametrize(("optimizer", "package"), [("adamw8bit", "bitsandbytes"), ("prodigy", "prodigyopt")])
def test_an_optimizer_whose_library_is_missing_is_named_before_the_first_step(
    optimizer, package, base, photos, tmp_path
):
    if find_spec(package):
        pytest.skip(f"{package} is installed")
    with pytest.raises(InputError, match=f"{optimizer} needs {package}, .*pip install {package}"):
        trained(config(base, photos, optimizer=optimizer), tmp_path)


def test_the_rate_of_each_step_is_that_of_its_schedule(base, photos):
    def factors(**asked):
        wanted = config(base, photos, steps=10, **asked)
        return [rate_factor(step, wanted) for step in range(10)]

    assert factors(schedule="constant") == [1.0] * 10
    assert factors(schedule="linear") == pytest.approx([1 - step / 10 for step in range(10)])
    assert factors(schedule="cosine") == pytest.approx([(1 + math.cos(math.pi * step / 10)) / 2 for step in range(10)])
    warm = factors(schedule="linear", warmup=4)
    assert warm == pytest.approx([0.25, 0.5, 0.75, 1, 1, *(1 - step / 6 for step in range(1, 6))])


def test_text_encoders_learn_at_half_the_rate_or_at_their_own(base, photos, tmp_path):
    asked = dict(network=dict(text_rank=2), learning_rate=1e-3, schedule="constant", steps=1)
    for index, (own, expected) in enumerate([({}, 5e-4), (dict(text_learning_rate=2e-5), 2e-5)]):
        run = run_of(config(base, photos, **asked, **own), tmp_path / str(index))
        take_steps(run, silent, lambda: False)
        assert [group["lr"] for group in run.optimization.optimizer.param_groups] == [1e-3, expected]


def test_averaged_weights_equal_the_formula_by_hand_and_are_what_is_exported(base, photos, tmp_path):
    run = run_of(config(base, photos, ema=0.5, steps=12), tmp_path)
    seen = []

    def watch(progress):
        if progress.stage == "train" and progress.done:
            seen.append({name: p.detach().clone() for name, p in run.model.parameters.items()})

    take_steps(run, watch, lambda: False)
    assert len(seen) == 12
    for name, held in run.optimization.ema.items():
        expected = seen[0][name]
        for step, weights in enumerate(seen[1:], 1):
            decay = min(0.5, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * weights[name]
        torch.testing.assert_close(held, expected, rtol=1e-5, atol=1e-7)
        assert torch.equal(run.loop.kept[12][name], held) and not torch.equal(held, seen[-1][name])


# ── what goes wrong ──


def test_weights_that_ran_away_stop_the_run_with_nothing_exported_and_no_checkpoint_of_theirs(base, photos, tmp_path):
    with pytest.raises(Stopped, match="5 steps in a row had no finite gradient") as stopped:
        trained(config(base, photos, learning_rate=1e30, steps=20, save_every=2), tmp_path)
    assert stopped.value.exit_code == 4
    assert not (tmp_path / LORA_FILE).exists() and not list(tmp_path.rglob("manifest.json"))


def test_weights_that_are_not_finite_are_never_kept(base, photos, tmp_path):
    with pytest.raises(Stopped, match="the weights are not finite any more at step 1") as stopped:
        trained(config(base, photos, learning_rate=1e39, save_every=1), tmp_path)
    assert stopped.value.exit_code == 4
    assert not (tmp_path / LORA_FILE).exists() and not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("averaged", [False, True])
def test_a_file_on_the_way_of_weights_that_are_not_finite_is_never_kept(averaged, base, photos, tmp_path):
    run = run_of(config(base, photos, files_every=2, save_every=1, ema=0.5 if averaged else 0.0), tmp_path)

    def spoil(now):
        if now.stage == "checkpoint" and now.done == 1:
            held = run.optimization.ema if averaged else run.model.parameters
            next(iter(held.values())).data.view(-1)[0] = math.nan

    with pytest.raises(Stopped, match="not finite any more at step 2: no file of them.*a smaller learning_rate"):
        take_steps(run, spoil, lambda: False)
    assert not list(tmp_path.rglob("fashion_lora_weights*"))
    assert [folder.name for folder in whole_checkpoints(tmp_path / CHECKPOINTS)] == ["step-000001"]


@pytest.mark.parametrize("part", ["averaged weights", "optimizer's moments"])
def test_a_checkpoint_that_nothing_could_go_on_from_is_never_kept(part, base, photos, tmp_path):
    run = run_of(config(base, photos, save_every=1, ema=0.5), tmp_path)

    def spoil(now):
        if now.stage == "train" and now.done == 2:  # between the second step and its checkpoint
            moments = [slot["exp_avg"] for slot in run.optimization.optimizer.state.values()]
            held = list(run.optimization.ema.values()) if part == "averaged weights" else moments
            held[3].view(-1)[0] = math.inf

    with pytest.raises(Stopped, match=f"the {part} are not finite any more at step 2") as stopped:
        take_steps(run, spoil, lambda: False)
    assert stopped.value.exit_code == 4
    assert [folder.name for folder in whole_checkpoints(tmp_path / CHECKPOINTS)] == ["step-000001"]


def test_a_single_step_without_a_finite_gradient_is_skipped_and_said(base, photos, tmp_path):
    run = run_of(config(base, photos, batch_size=1, steps=16, data=dict(held_out_least=0)), tmp_path)
    bad = run.data.samples[3]
    overflowing = {name: torch.full_like(t, 1e30) for name, t in vars(run.model.latents.moments(bad)).items()}
    run.model.latents.files._held[run.model.latents.files.path_of(run.model.latents._key(bad, False))] = overflowing | {
        "logvar": torch.zeros(4, 8, 8)
    }
    take_steps(run, silent, lambda: False)
    result = finish(run)
    assert (result.record["steps"], result.record["skipped_steps"], len(result.record["losses"])) == (16, 2, 14)
    assert all(map(math.isfinite, result.record["losses"]))
    assert all(bool(t.isfinite().all()) for _, t in read_lora(result.file).named_tensors())


def test_a_file_on_the_way_whose_steps_were_all_skipped_does_not_end_the_run(base, photos, tmp_path):
    run = run_of(config(base, photos, files_every=2, steps=6), tmp_path)
    first = next(iter(run.model.parameters.values()))

    def bad(gradient):
        return gradient * math.nan if run.loop.step < 3 else gradient

    first.register_hook(bad)
    take_steps(run, silent, lambda: False)
    kept = [read_lora(tmp_path / step_file(step)) for step in (2, 4, 6)]
    assert [all(module.changes_nothing for module in lora.modules) for lora in kept] == [True, False, False]
    assert finish(run).record["skipped_steps"] == 3


def test_five_bad_steps_are_counted_in_a_row_only(base, photos, tmp_path):
    run = run_of(config(base, photos), tmp_path)
    log = StepLog(run, Pace("train", 99, silent))
    for losses in ([math.nan] * 4, [1.0], [math.nan] * 4):
        for loss in losses:
            step_with(run, log, loss)
    assert run.optimization.bad_steps == 4 and run.loop.losses == [1.0]
    with pytest.raises(Stopped, match="5 steps in a row"):
        step_with(run, log, math.nan)


def step_with(run, log: StepLog, loss: float) -> None:
    """A step whose gradient is 0 and whose loss is the one given."""
    for parameter in run.model.parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    value = torch.tensor(loss)
    log.add(value, run.optimization.update(0, value), 0.1, at_once=False)


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_a_step_that_is_not_finite_changes_no_weight_and_no_state(optimizer, base, photos, tmp_path):
    run = run_of(config(base, photos, optimizer=optimizer), tmp_path)
    log = StepLog(run, Pace("train", 99, silent))
    step_with(run, log, 1.0)
    before = [p.detach().clone() for p in run.model.parameters.values()]
    states = [
        {name: value.clone() for name, value in slots.items() if torch.is_tensor(value)}
        for slots in run.optimization.optimizer.state.values()
    ]
    for parameter in run.model.parameters.values():
        parameter.grad = torch.full_like(parameter, math.inf)
    value = torch.tensor(1.0)
    log.add(value, run.optimization.update(1, value), 0.1, at_once=True)
    assert run.optimization.bad_steps == 1
    assert all(torch.equal(old, new) for old, new in zip(before, run.model.parameters.values(), strict=True))
    for old, new in zip(states, run.optimization.optimizer.state.values(), strict=True):
        assert all(torch.equal(value, new[name]) for name, value in old.items())


def test_a_step_that_says_nothing_never_waits_for_the_device(base, photos, tmp_path, monkeypatch):
    """Every wait for a number is `aten::_local_scalar_dense`; a card that is slow to report sees none in 40 steps."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Waits(TorchDispatchMode):
        steps, waits = 0, []

        def __torch_dispatch__(self, function, types, arguments=(), named=None):
            if function is torch.ops.aten._local_scalar_dense.default:
                self.waits.append(run.loop.step)
            return function(*arguments, **(named or {}))

    run = run_of(config(base, photos, steps=12, ema=0.9, validation=dict(every=12), save_every=12), tmp_path)
    monkeypatch.setattr(StepLog, "_is_due", lambda self: False)
    validated = []
    with Waits():
        take_steps(run, lambda now: validated.append(now.stage), lambda: False)
    assert run.loop.step == 12 and len(run.loop.losses) == 12
    assert set(Waits.waits) <= {0, 12}, sorted(set(Waits.waits))


def test_a_base_model_whose_held_out_loss_is_not_finite_stops_before_the_first_step(base, photos, tmp_path):
    run = run_of(config(base, photos, data=dict(held_out_least=2)), tmp_path)
    with torch.no_grad():
        run.model.base.unet.conv_out.bias += math.inf
    with pytest.raises(Stopped, match="held-out photos is not finite at step 0"):
        take_steps(run, silent, lambda: False)


def test_a_terminal_snr_of_zero_is_refused_for_a_model_that_predicts_noise(base, photos, tmp_path):
    with pytest.raises(InputError, match="zero_terminal_snr is for v_prediction"):
        trained(config(base, photos, loss=dict(zero_terminal_snr=True)), tmp_path)


def test_a_model_that_predicts_v_trains_with_it(photos, tmp_path):
    base = tiny_base(tmp_path / "v", "v_prediction")
    record = trained(config(base, photos, loss=dict(zero_terminal_snr=True), method="full"), tmp_path / "run").record
    assert len(record["losses"]) == 8


def test_an_inpainting_model_is_refused_with_both_numbers_of_channels(base, tmp_path):
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(base, safety_checker=None)
    pipeline.unet = type(pipeline.unet).from_config({**pipeline.unet.config, "in_channels": 9})
    pipeline.save_pretrained(tmp_path / "inpainting", safe_serialization=True)
    with pytest.raises(InputError, match="the UNet takes 9 channels and the VAE gives 4"):
        open_base(str(tmp_path / "inpainting"), torch.float32, "cpu")


def test_a_folder_that_is_torn_or_no_stable_diffusion_is_refused_in_words(base, tmp_path):
    import shutil

    broken = {
        "torn": ("unet/diffusion_pytorch_model.safetensors", b"\x10\x00\x00\x00\x00\x00\x00\x00{", "can't be opened"),
        "index": ("model_index.json", b"{", r"damaged.*model_index\.json"),
        "flux": ("model_index.json", b'{"_class_name": "FluxPipeline"}', "FluxPipeline has no UNet"),
    }
    for name, (file, data, message) in broken.items():
        shutil.copytree(base, tmp_path / name)
        (tmp_path / name / file).write_bytes(data)
        with pytest.raises(InputError, match=message):
            open_base(str(tmp_path / name), torch.float32, "cpu")
    with pytest.raises(MissingWeights, match="is not on this machine"):
        open_base(str(tmp_path / "nothing"), torch.float32, "cpu")


# ── the best step ──


def test_the_best_step_has_the_least_mean_loss_on_held_out_photos_and_its_weights_are_the_file(base, photos, tmp_path):
    wanted = config(
        base,
        photos,
        steps=12,
        learning_rate=0.05,
        schedule="constant",
        data=dict(held_out_least=3),
        validation=dict(every=2, patience=0),
        network=dict(conv_rank=4),
    )
    run = run_of(wanted, tmp_path)
    at = {}

    def watch(progress):
        if progress.stage == "validation":
            at[progress.done] = {name: p.detach().clone() for name, p in run.model.parameters.items()}

    take_steps(run, watch, lambda: False)
    record = finish(run).record
    assert [row["step"] for row in record["validation"]] == [0, 2, 4, 6, 8, 10, 12]
    best = min(record["validation"][1:], key=lambda row: row["loss"])
    assert record["best_step"] == best["step"] < 12, "a case in which the last step is not the best"
    assert record["reason"].startswith(f"step {best['step']} has the least loss on 3 held-out photos")
    assert len(record["photos"]["held_out"]) == 3 and record["photos"]["training"] == 5
    assert all(torch.equal(at[best["step"]][name], p) for name, p in run.model.parameters.items())
    assert json.loads((tmp_path / "train.json").read_text()) == json.loads(json.dumps(record))


def test_a_single_look_is_not_called_the_least_of_several():
    once = Validation([ValidationResult(0, (0.5, 0.6)), ValidationResult(8, (0.5, 0.61))])
    assert once.reason() == (
        "step 8, the only one that was validated, has a loss of 0.55500 on 2 held-out photos, a gain of -0.00500 "
        "(-0.06853 … +0.05853) over the base model's 0.55000; the gain is not significant (the interval contains 0)"
    )


def test_a_single_held_out_photo_has_a_gain_and_no_interval():
    reason = Validation([ValidationResult(0, (0.5,)), ValidationResult(8, (0.4,))]).reason()
    assert "has a loss of 0.40000 on 1 held-out photo, a gain of +0.10000 (one photo: no interval) over" in reason


def test_patience_ends_a_run_that_does_not_get_better(base, photos, tmp_path):
    wanted = config(
        base,
        photos,
        steps=40,
        learning_rate=0.1,
        method="full",
        schedule="constant",
        data=dict(held_out_least=3),
        validation=dict(every=2, patience=3),
    )
    record = trained(wanted, tmp_path).record
    assert record["steps"] < 40 and record["steps"] == record["best_step"] + 3 * 2


def test_without_held_out_photos_the_last_step_is_taken_and_the_reason_says_so(base, photos, tmp_path):
    record = trained(config(base, photos), tmp_path).record
    assert (record["best_step"], record["validation"], record["gain"]) == (8, [], None)
    assert record["reason"] == "the last step: no photos were held out to choose by"


def test_one_held_out_photo_and_one_that_never_changes_are_no_reason_to_fail(base, photos, tmp_path):
    record = trained(config(base, photos, data=dict(held_out_least=1)), tmp_path).record
    assert record["gain"]["n"] == 1 and "not significant" in record["reason"]


def test_two_looks_at_the_same_weights_see_the_same_losses(base, photos, tmp_path):
    run = scattered(run_of(config(base, photos, data=dict(held_out_least=2)), tmp_path))
    first = run.gradient.validation_losses(run.data.held_out)
    _ = run.gradient.loss.of_visits([SampleVisit(run.data.samples[0], 0, 0, 0)])
    run.model.plan = run.plan.model_copy(update={"micro_batch": 8})
    again = run.gradient.validation_losses(run.data.held_out)
    assert first == pytest.approx(again, rel=1e-6) and len(set(first)) == 2


def test_each_stratum_of_a_held_out_photo_has_noise_of_its_own_and_the_same_in_each_validation(base, photos, tmp_path):
    run = run_of(config(base, photos, validation=dict(timesteps=4)), tmp_path)
    loss, photo, seen = run.gradient.loss, run.data.samples[0], []
    latents, predict = run.model.mean_latents(photo), run.model.predict

    def watch(noisy_latents, timesteps, captions, samples, conditions):
        for noisy, t in zip(noisy_latents, timesteps, strict=True):
            clean = loss.diffusion.add_noise(latents[None], torch.zeros_like(latents)[None], t[None])
            one = loss.diffusion.add_noise(torch.zeros_like(latents)[None], torch.ones_like(latents)[None], t[None])
            seen.append(((noisy[None] - clean) / one)[0])
        return predict(noisy_latents, timesteps, captions, samples, conditions)

    run.model.predict = watch
    loss.of_photo(photo)
    loss.of_photo(photo)
    first, again = seen[:4], seen[4:]
    torch.testing.assert_close(torch.stack(first), torch.stack(again), rtol=0, atol=0)
    apart = [float((first[a] - first[b]).abs().mean()) for a in range(4) for b in range(a)]
    assert min(apart) > 0.5  # of two independent normal draws it is 1.13


def test_strata_are_the_middles_of_equal_parts():
    assert strata(0, 999, 4) == [125, 375, 625, 875]
    assert strata(0, 999, 1) == [500]
    assert strata(0, 9, 10) == list(range(10))
    assert strata(200, 599, 4) == [250, 350, 450, 550]


def test_a_validation_comes_back_equal_from_json():
    looks = Validation(
        [ValidationResult(0, (0.5, 0.25)), ValidationResult(4, (0.25, 0.125)), ValidationResult(8, (0.5, 0.5))]
    )
    again = Validation.from_json(json.loads(json.dumps(looks.as_json())))
    assert again == looks and again.best_trained == ValidationResult(4, (0.25, 0.125)) and again.since_best() == 1


def test_a_curve_is_drawn_of_any_run():
    losses = [1 / (1 + step) for step in range(30)]
    looks = Validation(
        [ValidationResult(0, (0.5, 0.4)), ValidationResult(15, (0.4, 0.3)), ValidationResult(30, (0.45, 0.35))]
    )
    runs = [(losses, looks), (losses, Validation()), ([], looks)]
    pictures = [draw_curve(*run, "a run") for run in runs]
    assert {picture.size for picture in pictures} == {(960, 420)}
    assert len({picture.tobytes() for picture in pictures}) == 3
    assert running_mean([2.0, 4.0, 6.0], 2) == [2.0, 3.0, 5.0]


# ── the plan ──


def test_a_small_model_on_a_cpu_is_trained_in_float32_and_in_half_precision_never(base, photos):
    wanted = config(base, photos, precision="auto", batch_size=None)
    plan = first_plan(wanted, 60_000, 100)
    assert (plan.device, plan.precision, plan.batch_size, plan.micro_batch) == ("cpu", "fp32", 4, 4)
    assert (plan.checkpointing, plan.compile) == (False, False)
    assert first_plan(wanted, 60_000, 3).batch_size == 3
    with pytest.raises(InputError, match="a CPU does not train in fp16"):
        first_plan(config(base, photos, precision="fp16"), 60_000, 100)
    with pytest.raises(InputError, match="there is no device 'tpu'"):
        first_plan(config(base, photos, device="tpu"), 60_000, 100)


def test_all_that_is_asked_for_is_in_the_plan_and_in_the_record(base, photos, tmp_path):
    asked: dict = dict(precision="bf16", batch_size=3, micro_batch=2, checkpointing=True, device="cpu")
    record = trained(config(base, photos, steps=2, **asked), tmp_path).record
    assert {name: record["plan"][name] for name in asked} == asked
    assert list(record["plan"]["reasons"]) == ["bf16 was asked for"]
    assert record["plan"]["step_flop"] > 1e6 and record["plan"]["step_s"] > 0 and record["plan"]["peak_share"] > 0
    written = json.loads((tmp_path / "train.json").read_text())
    assert written["plan"] == json.loads(json.dumps(record["plan"])) and written["config"]["micro_batch"] == 2


def test_what_was_measured_is_kept_for_a_run_that_goes_on_unless_something_else_is_asked_for(base, photos):
    plain = config(base, photos, batch_size=4)
    first = first_plan(plain, 60_000, 100)
    measured = first.model_copy(update=dict(micro_batch=2, checkpointing=True, step_s=0.5, step_flop=1e9))
    assert kept_plan(first, measured, plain) == measured
    asked = kept_plan(first, measured, config(base, photos, batch_size=4, micro_batch=1, checkpointing=False))
    assert (asked.micro_batch, asked.checkpointing, asked.step_s) == (1, False, 0.5)


GIB = 2**30


def short_of_memory(needs_recomputing: bool = True):
    """A stand-in for a card: a UNet that learns without recomputing its activations runs out of memory."""
    from diffusers import UNet2DConditionModel
    from torch.nn.modules.module import register_module_forward_pre_hook

    def refuse(module, arguments):
        if isinstance(module, UNet2DConditionModel) and torch.is_grad_enabled():
            if not (needs_recomputing and module.is_gradient_checkpointing):
                raise torch.OutOfMemoryError("CUDA out of memory.")

    return register_module_forward_pre_hook(refuse)


@pytest.mark.parametrize("asked", [dict(checkpointing=True), dict()], ids=["asked for", "by the plan"])
def test_a_card_that_needs_activations_recomputed_trains_with_it(asked, base, photos, tmp_path):
    with short_of_memory():
        record = trained(config(base, photos, steps=2, **asked), tmp_path).record
    assert record["plan"]["checkpointing"] and record["plan"]["step_s"] > 0 and len(record["losses"]) == 2
    reasons = "".join(record["plan"]["reasons"])
    assert ("does not fit without recomputing" in reasons) == (not asked)


def test_what_is_recommended_where_memory_is_short_is_not_done_already(base, photos, tmp_path):
    cases = {
        "never": (dict(checkpointing=False), "checkpointing true; or a smaller resolution", True),
        "asked": (dict(checkpointing=True), r"64 px, with activations recomputed \(cpu\); a smaller resolution", False),
        "full": (dict(method="full", checkpointing=True), "or method lora", False),
    }
    for name, (asked, message, enough) in cases.items():
        with short_of_memory(enough), pytest.raises(Stopped, match=message) as stopped:
            trained(config(base, photos, steps=2, **asked), tmp_path / name)
        assert stopped.value.exit_code == 4
        assert ("checkpointing true" in str(stopped.value)) == (name == "never")


def test_pictures_at_once_follow_what_is_free_and_what_the_optimizer_will_hold(base, photos):
    """A card of 24 GiB, of which another program holds 12: figures as such a card reports them."""
    wanted = config(base, photos, batch_size=8, method="full")
    plan = first_plan(wanted, 60_000, 100)
    alone = MemoryFigures(model=2 * GIB, peak=4 * GIB, free=22 * GIB)
    assert fitted(plan, wanted, alone).micro_batch == 8 < int(0.85 * 22) // 2  # no more than the batch
    shared = MemoryFigures(model=2 * GIB, peak=4 * GIB, free=10 * GIB)
    assert fitted(plan, wanted, shared).micro_batch == 4
    weights = 860_000_000
    assert state_bytes(wanted, weights) == 8 * weights
    assert state_bytes(wanted.model_copy(update=dict(optimizer="adamw8bit", ema=0.999)), weights) == 6 * weights
    with_states = MemoryFigures(model=2 * GIB, peak=4 * GIB, free=10 * GIB, states=state_bytes(wanted, weights))
    assert fitted(plan, wanted, with_states).micro_batch == 1  # 8.5 GiB − 6.4 GiB
    full = MemoryFigures(model=2 * GIB, peak=4 * GIB, free=7 * GIB, states=state_bytes(wanted, weights))
    assert fitted(plan, wanted, full).reasons[-1].endswith("it may not fit")
    asked = wanted.model_copy(update=dict(micro_batch=8))
    assert fitted(first_plan(asked, 60_000, 100), asked, shared).micro_batch == 8


def test_a_plan_left_by_a_run_that_kept_nothing_does_not_bind_the_next_one(base, photos, tmp_path):
    with pytest.raises(Stopped):
        trained(config(base, photos, learning_rate=1e39, batch_size=4, save_every=1), tmp_path)
    assert trained(config(base, photos, batch_size=2), tmp_path).record["plan"]["batch_size"] == 2


def test_a_photo_that_changes_while_the_run_begins_is_refused(base, tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    mine = draw_photos(tmp_path / "photos", 3)

    def read(path):
        found = read_photo(path)
        if path.name == "1.png" and not (tmp_path / "changed").exists():
            (tmp_path / "changed").touch()
            path.write_bytes((mine / "2.png").read_bytes())
        return found

    from modiste.trainer.train import train

    with pytest.raises(InputError, match="has changed since"):
        train(config(base, mine), tmp_path / "run", read)
