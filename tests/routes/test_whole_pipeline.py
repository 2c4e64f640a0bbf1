"""From photos to a verdict: what each stage may see, that nothing is done twice, and one story in two languages."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import brand_studio
import pytest
from page_elements import EVIL, Elements
from train_samples import tiny_base

from modiste.core.errors import InputError, Stopped
from modiste.fashion.photos import gather_photos
from modiste.reports.comparison import PipelineReport
from modiste.reports.comparison_page import render_verdict
from modiste.reports.comparison_texts import VERDICT
from modiste.reports.prompt_texts import LANGUAGES
from modiste.routes.pipeline.pipeline import run_pipeline

ROOT = Path(__file__).parents[2]
COLLECTION = ROOT / "examples" / "collection"
TIMES = {"created", "elapsed_s", "costs"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    """Photos and a base model, and the finished run in `whole`."""
    folder = tmp_path_factory.mktemp("shop")
    brand_studio.brand_photos(folder / "photos")
    (folder / "photos" / "broken.png").write_bytes(b"")
    tiny_base(folder / "base")
    brand_studio.run(folder / "photos", folder / "base", folder / "out")
    (folder / "out").rename(folder / "whole")
    return folder


@pytest.fixture(scope="module")
def story(shop) -> PipelineReport:
    return PipelineReport.model_validate_json((shop / "whole" / "report.json").read_text(encoding="utf-8"))


def without_times(folder: Path) -> dict:
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    report["verdict"].pop("cost")
    return {name: value for name, value in report.items() if name not in TIMES}


def contents(files) -> set[str]:
    return {hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files}


# ── who sees what ──


def test_photos_of_the_proof_are_neither_searched_nor_trained_on_and_those_of_validation_only_choose(shop, story):
    searched = {
        image["image_sha256"]
        for image in json.loads((shop / "whole" / "prompt" / "report.json").read_text(encoding="utf-8"))["images"]
    }
    record = json.loads((shop / "whole" / "training" / "train.json").read_text(encoding="utf-8"))
    part = {name: contents(files) for name, files in story.split.items()}
    laid_out = contents((shop / "whole" / "dataset").rglob("*.png"))
    assert searched <= part["training"] and laid_out == part["training"] | part["validation"]
    held_out = {Path(path).name for path in record["photos"]["held_out"]}
    assert contents(shop / "whole" / "dataset" / "photos" / name for name in held_out) == part["validation"]
    assert {photo.image_sha256 for photo in story.images} == part["proof"]
    assert not part["proof"] & (part["training"] | part["validation"])


def test_the_winning_format_is_what_captions_and_prompts_are_written_in(story):
    assert story.caption_format == story.best_strategies.optimal_prompt_format["strategy"]
    for caption in story.captions.values():
        assert brand_studio.TRIGGER in caption and "(" not in caption
    for photo in story.images:
        assert brand_studio.TRIGGER in photo.prompts["tuned"] and photo.prompts["base"] == photo.prompts["tuned"]
        assert brand_studio.TRIGGER not in photo.prompts["words"] + photo.prompts["name"]


def test_the_verdict_names_the_route_that_paid_its_cost_and_the_next_step(story):
    verdict = story.verdict
    assert verdict.decision == "training" and verdict.look and verdict.strength in (0.6, 1.0)
    assert verdict.sentence.startswith("On garments that it never saw") and "training took" in verdict.cost
    assert "fashion_lora_weights.safetensors" in verdict.next_steps[0] and brand_studio.TRIGGER in verdict.next_steps[0]
    assert story.costs["training"].disk_bytes == story.tuned.bytes > 0 and story.costs["prompt"].pictures > 0
    assert [skip.code for skip in story.skipped] == ["EMPTY"]


# ── stopped and started again ──


@pytest.mark.slow
def test_a_run_killed_at_ten_random_instants_reports_what_the_uninterrupted_one_does(shop):
    script = Path(brand_studio.__file__)
    environ = {**os.environ, "PYTHONPATH": f"{script.parent}{os.pathsep}{script.parent.parent}"}
    rng = random.Random(7)
    for kill in range(11):
        instant = rng.randrange(1, 30) if kill < 10 else 0
        command = [sys.executable, str(script), str(shop), str(instant)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
    assert done.returncode == 0
    assert without_times(shop / "out") == without_times(shop / "whole")


def test_a_wish_to_stop_ends_each_stage_within_a_report_and_the_run_goes_on_to_the_same_end(shop):
    out = shop / "out"
    shutil.rmtree(out, ignore_errors=True)
    for stage in ("prompt", "finetune", "compare"):
        heard, asked = [], []

        def stop(stage=stage, heard=heard, asked=asked) -> bool:
            finished = json.loads((out / "stages.json").read_text()) if (out / "stages.json").is_file() else {}
            before = {"prompt": [], "finetune": ["prompt"], "compare": ["prompt", "finetune"]}[stage]
            if all(finished.get(name, {}).get("finished") for name in before) and len(heard) > 3:
                asked.append(len(heard))
            return bool(asked)

        with pytest.raises(Stopped, match="kept"):
            brand_studio.run(shop / "photos", shop / "base", out, progress=heard.append, stop=stop)
        assert len(heard) - asked[0] <= 2, "a report or two after the wish, not a stage"
        assert not json.loads((out / "stages.json").read_text())[stage]["finished"]
    brand_studio.run(shop / "photos", shop / "base", out)
    assert without_times(out) == without_times(shop / "whole")
    shutil.rmtree(out)


def test_a_finished_run_started_again_draws_and_trains_nothing_and_its_stages_alone_give_the_same(shop, tmp_path):
    (shop / "photos").rename(tmp_path / "kept")  # the paths are part of the report
    (tmp_path / "kept").rename(shop / "photos")
    for stage in ("prompt", "finetune", "compare"):
        last = brand_studio.run(shop / "photos", shop / "base", shop / "alone", stage=stage)
        assert (last is None) == (stage != "compare")
    again = brand_studio.session(shop / "base")
    weights = shop / "alone" / "training" / "fashion_lora_weights.safetensors"
    before, page = weights.stat().st_mtime_ns, (shop / "alone" / "report.html").read_bytes()
    run_pipeline(gather_photos([shop / "photos"]), again, brand_studio.settings(), shop / "alone")
    assert again.host.drawn == [] and weights.stat().st_mtime_ns == before
    assert (shop / "alone" / "report.html").read_bytes() == page
    mine, whole = without_times(shop / "alone"), without_times(shop / "whole")
    assert [arm["similarity"] for arm in mine["arms"]] == [arm["similarity"] for arm in whole["arms"]]
    assert mine["gains"] == whole["gains"] and mine["tuned"]["identity"] == whole["tuned"]["identity"]


def test_pictures_of_the_class_join_where_they_are_asked_for_and_are_drawn_once(shop, tmp_path):
    quiet_page = (shop / "whole" / "report.html").read_text(encoding="utf-8")
    gathered, asked = gather_photos([shop / "photos"]), brand_studio.settings(with_generated=True)
    session = brand_studio.session(shop / "base")
    story = run_pipeline(gathered, session, asked, tmp_path / "out")
    folder = tmp_path / "out" / "dataset" / "generated"
    captions = [file.read_text(encoding="utf-8").strip() for file in sorted(folder.glob("*.txt"))]
    passed = len(story.best_strategies.high_performing_samples)
    assert len(story.split["training"]) <= story.generated == len(captions) <= len(story.split["training"]) + passed
    assert not any(brand_studio.TRIGGER in caption for caption in captions)
    assert set(captions) >= {text.replace(f"{brand_studio.TRIGGER} ", "") for text in story.captions.values()}
    record = json.loads((tmp_path / "out" / "training" / "train.json").read_text(encoding="utf-8"))
    assert (record["photos"]["training"], record["photos"]["prior"]) == (len(story.split["training"]), story.generated)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert f"{story.generated} pictures of the class" in page and "pictures of the class, which" not in quiet_page
    assert story.costs["training"].pictures == len(story.split["training"])
    assert "--with-generated" not in " ".join(story.verdict.next_steps) and story.verdict.leaks
    (tmp_path / "out" / "stages.json").unlink()  # as if it had been killed before the first stage was written down
    again = brand_studio.session(shop / "base")
    assert run_pipeline(gathered, again, asked, tmp_path / "out").generated == story.generated and not again.host.drawn


def test_a_stage_that_needs_another_first_says_so_and_a_folder_belongs_to_its_settings_and_photos(shop, tmp_path):
    with pytest.raises(InputError, match="needs the stage prompt"):
        brand_studio.run(shop / "photos", shop / "base", tmp_path / "new", stage="finetune")
    with pytest.raises(InputError, match="no stage 'train'"):
        brand_studio.run(shop / "photos", shop / "base", tmp_path / "new", stage="train")
    gathered, session = gather_photos([shop / "photos"]), brand_studio.session(shop / "base")
    with pytest.raises(InputError, match="seed: 0 → 1"):
        run_pipeline(gathered, session, brand_studio.settings(seed=1), shop / "whole")
    gathered.photos.pop()
    with pytest.raises(InputError, match="photos are others"):
        run_pipeline(gathered, session, brand_studio.settings(), shop / "whole")


# ── the commands ──


def modiste(*words) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "harness.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_commands_do_a_stage_alone_on_the_embedded_models_and_refuse_in_one_line(tmp_path):
    words = ["pipeline", COLLECTION, "--out", tmp_path, "--preset", "mini", "--trigger", "vesper", "--budget", 8]
    words += ["--searched", 1, "--train-steps", 2]
    early = modiste(*words, "--stage", "compare")
    assert early.returncode == 2 and "needs the stage prompt" in early.stderr and "Traceback" not in early.stderr
    for stage in ("prompt", "finetune"):
        done = modiste(*words, "--stage", stage)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "prompt" / "report.json").is_file() and not (tmp_path / "report.json").exists()
    weights = tmp_path / "training" / "fashion_lora_weights.safetensors"
    record = json.loads((tmp_path / "training" / "train.json").read_text(encoding="utf-8"))
    assert weights.is_file() and record["steps"] == 2 and record["config"]["data"]["trigger"] == "vesper"
    learned = tmp_path / "dataset" / "photos"
    refused = modiste("compare", learned, "--tuned", COLLECTION, "--out", tmp_path / "c", "--preset", "mini")
    assert refused.returncode == 2 and "tuned model is a LoRA" in refused.stderr and not (tmp_path / "c").exists()


# ── the page ──


def test_the_page_needs_no_other_file_and_runs_its_own_script_alone(shop):
    page = (shop / "whole" / "report.html").read_text(encoding="utf-8")
    elements = Elements(page)
    assert not {tag for tag, _ in elements.tags} & {"iframe", "object", "embed", "link", "form", "base"}
    for tag, attributes in elements.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "srcset"):
            assert (attributes.get(name) or "data:image/").startswith(("data:image/", "#")), (tag, attributes)
    assert "url(" not in page and "@import" not in page and page.count("<script") == 1
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(a["content"] for tag, a in elements.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy
    assert "{" not in elements.text.replace(script, "")


def test_every_text_from_outside_is_inert(shop, story):
    photo = story.images[0].model_copy(
        update=dict(image=f"photos/{EVIL}.png", prompts={arm: EVIL for arm in story.images[0].prompts}, garment=EVIL)
    )
    hostile = story.model_copy(
        update=dict(
            images=[photo, *story.images[1:]],
            tuned=story.tuned.model_copy(update=dict(file=EVIL, trigger=EVIL, identity=EVIL)),
            captions={EVIL: EVIL},
            caption_format=EVIL,
            settings={EVIL: EVIL},
            notes=[EVIL],
            prompt_route=story.prompt_route.model_copy(update=dict(best_prompt=EVIL, best_negative=EVIL)),
        )
    )
    page = render_verdict(hostile, shop / "whole")
    assert page.count("<script") == 1 and "<img src=x" not in page and "onerror=&#34;" in page


def test_the_page_has_every_strength_on_its_slider_and_every_proof_photo_in_each_way(shop, story):
    page = (shop / "whole" / "report.html").read_text(encoding="utf-8")
    elements = Elements(page)
    stops = [a for tag, a in elements.tags if tag == "input" and a.get("name") == "strength"]
    assert [a["aria-label"] for a in stops] == ["0", "0.6", "1"]
    assert [float(a["aria-label"]) for a in stops if "checked" in a] == [story.arm("tuned").strength]
    for strength in range(len(stops)):
        assert page.count(f'class="at at-{strength}"') == len(story.images)
    copied = [a["data-of"] for tag, a in elements.tags if tag == "button"]
    assert {"best-prompt", "best-file", "trigger"} <= set(copied)
    assert {a["id"] for tag, a in elements.tags if a.get("id") in copied} == set(copied)
    assert story.prompt_route.best_prompt in elements.text and story.tuned.file in elements.text


def test_both_languages_of_the_verdict_say_the_same_with_the_same_values(story, shop):
    for key, (english, chinese) in VERDICT.items():
        assert english and chinese and english != chinese, key
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", chinese)), key
        assert re.search(r"[\u4e00-\u9fff]", chinese) and not re.search(r"[\u4e00-\u9fff]", english), key
    spans = [a.get("lang") for tag, a in Elements(render_verdict(story, shop / "whole")).tags if tag == "span"]
    assert spans.count("en") == spans.count("zh-TW") > 60 and set(LANGUAGES) == {"en", "zh-TW"}
