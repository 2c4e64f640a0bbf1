"""The report as a person meets it: whole in one file, in two languages, true to the figures, and harmless."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import paper_studio
import pytest
from page_elements import EVIL, Elements
from PIL import Image

from modiste.fashion.photos import CODES
from modiste.fashion.prompts.strategies import describe
from modiste.reports import charts
from modiste.reports.prompt import PromptReport
from modiste.reports.prompt_page import render_report, write_report
from modiste.reports.prompt_texts import LANGUAGES, SKIP_CODES, TEXT


@pytest.fixture(scope="module")
def report(paper_run) -> PromptReport:
    return PromptReport.model_validate_json((paper_run / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(paper_run) -> str:
    return (paper_run / "report.html").read_text(encoding="utf-8")


# ── whole and harmless ──


def test_the_page_needs_no_other_file_and_runs_no_script(page):
    elements = Elements(page)
    names = {tag for tag, _ in elements.tags}
    assert not names & {"script", "iframe", "object", "embed", "link", "form", "base"}
    for tag, attributes in elements.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "srcset"):
            assert (attributes.get(name) or "data:image/").startswith(("data:image/", "#")), (tag, attributes)
    assert "url(" not in page and "@import" not in page
    policy = next(a["content"] for tag, a in elements.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "script-src" not in policy


def hostile(report: PromptReport) -> PromptReport:
    """The same run with every text that comes from outside turned against the page."""
    photo = report.images[0].model_copy(
        update=dict(
            image=f"photos/{EVIL}.png",
            duplicates=[EVIL],
            notes=[EVIL],
            optimized_prompt=EVIL,
            negative_prompt=EVIL,
            strategy=EVIL,
            candidate=EVIL,
            verdict=EVIL,
            tags=[{"group": EVIL, "label": EVIL, "confidence": 0.5}],
            not_visible=[EVIL],
            tried=[report.images[0].tried[0].model_copy(update=dict(strategy=EVIL, prompt=EVIL))],
        )
    )
    calibration = report.calibration.model_copy(update=dict(encoder=EVIL, note=EVIL))
    skipped = [report.skipped[0].model_copy(update=dict(path=EVIL, code=EVIL, reason=EVIL))]
    host = {"kind": EVIL, "checkpoint": EVIL}
    return report.model_copy(
        update=dict(
            images=[photo, *report.images[1:]], calibration=calibration, skipped=skipped, host=host, preset=EVIL
        )
    )


def test_hostile_names_stay_text_wherever_they_stand(report, page, paper_run):
    attacked = Elements(render_report(hostile(report), paper_run, taxonomy=paper_studio.TAXONOMY))
    assert attacked.text.count(EVIL) >= 14
    plain = Elements(page)
    images = [[a for tag, a in each.tags if tag == "img"] for each in (attacked, plain)]
    assert len(images[0]) == len(images[1]) and "script" not in {tag for tag, _ in attacked.tags}
    assert all(set(attributes) <= {"src", "width", "height", "alt", "loading", "decoding"} for attributes in images[0])


def chromium(page: Path, folder: Path, *words: str) -> str:
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    more = "--disable-component-update --disable-sync --virtual-time-budget=2000"
    command = [
        "chromium",
        *flags.split(),
        *more.split(),
        f"--user-data-dir={folder / 'profile'}",
        *words,
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=True).stdout


@pytest.mark.browser
def test_in_a_browser_a_hostile_report_runs_nothing(report, paper_run, tmp_path):
    page = tmp_path / "report.html"
    page.write_text(render_report(hostile(report), paper_run), encoding="utf-8")
    assert "<title>Modiste</title>" in chromium(page, tmp_path, "--dump-dom")


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_the_page_is_drawn_and_nothing_hangs_over_its_side(width, page, tmp_path):
    file, shot = tmp_path / "report.html", tmp_path / "page.png"
    # Wide enough to show what hangs out: it would be drawn right of the page's own width.
    framed = page.replace("<body id=", f'<body style="width:{width}px;margin:0" id=', 1)
    file.write_text(framed, encoding="utf-8")
    chromium(file, tmp_path, f"--screenshot={shot}", f"--window-size={width + 200},1600", "--hide-scrollbars")
    picture = Image.open(shot).convert("RGB")
    assert picture.getcolors(1 << 24) and len(picture.getcolors(1 << 24)) > 500
    beside = picture.crop((width + 1, 0, picture.width, picture.height))
    assert len(beside.getcolors(1 << 24)) == 1


# ── true to the figures ──


def test_the_page_shows_every_photo_with_its_prompt_tags_and_scores(report, page):
    text = Elements(page).text
    for photo in report.images:
        assert photo.optimized_prompt in text and photo.verdict in text and Path(photo.image).name in text
        for score in (photo.similarity_score, photo.baseline_score, photo.minimal_score):
            assert charts.points(score) in text
        for trial in photo.tried:
            assert trial.strategy in text and trial.prompt in text and describe(trial.strategy, "zh-TW") in text
        for tag in photo.tags:
            assert tag["label"] in text
    summary = report.summary
    for figure in (summary.gain_over_baseline, summary.gain_over_minimal, summary.judge_gain_over_baseline):
        assert charts.signed(figure.mean) in text and charts.signed(figure.low) in text
    assert all(skip.path in text and skip.reason in text for skip in report.skipped)
    assert all(str(seed) in text for seed in report.seeds["confirm"])
    assert report.calibration.encoder in text and report.judge.encoder in text


def test_the_judges_gain_stands_beside_every_gain_and_a_badge_says_what_is_proven(report, page, paper_run):
    searched = [photo for photo in report.images if photo.candidate != "all_tags"]
    assert searched
    for photo in searched:
        sentence = TEXT["judge_gain"][0].format(**charts.signed_interval(photo.judge_interval))
        assert sentence in Elements(page).text
    photos = [
        photo.model_copy(update={"improved": True, "proven": proven})
        for photo, proven in zip(report.images, (True, False, False), strict=True)
    ]
    marked = render_report(report.model_copy(update={"images": photos}), paper_run)
    badges = [marked.count(f'<span lang="en">{TEXT[key][0]}</span>') for key in ("proven", "improved")]
    assert badges == [1, 2]
    alone = report.summary.model_copy(update={"judge_gain_over_baseline": None})
    without = Elements(render_report(report.model_copy(update={"summary": alone}), paper_run)).text
    assert TEXT["judge_none"][0] in without


def test_photo_baseline_and_best_stand_side_by_side_and_a_lost_picture_leaves_a_gap(report, page, paper_run):
    pictures = sum(tag == "img" for tag, _ in Elements(page).tags)
    seeds = len(report.images[0].seeds["confirm"])
    assert pictures == len(report.images) * (1 + 1 + 3 + 3 * seeds)
    lost = [photo.model_copy(update=dict(pictures={"winner": ["images/gone.png"]})) for photo in report.images]
    gaps = render_report(report.model_copy(update=dict(images=lost)), paper_run)
    assert Elements(gaps).text.count(TEXT["picture_missing"][0]) >= 3


def test_a_picture_outside_the_run_is_never_shown(report, paper_run, tmp_path):
    secret = tmp_path / "secret.png"
    Image.new("RGB", (40, 40)).save(secret)
    for name in (str(secret), "../../" + secret.name):
        stolen = report.images[0].model_copy(update=dict(photo_copy=name, pictures={}))
        page = render_report(report.model_copy(update=dict(images=[stolen])), paper_run)
        assert not [tag for tag, _ in Elements(page).tags if tag == "img"]


def test_a_run_without_a_usable_photo_has_a_page_that_says_so(report, paper_run):
    page = render_report(report.model_copy(update=dict(images=[])), paper_run)
    assert TEXT["no_photos"][0] in page and report.skipped[0].path in page


def test_writing_the_report_again_gives_the_same_bytes(report, paper_run, tmp_path):
    before = (paper_run / "report.html").read_bytes()
    write_report(report, paper_run, taxonomy=paper_studio.TAXONOMY, describe=describe)
    assert (paper_run / "report.html").read_bytes() == before


# ── two languages ──


def test_both_languages_say_the_same_with_the_same_values():
    for key, (english, chinese) in (TEXT | SKIP_CODES).items():
        assert english and chinese and english != chinese, key
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", chinese)), key
        assert re.findall(r"</?b>", english).count("<b>") == re.findall(r"</?b>", chinese).count("<b>"), key
        assert re.search(r"[\u4e00-\u9fff，]", chinese) and not re.search(r"[\u4e00-\u9fff]", english), key


def test_one_language_is_shown_at_a_time_and_the_chosen_one_first(report, paper_run):
    for language in LANGUAGES:
        page = render_report(report, paper_run, language=language)
        choices = [a for tag, a in Elements(page).tags if tag == "input"]
        assert [a["id"] for a in choices if "checked" in a] == [f"language-{language}"]
        assert f'<html lang="{language}">' in page
    spans = [a.get("lang") for tag, a in Elements(page).tags if tag == "span" and "lang" in a]
    assert spans.count("en") == spans.count("zh-TW") > 40


def test_every_reason_to_skip_a_photo_has_a_name_in_both_languages():
    assert set(CODES) == SKIP_CODES.keys()


# ── charts ──


def drawings() -> list[str]:
    odd = [(0.5, 0.4, 0.1, -0.1, 0.3), (1.0, 1.0, 1.0, 0.0, 0.0), (0.0, 0.0, 0.0, -1.0, 1.0), (0.7, 0.2, 0.9, -2, 2)]
    rows = [charts.Bar(EVIL, 0.3, "2×"), charts.Bar("b", 1.7, chosen=True), charts.Bar("c", -0.2)]
    gains = [charts.GainBar("a", 0.1, -0.05, 0.25), charts.GainBar(EVIL, -0.4, -0.9, 0.1)]
    drawn = [charts.gauge("t", *values) for values in odd]
    return [*drawn, charts.bars("t", rows), charts.bars("t", []), charts.intervals("t", gains)]


@pytest.mark.parametrize("drawing", drawings(), ids=range(len(drawings())))
def test_a_chart_is_well_formed_stays_in_its_frame_and_can_be_read_aloud(drawing):
    root = ElementTree.fromstring(drawing)
    width, height = (float(value) for value in root.get("viewBox").split()[2:])
    assert root.get("role") == "img" and root.get("aria-label")
    for shape in root.iter():
        for name, most in (("x", width), ("cx", width), ("x1", width), ("x2", width), ("y1", height), ("cy", height)):
            assert 0 <= float(shape.get(name, 0)) <= most, (name, shape.attrib)


@pytest.mark.parametrize(
    ("value", "points", "signed"),
    [
        (0.456, "46", "+45.6"),
        (0.0, "0", "0.0"),
        (-0.0001, "0", "0.0"),
        (-0.12, "−12", "−12.0"),
        (float("nan"), "—", "—"),
    ],
)
def test_figures_are_written_as_points(value, points, signed):
    assert (charts.points(value), charts.signed(value)) == (points, signed)
