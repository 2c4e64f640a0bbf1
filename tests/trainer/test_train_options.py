"""Options that users of sd-scripts know: rates by factor and block, dropout, norms, noise, long captions."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from train_samples import config, draw_photos, run_of, stop_at, trained

from modiste.core.errors import InputError
from modiste.core.progress import silent
from modiste.trainer.data.sampler import BatchSampler
from modiste.trainer.loop.gradient import one_ahead
from modiste.trainer.lora.file import delta_weights
from modiste.trainer.lora.peft_layers import adapters_of, collect
from modiste.trainer.model.base_model import open_base
from modiste.trainer.model.text_encoding import encode, is_cut, token_ids
from modiste.trainer.results import WHERE_FILES_LIE
from modiste.trainer.train import take_steps

LONG = ", ".join(f"a red dress with long sleeves number {index}" for index in range(40))


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("data") / "photos", 7)


def equal_files(first: Path, second: Path) -> bool:
    ours, theirs = load_file(first), load_file(second)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


# ── rates ──


def test_the_factor_b_learns_faster_and_blocks_at_rates_of_their_own(base, photos, tmp_path):
    rates = {"down_blocks": 0.5, "down_blocks.0.attentions.0.transformer_blocks.0.attn1": 0.0, "text_encoder": 2.0}
    asked = dict(plus_ratio=16.0, block_rates=rates, learning_rate=1e-3, text_learning_rate=1e-4)
    run = run_of(config(base, photos, **asked, network=dict(rank=2, text_rank=2)), tmp_path)
    run.optimization.begin_step(0)
    groups = run.optimization.optimizer.param_groups
    rate = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    for name, parameter in run.model.parameters.items():
        expected = 1e-3 if name.startswith("unet.") else 1e-4 * 2
        if name.startswith("unet.down_blocks."):
            expected *= 0.0 if ".transformer_blocks.0.attn1." in name and "blocks.0.attentions.0" in name else 0.5
        expected *= 16 if ".lora_B." in name else 1
        assert rate[id(parameter)] == pytest.approx(expected), name
    assert groups[0]["lr"] == pytest.approx(1e-3), "the rate that is told is the plain one"
    frozen = [name for name, parameter in run.model.parameters.items() if rate[id(parameter)] == 0]
    before = {name: run.model.parameters[name].detach().clone() for name in frozen}
    take_steps(run, silent, lambda: False)
    assert frozen and all(torch.equal(before[name], run.model.parameters[name]) for name in frozen)


def test_a_block_that_trains_nothing_is_named(base, photos, tmp_path):
    with pytest.raises(InputError, match=r"block_rates 'up_block', 'up_blocks.9': nothing is trained there"):
        run_of(config(base, photos, block_rates={"up_block": 1, "up_blocks.9": 1, "up_blocks": 1}), tmp_path)


@pytest.mark.parametrize("optimizer", ["lion", "came", "schedulefree"])
def test_optimizers_of_other_libraries_learn_and_go_on_exactly(optimizer, base, photos, tmp_path):
    pytest.importorskip({"lion": "lion_pytorch", "came": "came_pytorch"}.get(optimizer, optimizer))
    asked = config(
        base, photos, optimizer=optimizer, schedule="constant", steps=8, learning_rate=1e-3, data=dict(held_out_least=2)
    )
    whole = trained(asked, tmp_path / "whole")
    stop_at(5, asked, tmp_path / "parts")
    parts = trained(asked, tmp_path / "parts")
    assert equal_files(whole.file, parts.file)
    assert whole.record["losses"] == parts.record["losses"]
    assert whole.record["validation"][-1]["loss"] != whole.record["validation"][0]["loss"]


def test_schedule_free_leaves_its_averaged_weights_and_trains_on_with_the_others(base, photos, tmp_path):
    pytest.importorskip("schedulefree")
    run = run_of(config(base, photos, optimizer="schedulefree", schedule="constant", steps=6), tmp_path)
    take_steps(run, silent, lambda: False)
    name, parameter = next((name, p) for name, p in run.model.parameters.items() if ".lora_B." in name)
    trained_weight = parameter.detach().clone()
    assert torch.equal(run.loop.kept[6][name], run.optimization.result[name])
    assert not torch.equal(run.optimization.result[name], trained_weight)
    with run.optimization.ema_weights():
        assert torch.equal(parameter, run.loop.kept[6][name])
    assert torch.equal(parameter, trained_weight)


# ── dropout and norms ──


@pytest.mark.parametrize("network", [dict(rank=4, dropout=0.5), dict(rank=4, conv_rank=2, rank_dropout=0.5)])
def test_dropout_is_there_in_training_alone_and_the_same_after_a_resume(network, base, photos, tmp_path):
    asked = config(base, photos, network=network, steps=6, learning_rate=1e-2, data=dict(held_out_least=2))
    whole = trained(asked, tmp_path / "whole")
    stop_at(3, asked, tmp_path / "parts")
    assert equal_files(whole.file, trained(asked, tmp_path / "parts").file)
    without = trained(
        config(
            base,
            photos,
            network={"rank": 4, "conv_rank": network.get("conv_rank", 0)},
            steps=6,
            learning_rate=1e-2,
            data=dict(held_out_least=2),
        ),
        tmp_path / "without",
    )
    assert without.record["validation"][0] == whole.record["validation"][0], "of B = 0, with dropout or without"
    assert without.record["losses"][1:] != whole.record["losses"][1:]
    run = run_of(asked, tmp_path / "run")
    take_steps(run, silent, lambda: False)
    [visit, *_] = BatchSampler(run.data.samples, 1, 0).epoch(0)[0].visits
    losses = {run.gradient.loss.of_visits([visit]).item() for _ in range(3)}
    assert len(losses) == 1, "outside of a training step there is none"
    dropped = set()
    for repeat in range(3):
        with run.model.dropout.at([type(visit)(visit.sample, 0, 0, repeat)]):
            dropped.add(run.gradient.loss.of_visits([visit]).item())
    assert len(dropped) == 3


def test_the_ranks_that_are_kept_make_up_for_those_that_are_dropped(base, photos, tmp_path):
    run = run_of(config(base, photos, network=dict(rank=8, rank_dropout=0.25)), tmp_path)
    adapted = [module for module in run.model.base.unet.modules() if hasattr(module, "lora_A")]
    down = next(a for layer in adapted if isinstance(a := layer.lora_A["default"], torch.nn.Linear))
    x = torch.ones((400, 3, down.weight.shape[1]))
    with torch.no_grad():
        plain = down(x)
        visit = BatchSampler(run.data.samples, 1, 0).epoch(0)[0].visits[0]
        with run.model.dropout.at([visit]):
            dropped = down(x)
    zeros = (dropped == 0).all(1).float().mean()
    assert float(zeros) == pytest.approx(0.25, abs=0.03)
    assert ((dropped == 0).all(1) == (dropped == 0).any(1)).all(), "a picture's ranks are dropped at all of its tokens"
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], (plain / 0.75)[kept])


def test_no_modules_change_grows_beyond_the_norm_that_it_may_have(base, photos, tmp_path):
    asked = dict(steps=6, learning_rate=0.1, network=dict(rank=4, alpha=8, conv_rank=2, text_rank=2))
    run = run_of(config(base, photos, **asked, scale_weight_norms=0.3), tmp_path / "limited")
    take_steps(run, silent, lambda: False)
    norms = [float(delta.norm()) for delta in delta_weights(collect(run.model.base.parts, "sd1")).values()]
    assert max(norms) == pytest.approx(0.3, rel=1e-3)
    free = run_of(config(base, photos, **asked), tmp_path / "free")
    take_steps(free, silent, lambda: False)
    assert max(float(d.norm()) for d in delta_weights(collect(free.model.base.parts, "sd1")).values()) > 0.4


# ── noise and predictions ──


def test_a_perturbed_input_has_more_noise_and_the_target_that_it_had(base, photos, tmp_path):
    run = run_of(config(base, photos, loss=dict(input_perturbation=0.5)), tmp_path)
    visit = BatchSampler(run.data.samples, 1, 0).epoch(0)[0].visits[0]
    inputs = run.gradient.loss.inputs([visit])
    further = torch.randn(inputs.noise.shape[1:], generator=visit.generator("perturbation"))
    torch.testing.assert_close(inputs.perturbed[0], inputs.noise[0] + 0.5 * further)
    diffusion, t = run.gradient.loss.diffusion, inputs.timesteps
    noisy = diffusion.add_noise(inputs.latents, inputs.perturbed, t)
    with torch.no_grad():
        predicted = run.model.predict(noisy, t, [visit.sample.caption], [visit.sample])
        found = run.gradient.loss.of_inputs(inputs)
    expected = diffusion.weight(t, run.config.loss) * ((predicted - inputs.noise) ** 2).mean()
    if visit.random("caption").random() >= run.config.data.caption_dropout:
        torch.testing.assert_close(found, expected)


def test_what_the_base_predicts_can_be_said_and_stands_in_what_is_written(base, photos, tmp_path):
    from diffusers import StableDiffusionPipeline

    run = run_of(config(base, photos, prediction="v_prediction"), tmp_path / "run")
    assert run.gradient.loss.diffusion.prediction == "v_prediction"
    result = trained(config(base, photos, prediction="v_prediction", method="full", steps=1), tmp_path / "full")
    written = StableDiffusionPipeline.from_pretrained(result.file, safety_checker=None, local_files_only=True)
    assert written.scheduler.config.prediction_type == "v_prediction"


# ── batches ahead ──


def test_a_batch_is_drawn_while_the_one_before_is_in_use_and_an_error_comes_through():
    events = []

    def drawn(index: int) -> int:
        events.append(f"draw {index}")
        if index == 3:
            raise InputError("the file has changed")
        return index

    rows = one_ahead((index, lambda index=index: drawn(index)) for index in range(4))
    for key, value in rows:
        assert key == value
        events.append(f"use {key}")
        if key == 2:
            break
    assert events.index("draw 1") < events.index("use 1") and events.index("draw 2") < events.index("use 2")
    with pytest.raises(InputError, match="has changed"):
        next(rows)


# ── long captions ──


def test_each_chunk_is_filled_up_with_the_tokenizers_own_padding(base):
    """SD 2 and the second encoder of SDXL pad with `!`, not with the end."""
    tokenizer = copy.deepcopy(open_base(str(base), torch.float32, "cpu").tokenizers[0])
    tokenizer.pad_token = "a"
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    for chunk in token_ids(tokenizer, ["a dress"], 2):
        end = (chunk == tokenizer.eos_token_id).nonzero().flatten()
        assert len(end) == 1 and (chunk[end + 1 :] == tokenizer.pad_token_id).all()


def test_a_long_caption_is_read_by_75_tokens_at_once(base):
    opened = open_base(str(base), torch.float32, "cpu")
    tokenizer = opened.tokenizers[0]
    ids = token_ids(tokenizer, [LONG, "a dress"], 3)
    assert ids.shape == (6, 77)
    assert (ids[:, 0] == tokenizer.bos_token_id).all() and (ids == tokenizer.eos_token_id).any(1).all()
    words = tokenizer(LONG, add_special_tokens=False).input_ids
    assert ids[0, 1:76].tolist() == words[:75] and ids[1, 1:76].tolist() == words[75:150]
    with torch.no_grad():
        long, short, empty = (encode(opened, [text], 1, 2)["tokens"] for text in (LONG, "a dress", ""))
        one = encode(opened, ["a dress"])["tokens"]
    assert long.shape == (1, 154, 16)
    torch.testing.assert_close(short[:, :77], one)
    torch.testing.assert_close(short[:, 77:], empty[:, :77])
    assert not torch.allclose(long[:, 77:], empty[:, :77])
    assert is_cut(tokenizer, LONG) and not is_cut(tokenizer, " ".join(LONG.split()[:4]), 1)
    assert len(words) > 225 and is_cut(tokenizer, LONG, 3)


def test_a_run_reads_the_end_of_long_captions_where_it_is_asked_to(base, tmp_path):
    photos = draw_photos(tmp_path / "photos", 4)
    for file in photos.glob("*.txt"):
        file.write_text(LONG)
    told = []
    trained(config(base, photos, steps=1), tmp_path / "short", lambda now: told.append(now.message))
    assert (
        "1 captions are longer than 75 tokens: what is beyond is not seen; data.caption_tokens 150 reads more" in told
    )
    short = run_of(config(base, photos), tmp_path / "a")
    long = run_of(config(base, photos, data=dict(caption_tokens=225)), tmp_path / "b")
    states = [run.model.conditioning([LONG], [run.data.samples[0]])["encoder_hidden_states"] for run in (short, long)]
    assert [tuple(state.shape) for state in states] == [(1, 77, 16), (1, 231, 16)]
    torch.testing.assert_close(states[0], states[1][:, :77])
    result = trained(config(base, photos, steps=2, data=dict(caption_tokens=225)), tmp_path / "run")
    assert result.record["steps"] == 2


def test_a_file_that_is_shared_does_not_say_where_its_photos_and_prompts_lay(base, tmp_path):
    photos, other = draw_photos(tmp_path / "photos", 3), tmp_path / "other"
    asked = config(
        base,
        photos,
        from_lora=str(other / "a.safetensors"),
        data=dict(
            masks=str(other / "masks"),
            prior_folder=str(other / "reg"),
            folder_settings=[dict(path=str(photos), repeats=3)],
        ),
        validation=dict(prompts_file=str(other / "prompts.txt")),
    )
    assert str(tmp_path) in json.dumps(asked.model_dump(mode="json", exclude={"base"}))
    assert str(tmp_path) not in json.dumps(asked.model_dump(mode="json", exclude={**WHERE_FILES_LIE, "base": True}))


def test_an_offset_moves_the_mean_of_each_channel_of_a_visits_noise_and_nothing_else(base, photos, tmp_path):
    plain = run_of(config(base, photos), tmp_path / "plain")
    offset = run_of(config(base, photos, loss=dict(noise_offset=0.5)), tmp_path / "offset")
    visit = BatchSampler(plain.data.samples, 1, 0).epoch(0)[0].visits[0]
    before, after = (run.gradient.loss.inputs([visit]) for run in (plain, offset))
    moved = (after.noise - before.noise).flatten(2)
    torch.testing.assert_close(moved, moved[..., :1].expand_as(moved), atol=1e-6, rtol=0)
    assert len({round(value, 4) for value in moved[0, :, 0].tolist()}) == moved.shape[1]
    assert torch.equal(before.latents, after.latents) and torch.equal(before.timesteps, after.timesteps)


@pytest.mark.parametrize("rslora", [False, True])
def test_an_adapters_scale_is_its_alpha_over_its_rank(rslora, base, photos, tmp_path):
    network = dict(rank=4, alpha=2, conv_rank=9, conv_alpha=1, text_rank=8, text_alpha=1, rslora=rslora)
    layers = adapters_of(run_of(config(base, photos, network=network), tmp_path).model.base.parts)
    root = 0.5 if rslora else 1
    expected = {4: 2 / 4**root, 9: 1 / 9**root, 8: 1 / 8**root}
    found = {(layer.r["default"], round(layer.scaling["default"], 6)) for layer in layers.values()}
    assert found == {(rank, round(scale, 6)) for rank, scale in expected.items()}
