"""Many LoRAs of a list: which of them a text names, and what the node says of a judgement by the command's own code."""

from __future__ import annotations

from pathlib import Path

import brand_studio
import pytest

from modiste.core.errors import InputError
from modiste.fashion.photos import gather_photos
from modiste.nodes.comfy.graph_host import ComfyGraphHost
from modiste.nodes.comfy.lora_host import LoraGraphHost
from modiste.nodes.vision.lora_judging import judge_loras, loras_named
from modiste.search.seeds import seed_plan

LISTED = ["brand-000004.safetensors", "brand-000008.safetensors", "old\\brand.safetensors", "run/steps/a.safetensors"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("brand-000008.safetensors", LISTED[1:2]),
        ("brand-000008.safetensors, brand-000004.safetensors\nbrand-000008.safetensors", [LISTED[1], LISTED[0]]),
        ("brand-*", LISTED[:2]),
        ("old/", LISTED[2:3]),
        ("run", LISTED[3:]),
        ("run\\steps", LISTED[3:]),
        (" run/steps/a.safetensors \n\n", LISTED[3:]),
    ],
)
def test_a_text_names_files_folders_and_patterns_of_the_list_each_once(text, names):
    assert loras_named(text, LISTED) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no LoRA was named"),
        (" ,\n", "no LoRA was named"),
        ("brand-000005.safetensors", "did you mean 'brand-00000"),
        ("bran", "no LoRA of the list is 'bran'"),
        ("../brand-*", "no LoRA of the list is"),
    ],
)
def test_what_the_list_does_not_have_is_refused_with_what_is_near(text, message):
    with pytest.raises(InputError, match=message):
        loras_named(text, LISTED)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged")
    learned = {"brand-000001": 0.0, "brand-000002": 1.0, "brand-000003": 0.5}
    files = [brand_studio.lora_file(folder / f"{name}.safetensors", at) for at, name in enumerate(learned)]
    photos = gather_photos([brand_studio.brand_photos(folder / "photos", 5)]).photos
    opened = brand_studio.session()
    options = dict(sampler="Pencil", steps=1, cfg_scale=1.0, width=64, height=64, seed=0, trigger="")
    options |= dict(strengths=(1.0,), choosing_seeds=1, confirm_seeds=2)
    models = brand_studio.ManyFilesHost(learned), opened.vision
    progress = []
    images = [photo.image for photo in photos]
    arguments = images, [], models, options, folder / "runs", progress.append
    judgement, again = judge_loras(files, *arguments), judge_loras(files[::-1], *arguments)
    return judgement, again, progress, photos, models[0].drawn


def test_the_best_of_the_list_comes_with_its_strength_and_a_report_of_all(judged):
    judgement, _, progress, _, drawn = judged
    assert judgement.improved and judgement.best.stem == "brand-000002" and judgement.strength == 1
    told = judgement.report().split("\n")
    assert told[0] == judgement.judged.verdict.sentence and "brand-000002 draws the collection best" in told[0]
    assert "– brand-000001: changes nothing, 0 pictures" in told and (judgement.folder / "report.html").is_file()
    assert len(judgement.judged.references) == 5 == len({item.garment for item in judgement.judged.references})
    assert progress[-1].done == progress[-1].total
    seeds = seed_plan(0, 5, 10)
    assert {request.seed for request in drawn} == {*seeds.search, *seeds.confirm}
    assert all(brand_studio.TRIGGER in item.prompt for item in judgement.judged.references)
    shelf = judgement.judged.catalogue
    assert [gain.by for gain in shelf.retrieval] == ["scorer", "judge"]
    assert all(gain.best > shelf.chance for gain in shelf.retrieval)


def test_another_noise_schedule_is_another_run():
    digests = {
        LoraGraphHost(ComfyGraphHost(None, None, None, schedule, "model", "digest", lambda: None)).digest
        for schedule in ("normal", "karras", "karras")
    }
    assert len(digests) == 2


def test_the_grid_has_the_photos_then_a_row_a_candidate_and_white_where_one_had_stopped(judged):
    judgement, _, _, photos, _ = judged
    grid = judgement.grid()
    assert len(grid) == 4 and {len(row) for row in grid} == {5}
    assert grid[0] == [photo.image for photo in photos]
    assert all(min(picture.convert("L").getextrema()) == 255 for picture in grid[1]), "it changes nothing"
    assert all(picture.convert("L").getextrema()[0] < 255 for picture in grid[2])


def test_the_same_files_in_another_order_are_the_same_run_and_an_unproven_best_has_no_strength(judged):
    judgement, again, *_ = judged
    assert again.folder == judgement.folder and again.judged.verdict == judgement.judged.verdict
    verdict = judgement.judged.verdict.model_copy(update={"decision": "no gain"})
    unproven = type(judgement)(judgement.judged.model_copy(update={"verdict": verdict}), judgement.folder, [])
    assert unproven.best == Path(verdict.file) and (unproven.improved, unproven.strength) == (False, 0.0)
