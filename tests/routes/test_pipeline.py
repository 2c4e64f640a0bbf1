"""The prompt route from photo to report: its figures, its promises, and that nothing that is drawn is ever lost."""

from __future__ import annotations

import json
from collections import Counter
from statistics import mean

import paper_studio
import pytest
from PIL import Image

from modiste.core.progress import Progress
from modiste.fashion.photos import gather_photos
from modiste.reports.prompt import PromptReport
from modiste.routes.prompt.optimise import optimise_prompts
from modiste.runs.journal import Journal, JournalError
from modiste.search.budget import plan_budget
from modiste.search.confirmation import mean_gain, paired_gain
from modiste.search.multiple_testing import holm

TIMES = {"elapsed_s", "seconds_per_photo"}


@pytest.fixture(scope="module")
def report(paper_run) -> dict:
    return json.loads((paper_run / "report.json").read_text(encoding="utf-8"))


def without_times(report: dict) -> dict:
    return {**report, "summary": {key: value for key, value in report["summary"].items() if key not in TIMES}}


# ── the report ──


def test_a_run_leaves_report_page_journal_and_pictures(paper_run):
    assert {path.name for path in paper_run.iterdir()} >= {"report.json", "report.html", "journal.sqlite", "images"}
    assert not list(paper_run.rglob("*.tmp"))
    text = (paper_run / "report.json").read_text(encoding="utf-8")
    assert PromptReport.model_validate_json(text).model_dump_json(indent=2) + "\n" == text


def test_the_report_has_the_keys_that_others_read(report):
    top = {"preset", "host", "seeds", "calibration", "best_strategies", "skipped", "images"}
    photo = {
        *("image", "tags", "optimized_prompt", "negative_prompt", "strategy", "similarity_score", "baseline_score"),
        *("minimal_score", "raw_cosine", "confidence_interval", "improved", "generations", "tried"),
    }
    assert top <= report.keys() and all(photo <= image.keys() for image in report["images"])
    assert report["best_strategies"].keys() == {"high_performing_samples", "optimal_prompt_format"}
    assert all(tag.keys() == {"group", "label", "confidence"} for image in report["images"] for tag in image["tags"])
    assert all(tried.keys() == {"strategy", "prompt", "score", "seeds"} for tried in report["images"][0]["tried"])
    assert [skip["code"] for skip in report["skipped"]] == ["EMPTY"]
    assert [len(image["duplicates"]) for image in report["images"]] == [0, 1, 0]


def test_search_and_confirmation_never_share_a_seed(report):
    search, confirm = map(set, (report["seeds"]["search"], report["seeds"]["confirm"]))
    assert not search & confirm
    for image in report["images"]:
        assert all(set(tried["seeds"]) <= set(image["seeds"]["search"]) <= search for tried in image["tried"])
    of_photos = [seed for image in report["images"] for seed in (*image["seeds"]["search"], *image["seeds"]["confirm"])]
    assert len(of_photos) == len(set(of_photos)), "each photo has seeds of its own"


def test_no_photo_costs_more_pictures_than_its_budget(paper_run, report):
    drawn = Counter(path.parent.name for path in (paper_run / "images").rglob("*.png"))
    for image in report["images"]:
        assert drawn[image["image_sha256"][:12]] == image["generations"] <= 40


def test_every_figure_is_recomputed_from_pictures_and_journal(paper_run, report):
    """From the files and the journal's keys alone: no figure of the report or the journal is used to make another."""
    scorer, judge = paper_studio.session().vision.scorer, paper_studio.session().vision.judge
    with Journal.open(paper_run, paper_studio.settings().model_dump(mode="json")) as journal:
        rows = [row for row in journal.rows() if row.state == "done"]
    gains, judge_gains, rises, p_values = [], [], [], []
    for image in report["images"]:
        photo = Image.open(image["image"]).convert("RGB")
        mine = [row for row in rows if row.key.image_sha256 == image["image_sha256"]]
        seen: dict[tuple[str, int], float] = {}
        judged: dict[tuple[str, int], float] = {}
        raw: dict[tuple[str, int], float] = {}
        open_ended: dict[tuple[str, int], float] = {}
        judged_open: dict[tuple[str, int], float] = {}
        for row in mine:
            picture = Image.open(row.path).convert("RGB")
            key = (row.key.strategy_id, row.key.seed)
            score, opinion = scorer.score([picture], photo)[0], judge.score([picture], photo)[0]
            seen[key], open_ended[key], raw[key] = score.similarity_score, score.unclipped, score.raw_cosine
            judged[key], judged_open[key] = opinion.similarity_score, opinion.unclipped

        def on_confirm(strategy: str, of: dict, seeds: tuple = tuple(image["seeds"]["confirm"])) -> list[float]:
            return [of[strategy, seed] for seed in seeds if (strategy, seed) in of]

        adopted = on_confirm(image["strategy"], seen)
        assert image["similarity_score"] == pytest.approx(mean(adopted), abs=2e-6)
        assert image["baseline_score"] == pytest.approx(mean(on_confirm("all_tags", seen)), abs=2e-6)
        assert image["minimal_score"] == pytest.approx(mean(on_confirm("minimal", seen)), abs=2e-6)
        assert image["raw_cosine"] == pytest.approx(mean(on_confirm(image["strategy"], raw)), abs=2e-6)
        assert image["judge_score"] == pytest.approx(mean(on_confirm(image["strategy"], judged)), abs=2e-6)
        gain, judge_gain = (
            paired_gain(on_confirm(image["candidate"], of), on_confirm("all_tags", of))
            for of in (open_ended, judged_open)
        )
        for interval, expected in ((image["confidence_interval"], gain), (image["judge_interval"], judge_gain)):
            assert (interval["mean"], interval["low"], interval["high"]) == pytest.approx(
                (expected.mean, expected.low, expected.high), abs=5e-6
            )
        assert image["improved"] == (gain.low > 0 and judge_gain.high >= 0)
        assert image["improved"] or image["strategy"] == "all_tags"
        for tried in image["tried"]:
            shown = [seen[tried["strategy"], seed] for seed in tried["seeds"]]
            assert tried["score"] == pytest.approx(mean(shown), abs=2e-6)
        gains.append(gain.mean)
        judge_gains.append(judge_gain.mean)
        p_values.append(gain.p)
        bare = on_confirm("minimal", seen)
        rises.append(mean(on_confirm(image["candidate"], seen)[: len(bare)]) - mean(bare))
    summary = report["summary"]
    figures = {
        "gain_over_baseline": gains,
        "judge_gain_over_baseline": judge_gains,
        "gain_over_minimal": rises,
    }
    for name, values in figures.items():
        expected = mean_gain(values)
        assert (summary[name]["mean"], summary[name]["low"], summary[name]["high"]) == pytest.approx(
            (expected.mean, expected.low, expected.high), abs=5e-6
        )
    adjusted = holm(p_values)
    assert [image["adjusted_p"] for image in report["images"]] == pytest.approx(adjusted, abs=2e-6)
    proven = [p <= 0.05 and image["improved"] for p, image in zip(adjusted, report["images"], strict=True)]
    assert [image["proven"] for image in report["images"]] == proven and summary["proven"] == sum(proven)
    assert summary["generations"] == len(rows) == sum(image["generations"] for image in report["images"])


def test_words_that_help_are_found_and_what_is_recommended_never_loses_to_the_plain_list(report):
    assert report["summary"]["gain_over_minimal"]["low"] > 0
    for image in report["images"]:
        width = image["confidence_interval"]["high"] - image["confidence_interval"]["low"]
        assert image["similarity_score"] >= image["baseline_score"] - width
    assert any(image["improved"] for image in report["images"])


def test_where_nothing_is_proven_the_plain_list_is_recommended_and_the_report_says_so(paper_photos, tmp_path):
    done = optimise_prompts(
        gather_photos([paper_photos / "0.png"]), paper_studio.session(), paper_studio.settings(budget=8), tmp_path
    )
    image = done.images[0]
    assert not image.improved and image.strategy == "all_tags" and image.verdict.startswith("No improvement found")
    assert image.similarity_score == image.baseline_score


def test_without_a_judge_there_is_no_second_opinion(paper_photos, tmp_path):
    alone = paper_studio.session(judge=False)
    done = optimise_prompts(gather_photos([paper_photos / "0.png"]), alone, paper_studio.settings(budget=8), tmp_path)
    assert done.judge is None and done.images[0].judge_score is None


def test_only_pictures_that_the_judge_passes_too_are_material_for_training(paper_run, report, paper_photos, tmp_path):
    samples = report["best_strategies"]["high_performing_samples"]
    assert samples and all(min(one["similarity_score"], one["judge_score"]) >= 0.8 for one in samples)
    judge = paper_studio.session().vision.judge
    for one in samples:
        picture, photo = (Image.open(path).convert("RGB") for path in (paper_run / one["image"], one["photo"]))
        assert judge.score([picture], photo)[0].similarity_score == pytest.approx(one["judge_score"], abs=2e-6)
    alone, photos = paper_studio.session(judge=False), gather_photos([paper_photos / "0.png"])
    done = optimise_prompts(photos, alone, paper_studio.settings(budget=8), tmp_path)
    assert done.best_strategies.high_performing_samples == []  # nobody has proven them


# ── stopped and started again ──


def test_a_run_stopped_after_any_picture_and_started_again_draws_nothing_twice_and_reports_the_same(
    paper_photos, report, paper_run, tmp_path
):
    total = report["summary"]["generations"]
    gathered = gather_photos([paper_photos])
    for stop in range(1, total, 29):
        out, drawn = tmp_path / str(stop), []
        first = paper_studio.session(stop_after=stop)
        with pytest.raises(KeyboardInterrupt):
            optimise_prompts(gathered, first, paper_studio.settings(), out)
        second, heard = paper_studio.session(), list[Progress]()
        optimise_prompts(gathered, second, paper_studio.settings(), out, heard.append)
        assert heard[0].picture is None and 0 < heard[0].done <= stop  # the earlier pictures, before any new one
        drawn = first.host.drawn + second.host.drawn
        assert len(first.host.drawn) == stop and len(drawn) == total
        again = json.loads((out / "report.json").read_text())
        assert without_times({**again, "created": report["created"]}) == without_times(report)


def test_a_finished_run_started_again_draws_nothing(paper_photos, paper_run, report):
    again = paper_studio.session()
    optimise_prompts(gather_photos([paper_photos]), again, paper_studio.settings(), paper_run)
    assert again.host.drawn == []
    assert without_times(json.loads((paper_run / "report.json").read_text())) == without_times(report)


def test_a_run_folder_belongs_to_its_settings(paper_photos, paper_run):
    with pytest.raises(JournalError, match="budget: 40 → 24"):
        optimise_prompts(
            gather_photos([paper_photos]), paper_studio.session(), paper_studio.settings(budget=24), paper_run
        )


def test_another_seed_gives_other_pictures_and_the_same_seed_the_same(paper_photos, tmp_path):
    drawn = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        one = paper_studio.session()
        optimise_prompts(
            gather_photos([paper_photos / "2.png"]), one, paper_studio.settings(budget=8, seed=seed), tmp_path / name
        )
        drawn.append({(request.prompt, request.seed) for request in one.host.drawn})
    assert drawn[0] == drawn[1] and not {seed for _, seed in drawn[0]} & {seed for _, seed in drawn[2]}


def test_the_budget_is_shared_as_planned(report):
    arms = len({tried["strategy"] for tried in report["images"][0]["tried"]})
    assert arms >= 6 and len(report["images"][0]["seeds"]["confirm"]) == plan_budget(40, 9).confirm_seeds


# ── fair arms, and fresh seeds at every look ──


def test_every_arm_the_baseline_and_the_bare_name_share_view_words_and_have_no_negative_prompt(paper_run, report):
    with Journal.open(paper_run, paper_studio.settings().model_dump(mode="json")) as journal:
        rows = [row for row in journal.rows() if row.state == "done" and "refined" not in row.key.strategy_id]
    for row in rows:
        arm, request = row.key.strategy_id, row.request
        if not arm.startswith("screening"):
            assert ("plain background" in request["prompt"]) == (", no view" not in arm), arm
            assert (request["negative_prompt"] == "blurry") == (", with negative" in arm), arm
    arms = {row.key.strategy_id for row in rows}
    assert {"minimal", "all_tags"} <= arms and any(", with negative" in arm or ", no view" in arm for arm in arms)


def test_a_second_look_at_a_photo_is_confirmed_on_fresh_seeds_and_a_replay_on_the_same(
    paper_photos, tmp_path, monkeypatch
):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    gathered = gather_photos([paper_photos / "2.png"])

    def looked(name: str, same_seeds: bool = False):
        settings = paper_studio.settings(8, same_seeds=same_seeds)
        return optimise_prompts(gathered, paper_studio.session(), settings, tmp_path / name).images[0]

    first, second, again, replay = looked("a"), looked("b"), looked("a"), looked("c", same_seeds=True)
    assert (first.look, second.look, again.look, replay.look) == (0, 1, 0, 0)
    assert not set(first.seeds["confirm"]) & set(second.seeds["confirm"])
    assert first.seeds["search"] == second.seeds["search"]
    assert again.seeds == replay.seeds == first.seeds


def test_a_folder_that_was_begun_by_other_rules_is_refused_in_words(paper_photos, tmp_path):
    settings = paper_studio.settings(8)
    before = {name: value for name, value in settings.model_dump(mode="json").items() if name != "rules"}
    Journal.open(tmp_path, before).close()
    with pytest.raises(JournalError, match="searched and judged by other rules"):
        optimise_prompts(gather_photos([paper_photos / "0.png"]), paper_studio.session(), settings, tmp_path)


def test_a_single_pair_of_pictures_has_no_interval_and_none_is_shown(paper_photos, tmp_path, capsys):
    from modiste.cli.print_results import print_summary

    gathered = gather_photos([paper_photos / "0.png"])
    report = optimise_prompts(gathered, paper_studio.session(), paper_studio.settings(8), tmp_path / "out")
    assert report.summary.gain_over_minimal.n == 1
    print_summary(report, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "points (of one pair: no interval)" in capsys.readouterr().out
    assert "points over the name alone: no interval" in page and "（僅有一對圖片，沒有區間）" in page
