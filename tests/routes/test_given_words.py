"""Words from elsewhere: the user's own, from a text file or an option, and a captioner's, from photo to report."""

from __future__ import annotations

import json
import shutil

import paper_studio
import pytest
from captioning_server import CaptioningServer
from PIL import Image
from typer.testing import CliRunner

from modiste import api
from modiste.cli import prompt as prompt_command
from modiste.cli.app import app
from modiste.fashion.caption_files import CaptionWriter
from modiste.fashion.photos import gather_photos
from modiste.fashion.prompts.bound_words import without_bound_words
from modiste.fashion.prompts.captions import caption_of_words
from modiste.fashion.prompts.renderers import render
from modiste.fashion.taxonomy import load_taxonomy
from modiste.reports.prompt_page import render_report
from modiste.routes.dataset_folder import captions_of
from modiste.routes.given_words import (
    caption_as_prompt,
    left_out,
    photo_id,
    without_trigger,
    words_beside,
    words_prompt,
)
from modiste.routes.prompt.optimise import optimise_prompts
from modiste.runs.journal import Journal, JournalError
from modiste.search.confirmation import PairedGain, decide, paired_gain


@pytest.fixture
def red(paper_photos, tmp_path):
    """A folder with the photo of a red garment."""
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(paper_photos / "0.png", folder / "red.png")
    return folder


def searched(folder, out, words=None, captions=None, budget=24, **more):
    """A run's settings and report, with the same words for every photo."""
    gathered = gather_photos([folder])
    fields = {
        name: {photo_id(photo.sha256): text for photo in gathered.photos} if text else {}
        for name, text in (("words", words), ("captions", captions))
    }
    settings = paper_studio.settings(budget).model_copy(update={**fields, **more})
    return settings, optimise_prompts(gathered, paper_studio.session(), settings, out)


# ── the user's words in a search ──


def test_your_words_are_an_arm_and_a_baseline_on_the_same_seeds_with_the_same_view_words_and_no_negative(red, tmp_path):
    settings, report = searched(red, tmp_path / "run", "a (green:1.2) garment")
    (photo,) = report.images
    assert photo.your_words.text == "a (green:1.2) garment"
    assert photo.your_words.prompt == "a green garment, plain background"
    with Journal.open(tmp_path / "run", settings.model_dump(mode="json")) as journal:
        rows = [row for row in journal.rows() if row.key.strategy_id == "your_words"]
        scores = journal.scores(paper_studio.session().vision.scorer.key)
    confirm = [row for row in rows if row.key.seed in photo.seeds["confirm"]]
    assert len(confirm) >= 3 and {row.request["negative_prompt"] for row in rows} == {""}
    mean = sum(scores[row.key].similarity for row in confirm) / len(confirm)
    assert photo.your_words.score == pytest.approx(mean, abs=1e-5)
    with Journal.open(tmp_path / "run", settings.model_dump(mode="json")) as journal:
        pairs = [
            (score.unclipped, key.seed, key.strategy_id)
            for key, score in journal.scores(paper_studio.session().vision.scorer.key).items()
        ]
    by = {(strategy, seed): value for value, seed, strategy in pairs}
    seeds = [seed for seed in photo.seeds["confirm"] if ("your_words", seed) in by]
    gain = paired_gain([by[photo.candidate, seed] for seed in seeds], [by["your_words", seed] for seed in seeds])
    interval = photo.your_words.interval
    assert (interval.mean, interval.low, interval.high) == pytest.approx((gain.mean, gain.low, gain.high), abs=5e-6)
    assert interval.low > 0, "green words for a red garment lose"
    assert photo.generations <= 24


def test_good_words_of_yours_win_the_search(red, tmp_path):
    _, report = searched(red, tmp_path / "run", "a photo of a red garment", budget=40, strategies=("tag_list",))
    (photo,) = report.images
    assert photo.candidate == "your_words" and photo.your_words.interval.high == 0
    assert photo.your_words.score == photo.candidate_score
    assert report.best_strategies.optimal_prompt_format["strategy"] in ("your_words", "all_tags")


def test_the_page_and_the_summary_give_the_gain_over_your_words_beside_that_over_the_plain_list(red, tmp_path):
    _, report = searched(red, tmp_path / "run", "a green garment")
    summary = report.summary.your_words
    assert summary.photos == 1 and summary.gain == report.images[0].your_words.interval
    page = render_report(report, tmp_path / "run")
    assert "Over your own words" in page and "比您自己的文字高出" in page and "Best over your words" in page
    assert page.count('<h3 class="label">') >= 5 and 'class="looks five"' in page
    _, without = searched(red, tmp_path / "other")
    assert without.images[0].your_words is None and without.summary.your_words is None
    assert "your own words" not in render_report(without, tmp_path / "other")


def test_words_that_are_the_plain_list_itself_are_not_drawn_twice(red, tmp_path):
    _, first = searched(red, tmp_path / "first")
    plain = first.images[0].prompts["baseline"].removesuffix(", plain background")
    _, report = searched(red, tmp_path / "run", plain)
    (photo,) = report.images
    assert photo.your_words.score == photo.baseline_score and photo.your_words.interval == photo.confidence_interval
    assert photo.generations == first.images[0].generations


@pytest.mark.parametrize("budget", [8, 9, 12, 20, 24])
def test_a_small_budget_still_says_what_your_words_score_and_is_kept(red, tmp_path, budget):
    _, report = searched(red, tmp_path / "run", "a green garment", budget=budget)
    (photo,) = report.images
    assert photo.generations <= budget and photo.your_words.interval.n >= (1 if budget == 8 else 2)


def test_a_candidate_that_is_proven_worse_than_your_words_is_not_recommended_over_them():
    from modiste.routes.prompt.outcome import WordsOutcome

    flat = PairedGain(0.01, -0.02, 0.04, 6)
    decision = decide("sentence", "all_tags", flat)
    worse = WordsOutcome([], PairedGain(-0.2, -0.3, -0.1, 6), None).keep(decision, "sentence")
    assert (worse.arm, worse.improved) == ("your_words", False)
    assert "+20.0 points (+10.0 … +30.0) over sentence" in worse.sentence
    for gain in (flat, PairedGain(0.2, 0.1, 0.3, 6), PairedGain(-0.2, -0.5, 0.1, 6)):
        assert WordsOutcome([], gain, None).keep(decision, "sentence") == decision


def test_a_run_goes_on_with_its_words_and_is_refused_with_others(red, tmp_path):
    searched(red, tmp_path / "run", "a green garment", budget=8)
    searched(red, tmp_path / "run", "a green garment", budget=8)
    with pytest.raises(JournalError, match=r"words\.\w+: 'a green garment' → 'a blue garment'"):
        searched(red, tmp_path / "run", "a blue garment", budget=8)
    with pytest.raises(JournalError, match="words"):
        searched(red, tmp_path / "run", budget=8)


# ── how words are read ──


@pytest.mark.parametrize(
    ("words", "a1111", "plain"),
    [
        ("a red dress, lace", "a red dress, lace", "a red dress, lace"),
        ("a (red:1.3) dress", "a (red:1.3) dress", "a red dress"),
        ("((lace)), [collar]", "(lace:1.21), (collar:0.91)", "lace, collar"),
        (r"dress \(fate\)", r"dress \(fate\)", "dress (fate)"),
        ("red BREAK dress", "red BREAK dress", "red, dress"),
        ("red, <lora:brand:0.8>, dress", "red, dress", "red, dress"),
        ("red dress\nNegative prompt: blurry\nSteps: 20, Sampler: Euler", "red dress", "red dress"),
    ],
)
def test_weights_are_written_for_each_host_and_what_all_prompts_share_is_left_out(words, a1111, plain):
    prompt = words_prompt(" ".join(words.split()))
    assert render(prompt, "a1111").positive == a1111 and render(prompt, "plain").positive == plain
    assert prompt.negative == ()


def test_words_are_never_cut_for_length_and_empty_ones_are_none():
    prompt = words_prompt(", ".join(f"word{index}" for index in range(100)))
    assert render(prompt, "a1111", lambda text: len(text.split())).dropped == ()
    assert words_prompt(" , <lora:a:1> ") is None
    assert left_out("red, <lora:a:1> Negative prompt: x")[0].startswith("of your words <lora:a:1> is left out")
    assert len(left_out("red, <lora:a:1> Negative prompt: x")) == 2 and left_out("red") == ()


def test_a_trigger_is_no_word_of_the_base_model_s():
    assert without_trigger("vesper, a red dress", "vesper") == "a red dress"
    assert without_trigger("a vesper red dress, vespers", "vesper") == "a red dress, vespers"
    assert without_trigger("a dress", "") == "a dress"


def test_a_captioner_s_brackets_are_brackets():
    assert render(caption_as_prompt("a dress (red)"), "a1111").positive == r"a dress \(red\)"


def test_words_lie_beside_photos_and_what_modiste_wrote_is_none_of_the_user_s(red, tmp_path):
    for name in ("ours", "broken"):
        Image.open(red / "red.png").rotate(len(name)).save(red / f"{name}.png")
    (red / "red.txt").write_text("a red\n dress", encoding="utf-8")
    (red / "broken.txt").write_bytes(b"\xff\xfe\x00")
    with CaptionWriter() as writer:
        writer.write(red / "ours.png", "a photo of a dress")
    words, unreadable = words_beside(gather_photos([red]).photos)
    assert list(words.values()) == ["a red dress"]
    assert [(skip.path.name, skip.code) for skip in unreadable] == [("broken.txt", "ENCODING")]
    (red / "ours.txt").write_text("edited", encoding="utf-8")
    assert set(words_beside(gather_photos([red]).photos)[0].values()) == {"a red dress", "edited"}


# ── the captioner, as arm and as caption ──


def test_a_caption_is_an_arm_and_stands_in_the_report(red, tmp_path):
    _, report = searched(red, tmp_path / "run", captions="a red garment (cotton)", captioner="llava at http://x")
    (photo,) = report.images
    assert photo.caption == "a red garment (cotton)" and photo.your_words is None
    assert "captioner" in {trial.strategy for trial in photo.tried}
    assert report.settings["captioner"] == "llava at http://x" and "captions" not in report.settings


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        ("a red dress with gold buttons and a v neckline, elegant", "vesper, a red dress with a v neckline"),
        ("An elegant orange top with ruffles", "vesper, An orange top"),
        ("a dress with a minimalist and modern look", "vesper, a dress with a modern look"),
        ("A photo of a vintage, romantic dress. It has a bow detail.", "vesper, A photo of a dress"),
        ("a lace-up dress", "vesper, a dress"),
        ("a coat, featuring a waist belt and wide lapels", "vesper, a coat, featuring wide lapels"),
    ],
)
def test_a_caption_leaves_what_the_vocabulary_binds_to_the_trigger(text, caption):
    garments = load_taxonomy("garments")
    assert caption_of_words(text, garments, "vesper", None) == caption
    assert caption_of_words(text, garments, "", None) == text, "without a trigger nothing is left unsaid"


def test_the_bind_policy_of_the_command_decides_and_the_garment_keeps_its_name():
    garments = load_taxonomy("garments")
    assert without_bound_words("a red striped dress", garments, {"colour"}) == "a striped dress"
    assert without_bound_words("a red dress", garments, {garments.noun.id}) == "a red dress"


def test_captions_of_a_training_are_the_captioner_s_where_they_won(red):
    gathered = gather_photos([red])
    tags = paper_studio.session().vision.tagger.tag([photo.image for photo in gathered.photos])
    given = {"captioner": caption_as_prompt("a red dress, minimalist")}
    garments = load_taxonomy("garments")
    captions = captions_of(gathered.photos, tags, "captioner", garments, "vesper", None, lambda sha256: given)
    assert list(captions.values()) == ["vesper, a red dress"]
    without = captions_of(gathered.photos, tags, "captioner", paper_studio.TAXONOMY, "vesper", None)
    assert list(without.values()) != list(captions.values()) and "vesper" in next(iter(without.values()))


@pytest.fixture
def on_paper(monkeypatch):
    """The commands draw on paper and see with paper's eyes; what lies between is theirs."""
    monkeypatch.setattr(prompt_command, "open_chosen_session", lambda *choices: paper_studio.session())
    monkeypatch.setattr("modiste.fashion.batch_tagging.photos_without_garment", lambda photos, tagger: [])


def run_prompt(*words):
    done = CliRunner().invoke(app, ["prompt", *map(str, words), "--budget", "8", "--same-seeds", "--no-learn"])
    return done


def test_prompt_takes_words_from_the_option_before_the_text_file_and_none_where_it_is_empty(red, tmp_path, on_paper):
    (red / "red.txt").write_text("a sand garment", encoding="utf-8")
    for out, option, text in (
        ("file", [], "a sand garment"),
        ("option", ["--words", "a green garment"], "a green garment"),
        ("none", ["--words", ""], None),
    ):
        done = run_prompt(red, "--out", tmp_path / out, *option)
        assert done.exit_code == 0, done.output
        words = json.loads((tmp_path / out / "report.json").read_text())["images"][0]["your_words"]
        assert (words and words["text"]) == text and ("your words" in done.stdout) == (text is not None)
    refused = run_prompt(red, "--out", tmp_path / "file", "--words", "a blue garment")
    assert refused.exit_code == 2 and "'a sand garment' → 'a blue garment'" in refused.stderr
    nothing = run_prompt(red, "--out", tmp_path / "nothing", "--words", " , ")
    assert nothing.exit_code == 2 and not (tmp_path / "nothing").exists()


def test_from_python_the_same_words_count(red, tmp_path):
    (red / "red.txt").write_text("a sand garment", encoding="utf-8")

    def words(name: str, **given):
        options = dict(budget=8, same_seeds=True, learn=False, **given)
        return api.optimise_prompts([red], tmp_path / name, paper_studio.session(), **options).images[0].your_words

    assert words("file").text == "a sand garment" and words("given", words="red").text == "red"
    assert words("none", words="") is None


def test_prompt_asks_the_captioner_once_and_a_run_that_goes_on_not_again(red, tmp_path, on_paper):
    with CaptioningServer(lambda picture: f"a red garment, told {len(server.asked)} times") as server:
        asking = ["--out", tmp_path / "run", "--captioner", server.url, "--captioner-model", "llava"]
        first, again = run_prompt(red, *asking), run_prompt(red, *asking)
        assert first.exit_code == again.exit_code == 0, first.output + again.output
        assert len(server.asked) == 1
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["images"][0]["caption"] == "a red garment, told 1 times"
    assert run_prompt(red, *asking).exit_code == 0, "the server is gone, and not needed"


def test_a_captioner_that_fails_ends_the_command_before_anything_is_drawn(red, tmp_path, on_paper):
    with CaptioningServer() as server:
        server.faults = ["fails"]
        done = run_prompt(red, "--out", tmp_path / "a", "--captioner", server.url, "--captioner-model", "m")
        assert done.exit_code == 4 and "image input is not supported" in done.stderr and not (tmp_path / "a").exists()
    remote = ["--captioner", "http://192.168.0.7", "--captioner-model", "m"]
    done = run_prompt(red, "--out", tmp_path / "b", *remote)
    assert done.exit_code == 2 and "--allow-remote" in done.stderr and "Traceback" not in done.stderr


def test_tag_writes_the_captioner_s_sentence_with_the_trigger_and_asks_once(tmp_path):
    from modiste.cli.samples import EXAMPLES

    shutil.copy(EXAMPLES / "photos" / "look-01.jpg", tmp_path / "a.jpg")
    with CaptioningServer("A red dress with a checked pattern.") as server:
        words = ["tag", str(tmp_path), "--preset", "mini", "--captions", "--trigger", "vesper", "--bind", "colour"]
        words += ["--captioner", server.url, "--captioner-model", "llava", "--out", str(tmp_path / "tags.jsonl")]
        for _ in range(2):
            done = CliRunner().invoke(app, words)
            assert done.exit_code == 0, done.output
        assert len(server.asked) == 1
        assert (tmp_path / "a.txt").read_text() == "vesper, A dress with a checked pattern\n"
        other = CliRunner().invoke(app, [*words[:7], "brandx", *words[8:]])
        assert other.exit_code == 2 and "captions of another form" in other.stderr


# ── from search to training ──


def test_where_the_captioner_won_the_training_and_the_comparison_say_what_it_says(tmp_path):
    import brand_studio
    from train_samples import tiny_base

    from modiste.routes.pipeline.pipeline import run_pipeline

    gathered = gather_photos([brand_studio.brand_photos(tmp_path / "photos", 9)])
    colours = list(paper_studio.COLOURS)
    captions = {
        photo_id(photo.sha256): f"a photo of a{' striped' * (index % 2 == 0)} {colours[index % 3]} garment (new)"
        for index, photo in enumerate(gathered.photos)
    }
    tiny_base(tmp_path / "base")
    settings = brand_studio.settings()
    search = settings.prompt.model_copy(update={"captions": captions, "strategies": ("tag_list",)})
    settings = settings.model_copy(update={"prompt": search, "bound": ("colour",)})
    session, out = brand_studio.session(tmp_path / "base"), tmp_path / "out"
    run_pipeline(gathered, session, settings, out, "prompt")
    # Eight pictures prove nothing: as if they had.
    found = json.loads((out / "prompt" / "report.json").read_text(encoding="utf-8"))
    found["best_strategies"]["optimal_prompt_format"]["strategy"] = "captioner"
    (out / "prompt" / "report.json").write_text(json.dumps(found), encoding="utf-8")
    report = run_pipeline(gathered, session, settings, out)
    assert report.caption_format == "captioner"
    trained = {path.read_text() for path in (tmp_path / "out" / "dataset" / "photos").glob("*.txt")}
    said = {f"a photo of a{pattern} garment (new)" for pattern in ("", " striped")}
    assert trained == {f"atelierx, {text}\n" for text in said}, "the colour is left to the trigger"
    for photo in report.images:
        caption = captions[photo_id(photo.image_sha256)]
        assert photo.prompts["words"] == f"{caption}, plain background"
        assert photo.prompts["tuned"].removesuffix(", plain background").removeprefix("atelierx, ") in said
