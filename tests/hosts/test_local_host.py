"""The local host: the shared suite, and diffusers' own answers as the reference."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from host_suite import HostSuite

from modiste.core.errors import InputError, MissingWeights
from modiste.hosts.errors import RequestRefused
from modiste.hosts.lms import lms_coefficients
from modiste.hosts.local import LocalHost
from modiste.hosts.request import GenerationRequest, LoraRef
from modiste.hosts.samplers import SAMPLERS, SCHEDULES, make_scheduler
from modiste.hosts.text_embeds import CHUNK, embed_prompts, needed_chunks, split_into_chunks
from modiste.mini.weights import WEIGHTS


@pytest.fixture(scope="module")
def tiny(folder):
    return LocalHost(str(folder), device="cpu")


@pytest.fixture(scope="module")
def mini():
    return LocalHost(str(WEIGHTS / "sd"), device="cpu")


class TestTheEmbeddedModel(HostSuite):
    @pytest.fixture
    def host(self, mini):
        return mini


class TestATinyModel(HostSuite):
    @pytest.fixture
    def host(self, tiny):
        return tiny


def request(**changes) -> GenerationRequest:
    drawing = dict(prompt="a red dress", seed=3, steps=4, cfg_scale=5.0, width=64, height=64)
    return GenerationRequest(**{**drawing, **changes})


# ── against diffusers itself ──


def test_a_picture_is_the_one_that_the_plain_pipeline_draws(folder, tiny):
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, timestep_spacing="leading")
    theirs = pipeline(
        "a red dress",
        negative_prompt="blurry",
        num_inference_steps=4,
        guidance_scale=5.0,
        height=64,
        width=64,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    ours = next(iter(tiny.generate([request(sampler="DDIM", negative_prompt="blurry")]))).image
    difference = np.abs(np.asarray(ours, int) - np.asarray(theirs, int))
    assert difference.max() <= 1  # a batch of another size rounds differently


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_draws_and_none_leaves_a_trace_in_the_next_picture(sampler, tiny):
    before = next(iter(tiny.generate([request()]))).image
    picture = next(iter(tiny.generate([request(sampler=sampler)]))).image
    assert np.asarray(picture).std() > 0
    assert next(iter(tiny.generate([request()]))).image.tobytes() == before.tobytes()


def test_lms_integrates_cubic_derivatives_exactly_and_is_eulers_method_at_first():
    sigmas = [14.6, 9.1, 6.0, 3.2, 1.1]
    assert lms_coefficients(sigmas, 0, 1) == pytest.approx([sigmas[1] - sigmas[0]])
    for order in (2, 3, 4):
        weights = lms_coefficients(sigmas, 3, order)
        nodes = [sigmas[3 - back] for back in range(order)]
        for power in range(order):
            whole = (sigmas[4] ** (power + 1) - sigmas[3] ** (power + 1)) / (power + 1)
            assert sum(w * node**power for w, node in zip(weights, nodes, strict=True)) == pytest.approx(whole)


def test_lms_and_euler_draw_the_same_picture_in_one_step_and_others_in_several(tiny):
    pictures = {
        (sampler, steps): next(iter(tiny.generate([request(sampler=sampler, steps=steps)]))).image
        for sampler in ("LMS", "Euler")
        for steps in (1, 6)
    }
    difference = np.abs(np.asarray(pictures["LMS", 1], int) - np.asarray(pictures["Euler", 1], int))
    assert difference.max() <= 1
    assert pictures["LMS", 6].tobytes() != pictures["Euler", 6].tobytes()


def test_schedules_are_followed_or_refused(tiny):
    from diffusers import PNDMScheduler

    config = PNDMScheduler.from_pretrained(tiny.folder / "scheduler").config
    for sampler in SAMPLERS:
        for schedule in SCHEDULES:
            asked = request(sampler=sampler, scheduler=schedule)
            try:
                tiny.check(asked)
            except RequestRefused as refused:
                assert schedule in str(refused) and schedule != "Automatic"
                continue
            make_scheduler(config, sampler, schedule).set_timesteps(5)
    karras, plain = (make_scheduler(config, "Euler", schedule) for schedule in ("Karras", "Uniform"))
    for scheduler in (karras, plain):
        scheduler.set_timesteps(5)
    assert not torch.allclose(karras.sigmas, plain.sigmas)
    assert make_scheduler(config, "DPM++ 2M", "Automatic").config.use_karras_sigmas  # as A1111 does


# ── long and weighted prompts ──


def embeds(host, *prompts: str, clip_skip: int = 1) -> torch.Tensor:
    return embed_prompts(host.pipeline, prompts, needed_chunks(host.pipeline, *prompts), clip_skip).tokens


def test_an_unweighted_prompt_is_encoded_as_the_pipeline_encodes_it(tiny):
    theirs, _ = tiny.pipeline.encode_prompt("a red dress", "cpu", 1, False)
    assert torch.equal(embeds(tiny, "a red dress"), theirs)


def test_clip_skip_reads_an_earlier_layer_and_norms_it(tiny):
    tokenizer, encoder = tiny.pipeline.tokenizer, tiny.pipeline.text_encoder
    ids = tokenizer("a red dress", padding="max_length", return_tensors="pt").input_ids
    with torch.inference_mode():
        layers = encoder(ids, output_hidden_states=True).hidden_states
        last, last_but_one = (encoder.final_layer_norm(layers[place]) for place in (-1, -2))
    assert torch.allclose(embeds(tiny, "a red dress", clip_skip=2), last_but_one, atol=1e-6)
    assert torch.allclose(embeds(tiny, "a red dress"), last, atol=1e-6)


def test_a_weight_moves_its_tokens_and_keeps_the_mean(tiny, mini):
    plain, heavy = embeds(mini, "a red dress")[0], embeds(mini, "a (red:1.5) dress")[0]
    ratio = (heavy / plain).median(-1).values
    assert ratio[2] / ratio[1] == pytest.approx(1.5, rel=1e-4)  # token 1 is "a", token 2 is "red"
    assert float(heavy.mean()) == pytest.approx(float(plain.mean()), rel=1e-4)
    assert torch.equal(embeds(mini, "a (red:1.0) dress")[0], plain)
    # The tiny model's mean is 0 but for rounding: nothing to restore, and above all no sign to turn.
    assert torch.allclose(embeds(tiny, "a (red:1.5) dress")[0][2], 1.5 * embeds(tiny, "a red dress")[0][2], atol=1e-6)


def test_long_prompts_fill_chunks_that_break_at_a_comma(tiny):
    tokenizer = tiny.pipeline.tokenizer
    comma = tokenizer(",", add_special_tokens=False).input_ids[0]
    chunks = split_into_chunks(tokenizer, ", ".join(["a midi red striped dress"] * 40))
    assert len(chunks) == 4 and all(len(chunk.ids) <= CHUNK for chunk in chunks)
    assert all(chunk.ids[-1] == comma for chunk in chunks[:-1])
    assert sum(len(chunk.ids) for chunk in chunks) == 40 * 5 + 39
    broken = split_into_chunks(tokenizer, "red BREAK dress")
    assert [len(chunk.ids) for chunk in broken] == [1, 1]
    without_commas = split_into_chunks(tokenizer, "dress " * 100)
    assert [len(chunk.ids) for chunk in without_commas] == [75, 25]


def test_what_lies_beyond_77_tokens_still_counts(tiny):
    long = ", ".join(["red striped dress"] * 25)
    first, second = (next(iter(tiny.generate([request(prompt=f"{long}, {word}")]))) for word in ("blue", "green"))
    assert first.image.tobytes() != second.image.tobytes()


def test_a_prompt_is_encoded_once_for_all_its_seeds_and_draws_as_if_it_were_new(tiny, folder, monkeypatch):
    from modiste.hosts import prompt_cache

    encoded: list[str] = []

    def counting(pipeline, prompts, *rest):
        encoded.extend(dict.fromkeys(prompts))
        return embed_prompts(pipeline, prompts, *rest)

    monkeypatch.setattr(prompt_cache, "embed_prompts", counting)
    host = LocalHost(str(folder), device="cpu", batch_size=2)
    asked = [request(prompt=prompt, seed=seed) for prompt in ("a red dress", "a (blue:1.3) coat") for seed in range(3)]
    drawn = [result.image.tobytes() for result in host.generate(asked)]
    assert sorted(encoded) == sorted({each.prompt for each in asked} | {asked[0].negative_prompt})
    fresh = [next(LocalHost(str(folder), device="cpu", batch_size=2).generate([each])) for each in asked[2:4]]
    assert [result.image.tobytes() for result in fresh] == drawn[2:4]
    host.unload()
    before = encoded.count("a red dress")
    next(host.generate(asked[:1]))
    assert encoded.count("a red dress") == before + 1, "another pipeline may be another model"


# ── side by side ──


@pytest.fixture
def two_processors():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def watched(host, before_each):
    """The host, whose UNet calls `before_each` with its batch, both branches of guidance included."""
    forward = host.pipeline.unet.forward
    host.pipeline.unet.forward = lambda sample, *rest, **named: (
        before_each(len(sample)) or forward(sample, *rest, **named)
    )
    return host


def pictures(host, count: int) -> list[bytes]:
    return [result.image.tobytes() for result in host.generate([request(seed=seed) for seed in range(count)])]


def test_batches_of_small_pictures_are_drawn_at_once_with_a_processor_each(folder, two_processors):
    meeting, seen = threading.Barrier(2, timeout=60), set()

    def meet(batch: int) -> None:
        seen.add((batch, torch.get_num_threads(), threading.current_thread() is threading.main_thread()))
        meeting.wait()  # breaks where the batches come one after the other

    drawn = pictures(watched(LocalHost(str(folder), device="cpu", batch_size=2), meet), 4)
    assert seen == {(4, 1, False)} and len(set(drawn)) == 4
    with ThreadPoolExecutor(1) as later:
        assert torch.get_num_threads() == 2 == later.submit(torch.get_num_threads).result()


def test_how_many_processors_there_are_and_who_is_told_of_steps_changes_not_a_bit(folder, two_processors):
    at_once = pictures(LocalHost(str(folder), device="cpu", batch_size=2), 5)
    told, host = [], LocalHost(str(folder), device="cpu", batch_size=2)
    host.on_step = lambda *step: told.append(step)
    assert pictures(host, 5) == at_once and {of for _, of, _ in told} == {request().steps}
    torch.set_num_threads(1)
    assert pictures(LocalHost(str(folder), device="cpu", batch_size=2), 5) == at_once


def test_memory_that_ends_in_a_thread_halves_the_batch_and_other_errors_are_the_caller_s(folder, two_processors):
    batches = []

    def too_little(batch: int) -> None:
        batches.append(batch)
        if batch > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    host = watched(LocalHost(str(folder), device="cpu", batch_size=2), too_little)
    assert len(set(pictures(host, 3))) == 3 and batches[:2] == [4, 4] and set(batches[2:]) == {2}

    def broken(batch: int) -> None:
        raise ZeroDivisionError("x")

    with pytest.raises(ZeroDivisionError):
        pictures(watched(LocalHost(str(folder), device="cpu", batch_size=2), broken), 3)


# ── LoRA ──


@pytest.fixture(scope="module")
def lora(folder, tmp_path_factory):
    """A LoRA file that changes the tiny model a lot."""
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig, get_peft_model_state_dict

    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    torch.manual_seed(0)
    pipeline.unet.add_adapter(LoraConfig(r=4, lora_alpha=16, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    to = tmp_path_factory.mktemp("loras")
    layers = get_peft_model_state_dict(pipeline.unet)
    StableDiffusionPipeline.save_lora_weights(to, unet_lora_layers=layers, weight_name="brand.safetensors")
    return to / "brand.safetensors"


def test_a_lora_is_put_on_and_taken_off_again(folder, lora):
    host = LocalHost(str(folder), device="cpu")
    worn = request(loras=(LoraRef(name="brand", strength=1.0, path=lora),))
    half = request(loras=(LoraRef(name="brand", strength=0.5, path=lora),))
    none = request(loras=(LoraRef(name="brand", strength=0.0, path=lora),))
    bare, with_lora, weaker, nothing, again = (
        result.image.tobytes() for result in host.generate([request(), worn, half, none, request()])
    )
    assert len({bare, with_lora, weaker}) == 3 and bare == again == nothing


def test_opening_a_model_and_putting_on_a_lora_prints_nothing(folder, lora, capfd, caplog):
    host = LocalHost(str(folder), device="cpu")
    capfd.readouterr()
    next(iter(host.generate([request(loras=(LoraRef(name="brand", strength=1.0, path=lora),))])))
    assert capfd.readouterr().err == "" and caplog.messages == []


def test_a_lora_without_a_file_or_of_another_kind_is_refused(tiny, tmp_path):
    pickled = tmp_path / "brand.pt"
    pickled.write_bytes(b"x")
    for path in (None, tmp_path / "gone.safetensors", pickled):
        with pytest.raises(RequestRefused, match="brand|safetensors"):
            tiny.check(request(loras=(LoraRef(name="brand", path=path),)))


def test_a_lora_of_a_model_of_other_sizes_is_refused_in_words(folder, lora, tmp_path):
    from safetensors.torch import load_file, save_file

    wider = {name: tensor.repeat(1, 2) if "lora_A" in name else tensor for name, tensor in load_file(lora).items()}
    save_file(wider, tmp_path / "wider.safetensors")
    host = LocalHost(str(folder), device="cpu")
    with pytest.raises(InputError, match="other sizes than .*wider.safetensors"):
        next(iter(host.generate([request(loras=(LoraRef(name="wider", path=tmp_path / "wider.safetensors"),))])))


# ── opening ──


def test_a_checkpoint_that_is_not_here_is_named_with_where_it_was_sought(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(MissingWeights, match="nobody/nothing.*hub.*--preset mini"):
        LocalHost("nobody/nothing")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="model_index.json"):
        LocalHost(str(tmp_path))


def test_opening_a_host_loads_nothing_until_it_draws(folder):
    host = LocalHost(str(folder), device="cpu")
    host.check(request())
    assert host._pipeline is None and host.describe().checkpoint == "tiny-sd"
    assert len(host.describe().checkpoint_hash) == 10
