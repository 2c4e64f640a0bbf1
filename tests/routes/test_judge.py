"""Which file to keep: candidates in their order, few pictures, the best proven; and the samples of four trainers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import brand_studio
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from modiste.core.errors import InputError
from modiste.fashion.photos import gather_photos
from modiste.hosts.errors import LoraWithoutEffect
from modiste.hosts.local import LocalHost
from modiste.hosts.lora_folder import give_to_host
from modiste.hosts.request import GenerationRequest, LoraRef
from modiste.models.presets import PRESETS
from modiste.reports.judging_page import LONGEST_LABEL, _end_of, render_judging, write_judging
from modiste.routes.judge.candidates import open_candidates, training_place
from modiste.routes.judge.copies import LoraCopies
from modiste.routes.judge.files import judge_files
from modiste.routes.judge.keep import copy_best
from modiste.routes.judge.sample_names import read_samples, sample_of
from modiste.routes.judge.samples import judge_samples
from modiste.routes.judge.settings import JudgeSettings
from modiste.trainer.lora.file import read_tensors, write_tensors

WORDS = ("a photo of a red dress", "a green striped dress", "a sand top", "a photo of a blue top", "a red striped top")
LEARNED = {100: 0.2, 200: 0.5, 300: 0.7, 400: 1.0, 500: 0.6, 600: 0.3}  # step → how much of the brand's band


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    for step in LEARNED:
        brand_studio.lora_file(folder / f"brand-step{step:08d}.safetensors", step)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return gather_photos([brand_studio.brand_photos(tmp_path_factory.mktemp("brand") / "photos", 8)]).photos


def session(learned: dict[str, float], **host):
    return replace(brand_studio.session(), host=brand_studio.ManyFilesHost(learned, **host))


def learned_by_name(values=LEARNED) -> dict[str, float]:
    return {f"brand-step{step:08d}": value for step, value in values.items()}


def judged(photos, folder, out, learned=None, host=None, **fields):
    opened = session(learned or learned_by_name(), **(host or {}))
    candidates = open_candidates([folder])
    settings = JudgeSettings.for_session(opened, candidates, **fields)
    return judge_files(photos, candidates, opened, settings, out)


@pytest.fixture(scope="module")
def run(photos, saved, tmp_path_factory):
    out = tmp_path_factory.mktemp("judged") / "out"
    report = judged(photos, saved, out)
    write_judging(report, out)
    return out, report


# ── files ──


def test_the_file_that_learned_most_is_kept_and_proven_against_base_and_last(run):
    _, report = run
    assert report.verdict.decision == "keep" and report.verdict.label == "brand-step00000400"
    assert report.verdict.level == "proven" and report.verdict.advice == ["stop here"]
    over = {gain.over: gain for gain in report.gains}
    assert over["base"].proven and over["last"].proven and over["last"].label == "brand-step00000600"
    assert over["base"].interval.low > 0 and over["base"].judge.low > 0
    assert "+" in report.verdict.sentence and "brand-step00000400" in report.verdict.sentence


def test_files_that_fall_behind_stop_drawing_and_the_pictures_are_few(run):
    _, report = run
    best = report.row("brand-step00000400")
    assert [row.step for row in report.rows] == list(LEARNED) and best.standing == "best"
    assert best.pictures == 32 and report.row("brand-step00000100").pictures < 16
    assert report.row("brand-step00000600").pictures == 32 or report.row("brand-step00000600").standing == "eliminated"
    assert {row.standing for row in report.rows} <= {"best", "stopped", "eliminated"}
    assert next(gain.label for gain in report.gains if gain.over == "next") in (
        "brand-step00000300",
        "brand-step00000500",
    )
    for row in report.rows:
        if row.standing == "eliminated":
            assert row.best_over_it.low > 0, "what is called proven worse is so by the interval that is shown"
    drawn = sum(row.pictures for row in report.rows)
    assert drawn <= 0.6 * report.full_grid == 0.6 * 6 * 32
    assert all(row.best_over_it.mean >= 0 for row in report.rows if row.standing != "best")


def test_a_judgement_stopped_at_any_picture_goes_on_and_reports_the_same(run, photos, saved, tmp_path):
    _, whole = run
    for stop_after in (3, 20, 40):
        with pytest.raises(KeyboardInterrupt):
            judged(photos, saved, tmp_path / "out", host={"stop_after": stop_after})
    again = judged(photos, saved, tmp_path / "out")
    without = {"created"}
    assert again.model_dump(exclude=without) == whole.model_dump(exclude=without)


def test_files_that_learned_alike_are_not_told_apart_and_those_that_learned_nothing_are_named(photos, saved, tmp_path):
    alike = judged(photos, saved, tmp_path / "alike", learned_by_name(dict.fromkeys(LEARNED, 0.8)))
    assert not any(gain.proven for gain in alike.gains if gain.over != "base")
    nothing = judged(photos, saved, tmp_path / "nothing", learned_by_name(dict.fromkeys(LEARNED, 0.0)))
    assert nothing.verdict.decision == "changes nothing" and "same pictures" in nothing.verdict.sentence


def test_where_the_last_file_is_the_best_the_advice_is_to_train_on(photos, saved, tmp_path):
    rising = {step: 0.1 + 0.15 * place for place, step in enumerate(LEARNED)}
    report = judged(photos, saved, tmp_path / "out", learned_by_name(rising))
    assert report.verdict.label == "brand-step00000600" and report.verdict.advice == ["train on"]


def test_every_strength_is_a_candidate(photos, saved, tmp_path):
    files = [saved / "brand-step00000300.safetensors"]
    candidates = open_candidates(files)
    opened = session(learned_by_name({300: 1.6}))
    settings = JudgeSettings.for_session(opened, candidates, strengths=(0.3, 0.6, 1.0))
    report = judge_files(photos, candidates, opened, settings, tmp_path / "out")
    assert [row.strength for row in report.rows] == [0.3, 0.6, 1.0]
    assert report.verdict.strength in (0.6, 1.0), "both draw the whole band"
    assert report.row(report.verdict.label).strength == report.verdict.strength


def test_the_best_file_is_copied_with_its_verdict_and_never_over_another(run, tmp_path):
    _, report = run
    copied = copy_best(report, tmp_path / "best.safetensors")
    tensors, metadata = read_tensors(copied)
    original, _ = read_tensors(Path(report.verdict.file))
    assert all(torch.equal(tensors[name], original[name]) for name in original)
    assert metadata["modelspec.description"].startswith("brand-step00000400 draws the collection best")
    assert metadata["modelspec.description"].endswith("A brand.")
    with pytest.raises(InputError, match="not copied over another"):
        copy_best(report, copied)


def test_the_page_has_every_candidate_and_both_languages(run):
    out, report = run
    page = (out / "report.html").read_text(encoding="utf-8")
    assert all(row.label in page for row in report.rows) and page.count("data-grid=") == len(report.rows)
    assert "Keep brand-step00000400" in page and "留下 brand-step00000400" in page
    assert json.loads((out / "report.json").read_text(encoding="utf-8"))["verdict"]["decision"] == "keep"
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


# ── what their pictures show ──


def test_each_candidate_says_what_it_draws_of_the_photos_beside_the_base_model(run):
    _, report = run
    assert report.base is not None and report.base.pictures == 32 and not report.base.attribute_changes
    for row in report.rows:
        assert row.traits.attributes.keys() == report.base.attributes.keys()
        assert all(0 <= share <= 1 for share in row.traits.attributes.values())
    best = report.row("brand-step00000400").traits
    assert best.pictures == 32 and report.row("brand-step00000100").traits.pictures < 16, (
        "the proof's, and what it drew"
    )
    change = best.colour_change
    assert change.mean == pytest.approx(best.colour_delta_e - report.base.colour_delta_e, abs=0.5) and change.n == 8
    assert best.attribute_changes.keys() == best.attributes.keys()


def test_whether_pictures_find_their_own_garment_among_all_needs_no_calibration(run, photos, saved, tmp_path):
    _, report = run
    shelf = report.catalogue
    assert (shelf.photos, shelf.garments, shelf.chance) == (8, 8, 0.125)
    assert [gain.by for gain in shelf.retrieval] == ["scorer", "judge"]
    scorer = shelf.retrieval[0]
    assert scorer.best == report.row("brand-step00000400").traits.retrieval and scorer.base == report.base.retrieval
    assert scorer.best > shelf.chance and scorer.change.n == 8
    drawn = shutil.copytree(run[0], tmp_path / "out") / "images"
    shop = gather_photos([drawn]).photos  # photos of other garments that look just like the pictures
    opened, candidates = session(learned_by_name()), open_candidates([saved])
    settings = JudgeSettings.for_session(opened, candidates)
    fooled = judge_files(photos, candidates, opened, settings, tmp_path / "out", catalogue=shop).catalogue
    assert fooled.photos > 100 and fooled.chance < 0.01
    assert all(gain.best == gain.base == 0 for gain in fooled.retrieval), "each picture is nearest to itself"


def test_the_page_and_the_terminal_have_attributes_colours_and_retrieval(run, capsys):
    from modiste.cli.print_results import print_judging

    out, report = run
    page = render_judging(report, out, taxonomy=brand_studio.session().vision.taxonomy)
    assert "What they show of the photos" in page and "畫出照片的哪些部分" in page and "ΔE" in page
    assert "Among 8 photos of 8 garments" in page and "首位即同款" in page
    print_judging(report, out)
    shown = " ".join(capsys.readouterr().out.split())
    assert "colours: ΔE" in shown and "colour: " in shown and "nearest to their own" in shown
    assert "Without the trigger" in shown and "不加觸發詞時" in page and "Two pictures of one prompt differ" in page


# ── files that change nothing ──


def test_files_that_change_nothing_are_named_and_set_aside_while_the_others_compete(photos, saved, tmp_path):
    dead = {100: 0.0, 200: 0.4, 300: 0.0, 400: 1.0, 500: 0.6, 600: 0.0}
    report = judged(photos, saved, tmp_path / "out", learned_by_name(dead))
    nothing = [row for row in report.rows if row.standing == "changes nothing"]
    assert [row.step for row in nothing] == [100, 300, 600]
    assert all(row.pictures == 0 and row.similarity is None and "pixel by pixel" in row.reason for row in nothing)
    assert report.verdict.label == "brand-step00000400" and report.verdict.decision == "keep"
    assert "change nothing" in report.verdict.sentence and "brand-step00000300" in report.verdict.sentence
    assert {gain.label for gain in report.gains} <= {"base", "brand-step00000200", "brand-step00000500"}
    write_judging(report, tmp_path / "out")


def test_where_no_file_changes_anything_that_is_the_verdict_and_no_proof_is_drawn(photos, saved, tmp_path):
    report = judged(photos, saved, tmp_path / "out", learned_by_name(dict.fromkeys(LEARNED, 0.0)))
    assert report.verdict.decision == "changes nothing" and not report.gains and report.catalogue is None
    assert report.pictures == 7, "each file's picture of the first block, and the base model's"
    write_judging(report, tmp_path / "out")


def test_a_lora_whose_keys_are_another_models_is_set_aside_by_a_real_host(tmp_path):
    names = {
        "another_block": f"lora_unet_down_blocks_7_{brand_studio.LAYER[-17:]}.lora_{{}}.weight",
        "flux": "transformer.single_transformer_blocks.0.attn.to_q.lora_{}.weight",
    }
    halves = {"another_block": ("down", "up"), "flux": ("A", "B")}
    for name, key in names.items():
        down, up = halves[name]
        tensors = {key.format(down): torch.randn(2, 8), key.format(up): torch.randn(8, 2)}
        write_tensors(tensors, tmp_path / f"{name}.safetensors", {})
    host = LocalHost(PRESETS["mini"].checkpoint, device="cpu")
    drawing = dict(prompt="a red dress", seed=1, steps=2, cfg_scale=4.0, width=64, height=64)
    for candidate in open_candidates([tmp_path], any_model=True):
        lora = LoraRef(name=candidate.label, path=candidate.tuned.file)
        with pytest.raises(LoraWithoutEffect, match=r"no module of this LoRA.*changes nothing.*lora inspect"):
            list(host.generate([GenerationRequest(**drawing, loras=(lora,))]))
    with pytest.raises(InputError, match="a LoRA of FLUX"):
        open_candidates([tmp_path / "flux.safetensors"])


def test_copies_for_a_server_are_taken_back_but_the_one_to_keep_and_the_users_own_files_stay(tmp_path):
    folder, out = tmp_path / "loras", tmp_path / "out"
    folder.mkdir()
    files = [brand_studio.lora_file(tmp_path / f"{name}.safetensors", number) for number, name in enumerate("abc")]
    theirs = give_to_host(files[2], folder, "c")
    for file in files:
        LoraCopies(out, folder).expect(file)  # a run that goes on has the list of the one before
        give_to_host(file, folder, file.stem)
    assert len(list(folder.iterdir())) == 3
    LoraCopies(out, folder).take_back(files[0])
    assert {file.name[0] for file in folder.iterdir()} == {"a", "c"} and theirs.is_file()
    LoraCopies(out, folder).take_back(None)
    assert [file.name[0] for file in folder.iterdir()] == ["c"]


# ── their order ──


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("brand-000004", (None, 4)),  # sd-scripts, an epoch
        ("brand-step00000600", (600, None)),  # sd-scripts, a step
        ("brand_000000500", (500, None)),  # ai-toolkit
        ("brand-save-600-3-0", (600, 3)),  # OneTrainer
        ("checkpoint-900", (900, None)),
        ("brand", (None, None)),
        ("v10-final", (None, None)),
    ],
)
def test_step_and_epoch_are_read_from_what_trainers_call_their_files(name, place):
    assert training_place(name) == place


def test_the_final_file_comes_last_and_the_same_file_twice_is_one(tmp_path):
    for number, name in enumerate(("brand", "brand-000010", "brand-000002")):
        brand_studio.lora_file(tmp_path / f"{name}.safetensors", number)
    (tmp_path / "copy.safetensors").write_bytes((tmp_path / "brand.safetensors").read_bytes())
    assert [model.label for model in open_candidates([tmp_path])] == ["brand-000002", "brand-000010", "brand"]
    with pytest.raises(InputError, match="there is no LoRA file"):
        open_candidates([tmp_path / "empty"] if (tmp_path / "empty").mkdir() is None else [])


# ── sample pictures ──


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("brand_e000003_00_20260101120000_1234.png", ("sd-scripts", None, 3, "00", 1234)),
        ("my_brand_000600_01_20260101120000.png", ("sd-scripts", 600, None, "01", None)),
        ("1767225600123__000000600_2.jpg", ("ai-toolkit", 600, None, "2", None)),
        (
            "0 - a red dress/2026-01-01_12-00-00-training-sample-600-3-0.png",
            ("OneTrainer", 600, 3, "a red dress", None),
        ),
        ("step_600_redress_1024x1024.png", ("SimpleTuner", 600, None, "redress", None)),
        ("step_600_redress_0_1024x1024.png", ("SimpleTuner", 600, None, "redress", None)),
        ("step-000600-3.png", ("Modiste", 600, None, "3", None)),
        ("holiday.png", ("unknown", None, None, None, None)),
    ],
)
def test_sample_names_of_the_trainers_are_read(tmp_path, name, expected):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(file)
    sample = sample_of(file)
    assert (sample.trainer, sample.step, sample.epoch, sample.prompt, sample.seed) == expected


def test_a_pictures_own_text_says_what_its_name_does_not(tmp_path):
    texts = PngInfo()
    texts.add_text("parameters", "a red dress\nNegative prompt: x\nSteps: 20, Seed: 77, Size: 8x8")
    Image.new("RGB", (8, 8)).save(tmp_path / "step_5_a_8x8.png", pnginfo=texts)
    sample = sample_of(tmp_path / "step_5_a_8x8.png")
    assert sample.seed == 77 and sample.prompt == "a"


def sample_folder(
    folder: Path,
    learned: dict[int, float],
    name="brand_{step:06d}_{prompt:02d}_20260101120000_{seed}.png",
    prompts: int = 3,
):
    folder.mkdir()
    host = brand_studio.BrandHost()
    for step, value in learned.items():
        for prompt, words in enumerate(WORDS[:prompts]):
            for seed in (1, 2):
                request = brand_studio.settings().prompt.drawing
                [result] = host.generate([GenerationRequest(prompt=words, seed=10 * prompt + seed, **request)])
                file = folder / name.format(step=step, prompt=prompt, seed=seed)
                brand_studio.band(result.image, value).save(file)
    return folder


@pytest.mark.parametrize("unlabelled", [False, True])
def test_the_step_whose_samples_are_nearest_to_the_collection_comes_out_best(photos, tmp_path, unlabelled):
    folder = sample_folder(tmp_path / "samples", LEARNED, prompts=5)
    if unlabelled:
        Image.new("RGB", (64, 64), "red").save(folder / "holiday.png")
    report = judge_samples(photos, read_samples(folder), brand_studio.session().vision, "mini", tmp_path / "out")
    assert report.verdict.label == "step 400" and report.verdict.decision == "keep"
    assert [row.step for row in report.rows] == list(LEARNED) and report.unpaired == unlabelled
    assert all((tmp_path / "out" / name).is_file() for row in report.rows for name in row.files)
    page = render_judging(report, tmp_path / "out")
    assert "step 400" in page and "flatters" in report.verdict.sentence
    assert any("fresh seeds" in line for line in report.verdict.next_steps)


def test_three_prompts_tell_the_better_of_two_steps_and_not_the_best_of_six_from_the_last(photos, tmp_path):
    vision = brand_studio.session().vision
    two = sample_folder(tmp_path / "two", {step: LEARNED[step] for step in (400, 600)})
    assert judge_samples(photos, read_samples(two), vision, "mini", tmp_path / "a").verdict.decision == "keep"
    six = sample_folder(tmp_path / "six", LEARNED)
    report = judge_samples(photos, read_samples(six), vision, "mini", tmp_path / "b")
    assert (report.verdict.label, report.verdict.decision) == ("step 400", "no difference")
    assert {row.best_over_it.confidence for row in report.rows if row.best_over_it} == {0.99}, "one of five"


def test_samples_of_one_step_or_without_any_name_compare_nothing(photos, tmp_path):
    folder = sample_folder(tmp_path / "one", {100: 0.5})
    with pytest.raises(InputError, match="nothing can be compared"):
        judge_samples(photos, read_samples(folder), brand_studio.session().vision, "mini", tmp_path / "out")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no sample picture"):
        read_samples(tmp_path / "none")


def test_a_table_says_what_names_do_not(photos, tmp_path):
    folder = sample_folder(tmp_path / "samples", {1: 0.2, 2: 1.0}, "{step}-{prompt}-{seed}.png")
    rows = [f"{s}-{p}-{d}.png,{s},{p},{d}" for s in (1, 2) for p in range(3) for d in (1, 2)]
    (folder / "samples.csv").write_text("\n".join(["file,step,prompt,seed", *rows]), encoding="utf-8")
    report = judge_samples(photos, read_samples(folder), brand_studio.session().vision, "mini", tmp_path / "out")
    assert report.verdict.label == "step 2" and report.unpaired == 0
    (folder / "samples.csv").write_text("file,step\n1-0-1.png,soon", encoding="utf-8")
    with pytest.raises(InputError, match="line 2 has no whole number under step"):
        read_samples(folder)
    (folder / "samples.csv").write_text("picture\nx", encoding="utf-8")
    with pytest.raises(InputError, match="needs a column file"):
        read_samples(folder)


def test_a_long_name_leaves_room_for_the_figures_of_the_chart_and_keeps_its_step():
    assert _end_of("brand-000004") == "brand-000004"
    short = _end_of("fashion_lora_weights-step00000600")
    assert len(short) == LONGEST_LABEL and short.endswith("step00000600")
