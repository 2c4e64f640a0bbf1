"""Pictures on the way are those of the model as it is, cost the run nothing but time, and survive a stop."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from train_samples import config, draw_photos, run_of, settings, tiny_base, tiny_xl

from modiste.core.errors import InputError, Stopped
from modiste.core.progress import silent
from modiste.fashion.photos import read_photo
from modiste.routes.finetune.stopping import heard_between_steps
from modiste.trainer.config import read_config
from modiste.trainer.data.captions import without_trigger
from modiste.trainer.loop.samples import AT_THE_END, FOLDER, Samples, read_prompts
from modiste.trainer.loop.sampling import SampleRequest, draw
from modiste.trainer.lora.file import read_lora
from modiste.trainer.train import begin_run, take_steps, train

VALIDATED = dict(validation=dict(every=3, picture_steps=2, cfg_scale=3.0), data=dict(held_out_least=2, trigger="brand"))


class Eye:
    """A critic that sees the mean brightness."""

    key = "brightness"

    def __init__(self):
        self.galleries = []

    def look(self, pictures, photos, training):
        return [
            {"similarity": 1 - abs(brightness(picture) - brightness(opened(photo))), "photos": len(training)}
            for picture, photo in zip(pictures, photos, strict=True)
        ]

    def signs(self, gallery):
        self.galleries.append(gallery)
        return {"warnings": [f"{len(gallery.tuned)} pictures"]}


def opened(file: Path) -> Image.Image:
    with Image.open(file) as image:
        return image.convert("RGB")


def brightness(image: Image.Image) -> float:
    return float(np.asarray(image, float).mean() / 255)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("data") / "photos", 6)


@pytest.fixture(scope="module")
def whole(base, photos, tmp_path_factory):
    """A run with pictures, its events and its critic."""
    out, said, eye = tmp_path_factory.mktemp("runs") / "whole", [], Eye()
    result = train(config(base, photos, **VALIDATED), out, read_photo, progress=said.append, critic=eye)
    return result, out, said, eye


def begun(wanted, out: Path, critic=None):
    """A run that has taken no step."""
    from modiste.trainer.loop.processes import Processes

    out.mkdir(parents=True, exist_ok=True)
    return begin_run(wanted, out, read_photo, None, silent, Processes(), critic)


def tensors_of(file: Path) -> dict[str, torch.Tensor]:
    return dict(read_lora(file).named_tensors())


def files_of(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (out / FOLDER).iterdir()}


def same(pictures, others) -> bool:
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(pictures, others, strict=True))


# ── what is drawn ──


def test_pictures_are_drawn_before_the_first_step_and_at_each_validation_and_told(whole):
    result, out, said, _ = whole
    rows = json.loads((out / "train.json").read_text())["samples"]
    assert [row["step"] for row in rows] == [0, 0, 3, 3, 6, 6, 8, 8] and rows == result.record["samples"]
    assert {row["prompt"] for row in rows if row["step"] == 3} == {row["prompt"] for row in rows if row["step"] == 8}
    assert all(row["prompt"].startswith("brand, dress number ") and row["photos"] == 4 for row in rows)
    assert all(opened(out / row["file"]).size == (64, 64) and 0 < row["similarity"] <= 1 for row in rows)
    told = [one for one in said if one.stage == "sample"]
    assert [one.picture.relative_to(out).as_posix() for one in told] == [row["file"] for row in rows]
    assert [one.values["similarity"] for one in told] == [row["similarity"] for row in rows]


def test_at_the_end_base_and_tuned_model_draw_the_same_prompts_with_the_trigger_and_without(whole):
    result, out, _, eye = whole
    [gallery] = eye.galleries
    assert result.record["overfitting"] == {"warnings": [f"{AT_THE_END} pictures"]}
    assert {len(getattr(gallery, kind)) for kind in ("photos", "base", "tuned", "base_plain", "tuned_plain")} == {12}
    assert len(set(gallery.photos)) == 2 and not set(gallery.photos) & set(gallery.training)
    assert not same(gallery.tuned, gallery.base) and not same(gallery.tuned, gallery.tuned_plain)
    assert len(list((out / FOLDER).glob("end-*.png"))) == 4 * AT_THE_END


def test_the_file_carries_the_picture_of_the_chosen_step_that_is_most_like_its_photo(whole):
    result, out, _, _ = whole
    said = read_lora(result.file).metadata["modelspec.thumbnail"]
    shown = Image.open(io.BytesIO(base64.b64decode(said.removeprefix("data:image/jpeg;base64,"))))
    mine = [row for row in result.record["samples"] if row["step"] == result.record["best_step"]]
    best = max(mine, key=lambda row: row["similarity"])
    apart = {row["file"]: np.abs(np.asarray(shown, float) - opened(out / row["file"])).mean() for row in mine}
    assert len(mine) == 2 and min(apart, key=apart.get) == best["file"]


def test_nothing_is_drawn_where_nobody_looks_or_none_are_wanted(base, photos, tmp_path):
    wanted = config(base, photos, **VALIDATED)
    data = run_of(wanted, tmp_path).data
    none = wanted.model_copy(update={"validation": wanted.validation.model_copy(update={"pictures": 0})})
    assert Samples.of(wanted, data, None, tmp_path) is None and Samples.of(none, data, Eye(), tmp_path) is None


def test_without_held_out_photos_the_training_photos_captions_are_drawn_and_without_a_trigger_no_plain_ones(
    base, photos, tmp_path
):
    wanted = config(base, photos, validation=VALIDATED["validation"])
    samples = begun(wanted, tmp_path, Eye()).samples
    assert {shot.photo.path for shot in samples.last_requests} == set(samples.training) and len(samples.training) == 6
    assert [shot.seed for shot in samples.last_requests] == [0] * 6 + [1] * 6
    assert samples.plain_requests == ()


@pytest.mark.parametrize(
    ("caption", "left"),
    [
        ("vesper, a red dress", "a red dress"),
        ("a photo of a vesper red dress", "a photo of a red dress"),
        ("red dress, vesper", "red dress"),
        ("a dress by vesper, long", "a dress by long"),
        ("vespertine dress, avesper", "vespertine dress, avesper"),
        ("X dress \n  X, vesper", "X dress X"),
    ],
)
def test_a_prompt_loses_its_trigger_and_no_other_word(caption, left):
    assert without_trigger(caption, "vesper") == left
    assert without_trigger("z.k zxk dress", "z.k") == "zxk dress"


# ── as the model is ──


@pytest.mark.parametrize("kind", ["sd", "v", "xl"])
def test_a_picture_is_that_of_the_pipeline_of_diffusers(kind, photos, tmp_path):
    from diffusers import DiffusionPipeline, DPMSolverMultistepScheduler

    folder = tmp_path / "base"
    tiny_xl(folder) if kind == "xl" else tiny_base(folder, "v_prediction" if kind == "v" else "epsilon")
    run = begun(config(folder, photos, validation=dict(picture_steps=4, cfg_scale=3.0)), tmp_path / "run", Eye())
    photo = run.data.samples[0]
    shots = [SampleRequest(prompt, seed, photo) for prompt, seed in (("a red dress", 5), ("a coat", 6))]
    ours = draw_with_words(run, folder, shots)
    pipeline = DiffusionPipeline.from_pretrained(folder, **({} if kind == "xl" else {"safety_checker": None}))
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, algorithm_type="dpmsolver++", use_karras_sigmas=True, timestep_spacing="linspace"
    )
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        [shot.prompt for shot in shots],
        negative_prompt=["", ""],
        num_inference_steps=4,
        guidance_scale=3.0,
        width=64,
        height=64,
        generator=[torch.Generator().manual_seed(shot.seed) for shot in shots],
    ).images
    apart = [np.abs(np.asarray(a, int) - np.asarray(b, int)).max() for a, b in zip(ours, theirs, strict=True)]
    assert max(apart) <= 1 and not same(ours[:1], ours[1:])


def draw_with_words(run, folder: Path, shots) -> list[Image.Image]:
    """For prompts that the run did not know of when its text encoders went."""
    from modiste.trainer.model.base_model import open_base

    run.model.base.text_encoders = open_base(str(folder), torch.float32, "cpu").text_encoders
    return draw(run.model, shots)


def test_an_untrained_adapter_draws_what_the_base_model_draws(base, photos, tmp_path):
    eye = Eye()
    run = begun(config(base, photos, **VALIDATED), tmp_path, eye)
    run.samples.signs(run.model, silent)
    [gallery] = eye.galleries
    assert same(gallery.tuned, gallery.base) and same(gallery.tuned_plain, gallery.base_plain)


@pytest.mark.parametrize("method", [dict(network=dict(text_rank=2)), dict(method="full")], ids=["text", "full"])
def test_the_base_models_pictures_are_those_of_before_training_and_the_tuned_weights_come_back(
    method, base, photos, tmp_path
):
    eye = Eye()
    run = begun(config(base, photos, **VALIDATED, **method, learning_rate=1e-2), tmp_path, eye)
    before = draw(run.model, run.samples.last_requests)
    take_steps(run, silent, lambda: False)
    tuned = {name: p.detach().clone() for name, p in run.model.parameters.items()}
    run.samples.signs(run.model, silent)
    [gallery] = eye.galleries
    assert same(gallery.base, before) and not same(gallery.tuned, before)
    assert all(torch.equal(tuned[name], p) for name, p in run.model.parameters.items())


# ── at no cost to the run ──


@pytest.mark.parametrize(
    "asked", [dict(ema=0.9), dict(network=dict(text_rank=2)), dict(method="full")], ids=["ema", "text", "full"]
)
def test_weights_are_bit_identical_with_pictures_and_without(asked, base, photos, tmp_path):
    found = []
    for name, critic in (("with", Eye()), ("without", None)):
        run = begun(config(base, photos, **VALIDATED, **asked), tmp_path / name, critic)
        before = torch.get_rng_state()
        take_steps(run, silent, lambda: False)
        assert torch.equal(torch.get_rng_state(), before)
        found.append(
            {**{name: p.detach() for name, p in run.model.parameters.items()}, **run.loop.kept[max(run.loop.kept)]}
        )
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[1])


def test_a_run_that_is_stopped_and_goes_on_leaves_the_same_pictures_rows_and_weights(whole, base, photos, tmp_path):
    result, out, _, _ = whole
    seen = []
    wanted = config(base, photos, **VALIDATED)
    with pytest.raises(Stopped):
        train(wanted, tmp_path, read_photo, progress=seen.append, stop=lambda: seen[-1].done == 4, critic=Eye())
    assert [one.values["step"] for one in seen if one.stage == "sample"] == [0, 0, 3, 3]
    again = train(wanted, tmp_path, read_photo, critic=Eye())
    assert again.record["samples"] == result.record["samples"]
    assert files_of(tmp_path) == files_of(out)
    assert all(torch.equal(tensor, tensors_of(again.file)[name]) for name, tensor in tensors_of(result.file).items())


def test_a_wish_to_stop_is_heard_between_pictures_too_where_no_step_is_lost_and_the_run_ends_the_same(
    whole, base, photos, tmp_path
):
    result, out, _, _ = whole
    wanted = config(base, photos, **VALIDATED)

    def stopped_at(stage: str, step: int) -> tuple[str, list]:
        """Asked at the stage's second report, once this step is reached; the message and the reports."""
        seen, wishes = [], []

        def tell(report) -> None:
            seen.append(report)
            steps = [each.done for each in seen if each.stage == "train"]
            wishes.append(report.stage == stage and report.done > 0 and max(steps, default=0) >= step)

        with pytest.raises(Stopped) as end:
            told = heard_between_steps(tell, lambda: any(wishes), tmp_path)
            train(wanted, tmp_path, read_photo, progress=told, stop=lambda: any(wishes), critic=Eye())
        return str(end.value), seen

    for stage, step in (("photos", 0), ("drawing", 0), ("signs", 8)):
        message, seen = stopped_at(stage, step)
        assert f"at the stage {stage}" in message and seen[-1].stage == stage
        if stage == "drawing":
            message, _ = stopped_at(stage, 3)  # in the middle of the run: its steps are kept first
            assert "stopped at step 4 of 8; a checkpoint is kept" in message
    again = train(wanted, tmp_path, read_photo, critic=Eye())
    assert again.record["samples"] == result.record["samples"] and files_of(tmp_path) == files_of(out)
    assert all(torch.equal(tensor, tensors_of(again.file)[name]) for name, tensor in tensors_of(result.file).items())


def test_the_pictures_may_be_other_ones_when_a_run_goes_on(base, photos, tmp_path):
    seen = []
    asked = settings(base, photos, data=VALIDATED["data"], validation=dict(every=3, pictures=0))
    with pytest.raises(Stopped):
        train(read_config(asked), tmp_path, read_photo, progress=seen.append, stop=lambda: seen[-1].done == 4)
    asked["validation"] |= dict(pictures=1, picture_steps=2)
    record = train(read_config(asked), tmp_path, read_photo, critic=Eye()).record
    assert [row["step"] for row in record["samples"]] == [6, 8]


# ── memory ──


def test_what_only_the_caches_needed_is_let_go_before_the_first_step(base, photos, tmp_path):
    plain = run_of(config(base, photos), tmp_path / "plain")
    assert plain.model.base.vae is None and plain.model.base.text_encoders == []
    shuffled = run_of(config(base, photos, data=dict(shuffle_captions=True)), tmp_path / "shuffled")
    learning = run_of(config(base, photos, network=dict(text_rank=2)), tmp_path / "learning")
    drawing = begun(config(base, photos, **VALIDATED), tmp_path / "drawing", Eye())
    assert shuffled.model.base.text_encoders and learning.model.base.text_encoders  # asked again at each step
    assert drawing.model.base.vae is not None and drawing.model.base.text_encoders == []


def test_words_that_left_the_cache_after_their_encoder_are_named(base, photos, tmp_path):
    run = run_of(config(base, photos), tmp_path)
    with pytest.raises(InputError, match="the words of 'a hat' are not in the cache any more.*start again"):
        run.model.conditioning(["a hat"], run.data.samples[:1])


def test_captions_whose_end_is_not_seen_are_counted_and_told(base, tmp_path):
    photos, said = draw_photos(tmp_path / "photos", 3), []
    (photos / "0.txt").write_text("dress " * 200)
    record = train(config(base, photos, steps=1), tmp_path / "run", read_photo, progress=said.append).record
    assert record["cut_captions"] == 1
    assert [one.message for one in said if "75 tokens" in one.message] == [
        "1 captions are longer than 75 tokens: what is beyond is not seen; data.caption_tokens 150 reads more"
    ]


def test_a_file_of_prompts_is_read_as_sd_scripts_reads_it(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("# header\n\na red dress, t--shirt --w 512 --h 768 --d 42 --n blurry\n  a coat  \n--d 3\n", "utf-8")
    assert read_prompts(file) == [("a red dress, t--shirt", 42), ("a coat", None)]
    file.write_text("# nothing\n")
    with pytest.raises(InputError, match="no prompt in this file"):
        read_prompts(file)
    with pytest.raises(InputError, match="sample prompts can't be read"):
        read_prompts(tmp_path / "gone.txt")
