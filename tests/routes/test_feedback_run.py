"""A model that does not draw a word unless it is said another way: the run finds that way, and says what was missed."""

from __future__ import annotations

from dataclasses import replace

import paper_studio
import pytest
from PIL import Image

from modiste.fashion.agreement import palette_difference
from modiste.fashion.photos import gather_photos
from modiste.fashion.prompts.renderers import Rendered
from modiste.fashion.segment import garment_pixels
from modiste.routes.evaluator import Candidate, Picture
from modiste.routes.prompt.criterion import Criterion, colour_change
from modiste.routes.prompt.optimise import optimise_prompts
from modiste.runs.journal import Journal, Score

STRIPED, SAND = 1, 2  # photos of `paper_photos`


class HardOfHearing(paper_studio.PaperHost):
    """Draws stripes only where the prompt begins with them."""

    def generate(self, requests):
        def heard(prompt: str) -> str:
            return prompt if prompt.startswith("striped,") else prompt.replace("striped", "")

        for request in requests:
            [result] = super().generate([request.model_copy(update={"prompt": heard(request.prompt)})])
            yield replace(result, request=request)


@pytest.fixture(scope="module")
def run(paper_photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("feedback") / "out"
    return out, optimise_prompts(gather_photos([paper_photos]), session(), paper_studio.settings(), out)


def session():
    return replace(paper_studio.session(), host=HardOfHearing())


def test_a_word_that_is_not_drawn_is_said_first_and_that_prompt_is_recommended(run):
    _, report = run
    photo = report.images[STRIPED]
    assert photo.missed == ["striped"] and photo.uninvited == ["plain"]
    assert "missed first" in photo.strategy and photo.improved and photo.optimized_prompt.startswith("striped, ")
    assert photo.agreement["pattern"] == 1.0 and not photo.beyond_words
    assert any("missed first" in tried.strategy for tried in photo.tried)
    finalist = next(tried for tried in photo.tried if tried.strategy == photo.strategy)
    assert len(finalist.seeds) >= 3, "it has met the others on three seeds"


def test_where_nothing_is_missed_nothing_is_rewritten(run):
    _, report = run
    for photo in report.images[:STRIPED] + report.images[SAND:]:
        assert photo.missed == [] and not any("missed" in tried.strategy for tried in photo.tried)


def test_without_feedback_no_strategy_finds_the_way_out(paper_photos, tmp_path):
    settings = paper_studio.settings().model_copy(update={"feedback": False})
    photo = optimise_prompts(gather_photos([paper_photos]), session(), settings, tmp_path / "out").images[STRIPED]
    assert photo.missed == [] and photo.agreement["pattern"] == 0.0 and photo.beyond_words == ["pattern"]


def test_a_run_stopped_at_any_picture_answers_the_same_faults_when_it_goes_on(run, paper_photos, tmp_path):
    _, whole = run
    gathered, settings = gather_photos([paper_photos]), paper_studio.settings()
    for stop_after in (5, 4, 9, 13, 41):
        with pytest.raises(KeyboardInterrupt):
            stopping = replace(paper_studio.session(), host=HardOfHearing(stop_after))
            optimise_prompts(gathered, stopping, settings, tmp_path / "out")
    report = optimise_prompts(gathered, session(), settings, tmp_path / "out")
    assert [photo.tried for photo in report.images] == [photo.tried for photo in whole.images]
    assert report.summary.generations == whole.summary.generations


def test_the_report_page_says_what_the_first_pictures_missed(run):
    out, _ = run
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Words missed by the first pictures: striped" in page and "最初的圖未畫出：striped" in page


# ── colour ──


def picture(folder, colour, unclipped):
    path = folder / f"{colour}.png"
    paper_studio.paint(paper_studio.COLOURS[colour], False, 0, 0).save(path)
    return Picture(Candidate("an arm", Rendered("words"), 1), path, Score(0.5, unclipped, 0.5, 0.5), 0.0)


def test_of_two_pictures_that_are_as_similar_the_one_of_the_photos_colour_is_worth_more(tmp_path):
    photo = paper_studio.paint(paper_studio.COLOURS["red"], False, 0, 0)
    criterion = Criterion.of_photo(photo, weight=0.02)
    same, other = picture(tmp_path, "red", 0.8), picture(tmp_path, "sand", 0.8)
    first, second = criterion.worth([same, other])
    assert first == pytest.approx(0.8, abs=0.01) and second < 0.8 - 0.02 * 20
    assert criterion.delta_e(other) == pytest.approx((0.8 - second) / 0.02, abs=0.01)
    unusable = Picture(same.candidate, None, Score(0.0, 0.0, 0.0, 0.0), 0.0)
    assert criterion.worth([unusable]) == [0.0]


def test_with_a_weight_of_0_or_a_garment_that_does_not_stand_out_similarity_alone_counts(tmp_path):
    other = picture(tmp_path, "sand", 0.8)
    photo = paper_studio.paint(paper_studio.COLOURS["red"], False, 0, 0)
    assert Criterion.of_photo(photo, weight=0.0).worth([other]) == [0.8]
    assert Criterion.of_photo(Image.new("RGB", (64, 64), "red"), weight=0.02).worth([other]) == [0.8]


def test_the_change_of_colour_is_paired_and_in_units_of_delta_e():
    change = colour_change([4.0, 5.0, None, 3.0], [6.0, 7.5, 8.0, 5.0])
    assert change and change.n == 3 and change.mean == pytest.approx(-13 / 6) and change.low < change.mean < change.high
    assert colour_change([None], [1.0]) is None


def test_the_reports_changes_of_colour_are_recomputed_from_the_pictures(run):
    out, report = run
    changes = []
    for photo in report.images:
        assert photo.colour_interval
        reference = garment_pixels(Image.open(photo.image).convert("RGB"))
        with Journal.open(out, paper_studio.settings().model_dump(mode="json")) as journal:
            rows = {(row.key.strategy_id, row.key.seed, row.key.image_sha256): row.path for row in journal.rows()}

        def difference(strategy: str, seed: int, photo=photo, reference=reference, rows=rows) -> float:
            drawn = Image.open(rows[strategy, seed, photo.image_sha256]).convert("RGB")
            return palette_difference(reference, garment_pixels(drawn))

        seeds = photo.seeds["confirm"]
        pairs = [difference(photo.candidate, seed) - difference("all_tags", seed) for seed in seeds]
        assert photo.colour_interval.mean == pytest.approx(sum(pairs) / len(pairs), abs=1e-5)
        changes.append(photo.colour_interval.mean)
    summary = report.summary.colour_change_over_baseline
    assert summary and summary.mean == pytest.approx(sum(changes) / len(changes), abs=1e-5)
