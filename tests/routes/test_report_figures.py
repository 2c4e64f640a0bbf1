"""Every figure that the page of a prompt run shows, made again from the journal's keys, the pictures and the photos.

No score of the journal and nothing of report.json but names and seeds is used: pictures are scored, judged and tagged
anew, gains and intervals come from those scores, and the page's sentences are written with them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from statistics import fmean

import paper_studio
import pytest
from PIL import Image

from modiste.fashion.photos import gather_photos
from modiste.reports.charts import points, signed
from modiste.reports.prompt_texts import words as text_of
from modiste.routes.given_words import photo_id
from modiste.routes.prompt.optimise import optimise_prompts
from modiste.runs.journal import Journal
from modiste.search.confirmation import PairedGain, decide, mean_gain, paired_gain
from modiste.search.multiple_testing import holm

BUDGET = 24
WORDS = "a (green:1.2) garment"


@pytest.fixture(scope="module")
def run(paper_photos, tmp_path_factory):
    """A run over three photos, the first with words of the user's: its folder, its settings and its report."""
    gathered = gather_photos([paper_photos])
    words = {photo_id(gathered.photos[0].sha256): WORDS}
    settings = paper_studio.settings(BUDGET).model_copy(update={"words": words})
    out = tmp_path_factory.mktemp("figures") / "out"
    return out, settings, optimise_prompts(gathered, paper_studio.session(), settings, out)


@dataclass
class Made:
    """What a photo's pictures say: (arm, seed) → score, unclipped score, cosine, and the judge's two."""

    shown: dict
    unclipped: dict
    cosine: dict
    judged: dict
    judged_unclipped: dict
    files: dict

    def on(self, arm: str, seeds, of: dict) -> list[float]:
        return [of[arm, seed] for seed in seeds if (arm, seed) in of]

    def gain(self, arm: str, other: str, seeds, of: dict) -> PairedGain:
        common = [seed for seed in seeds if (arm, seed) in of and (other, seed) in of]
        return paired_gain([of[arm, seed] for seed in common], [of[other, seed] for seed in common])


@pytest.fixture(scope="module")
def made(run) -> list[Made]:
    """Each photo's pictures, scored and judged anew."""
    out, settings, report = run
    vision = paper_studio.session().vision
    with Journal.open(out, settings.model_dump(mode="json")) as journal:
        rows = [row for row in journal.rows() if row.state == "done"]
    photos = []
    for image in report.images:
        photo = Image.open(image.image).convert("RGB")
        of = Made({}, {}, {}, {}, {}, {})
        for row in rows:
            if row.key.image_sha256 != image.image_sha256:
                continue
            picture, key = Image.open(row.path).convert("RGB"), (row.key.strategy_id, row.key.seed)
            (score,), (opinion,) = vision.scorer.score([picture], photo), vision.judge.score([picture], photo)
            of.shown[key], of.unclipped[key], of.cosine[key] = (
                score.similarity_score,
                score.unclipped,
                score.raw_cosine,
            )
            of.judged[key], of.judged_unclipped[key] = opinion.similarity_score, opinion.unclipped
            of.files[key] = picture
        photos.append(of)
    assert sum(len(of.shown) for of in photos) == len(rows)
    return photos


@pytest.fixture(scope="module")
def page(run) -> str:
    """The English page as text, with its charts' descriptions; what is behind a fold too."""
    return " ".join(EnglishText((run[0] / "report.html").read_text(encoding="utf-8")).text.split())


class EnglishText(HTMLParser):
    """The text of a page without its Chinese and its styles."""

    def __init__(self, page: str):
        super().__init__()
        self.text, self._other, self._style = "", 0, False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self._style = self._style or tag == "style"
        if tag == "span" and (self._other or ("lang", "zh-TW") in attributes):
            self._other += 1
        self.text += " "

    def handle_endtag(self, tag):
        self._style = self._style and tag != "style"
        self._other -= tag == "span" and self._other > 0
        self.text += " "

    def handle_data(self, data):
        if not self._other and not self._style:
            self.text += data


def plain(key: str, **values: object) -> str:
    """An English sentence of the page as text."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text_of(key, "en"))).format(**values).split())


def bracketed(gain: PairedGain) -> dict[str, str]:
    return {"gain": signed(round(gain.mean, 6)), "low": signed(round(gain.low, 6)), "high": signed(round(gain.high, 6))}


def direction(gain: PairedGain) -> str:
    return "up" if gain.low > 0 else "down" if gain.high < 0 else "even"


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.fixture(scope="module")
def said(page):
    """Whether the page says it, whatever its tags do to the spaces."""
    whole = squeezed(page)
    return lambda text: squeezed(text) in whole


def gains_over_the_list(run, made, judge: bool = False) -> list[PairedGain]:
    return [
        of.gain(image.candidate, "all_tags", image.seeds["confirm"], of.judged_unclipped if judge else of.unclipped)
        for image, of in zip(run[2].images, made, strict=True)
    ]


def test_the_headline_is_the_mean_of_what_is_recommended_and_of_each_baseline(run, made, said, page):
    report = run[2]
    means = {}
    for role, arm_of in {
        "minimal": lambda image: "minimal",
        "baseline": lambda image: "all_tags",
        "best": lambda image: image.strategy,
    }.items():
        means[role] = fmean(
            round(fmean(of.on(arm_of(image), image.seeds["confirm"], of.shown)), 6)
            for image, of in zip(report.images, made, strict=True)
        )
    given = [
        fmean(of.on("your_words", image.seeds["confirm"], of.shown))
        for image, of in zip(report.images, made, strict=True)
        if image.your_words
    ]
    assert len(given) == 1
    ladder = [("Name only", means["minimal"]), ("All tags", means["baseline"])]
    ladder += [("Your words", given[0]), ("Best prompt", means["best"])]
    at = 0
    for name, value in ladder:  # as they follow each other
        at = page.index(f"{name} {points(value)} ", at)
    assert said(plain("lead_many", best=points(means["best"])))


def test_the_gains_of_the_run_are_means_over_all_photos_of_the_scorer_and_of_the_judge(run, made, said):
    report = run[2]
    rises = []
    for image, of in zip(report.images, made, strict=True):
        bare = of.on("minimal", image.seeds["confirm"], of.shown)
        chosen = of.on(image.candidate, image.seeds["confirm"], of.shown)[: len(bare)]
        rises.append(fmean(chosen) - fmean(bare))
    over_name = mean_gain(rises)
    over_list, judged = (
        mean_gain([gain.mean for gain in gains_over_the_list(run, made, judge)]) for judge in (False, True)
    )
    assert said(plain(f"over_name_{direction(over_name)}", **bracketed(over_name)))
    assert said(plain(f"over_tags_{direction(over_list)}", **bracketed(over_list)))
    assert said(plain("judge_over_tags", **bracketed(judged)))
    for label, gain in (("best_over_name", over_name), ("best_over_tags", over_list), ("best_over_tags_judge", judged)):
        figures = bracketed(gain)
        assert said(f"{text_of(label, 'en')} {figures['gain']} ({figures['low']} … {figures['high']})")


def test_the_gain_over_the_user_s_words_is_that_of_their_own_photo(run, made, said):
    image, of = run[2].images[0], made[0]
    seeds = image.seeds["confirm"]
    gain, judged = (of.gain(image.candidate, "your_words", seeds, side) for side in (of.unclipped, of.judged_unclipped))
    assert said(plain(f"over_words_{direction(gain)}", **bracketed(gain)))
    assert said(plain("judge_short", **bracketed(judged)))
    assert said(plain("words_score", score=points(fmean(of.on("your_words", seeds, of.shown)))))
    assert said(plain("words_photos", n=1, photos=3))


def test_proven_counts_all_photos_by_holm_and_singly_counts_each_interval(run, made, said):
    gains, judged = gains_over_the_list(run, made), gains_over_the_list(run, made, judge=True)
    singly = [gain.low > 0 and judge.high >= 0 for gain, judge in zip(gains, judged, strict=True)]
    tested = [gain for gain in gains if not gain.nothing_tested]
    adjusted = iter(holm([gain.p for gain in tested]))
    by_holm = [1.0 if gain.nothing_tested else next(adjusted) for gain in gains]
    proven = [p <= 0.05 and alone for p, alone in zip(by_holm, singly, strict=True)]
    assert said(plain("improved_count", proven=sum(proven), improved=sum(singly), n=len(gains)))
    badges = [
        "Proven" if sure else "Improved" if alone else "No improvement found"
        for sure, alone in zip(proven, singly, strict=True)
    ]
    for image, badge, gain, judge in zip(run[2].images, badges, gains, judged, strict=True):
        assert said(f"{badge} {decide(image.candidate, 'all_tags', gain, judge).sentence}")


def test_each_photo_shows_its_scores_its_judge_its_trials_and_what_its_pictures_show(run, made, page):
    vision = paper_studio.session().vision
    articles = page.split("Nº ")[1:]
    for image, of, article in zip(run[2].images, made, articles, strict=True):
        has = squeezed(article).__contains__
        seeds = image.seeds["confirm"]
        arms = [("Name only", "minimal"), ("All tags", "all_tags")]
        arms += [("Your words", "your_words")] if image.your_words else []
        for name, arm in [*arms, ("Best prompt", image.strategy)]:
            assert has(squeezed(f"{name} {points(fmean(of.on(arm, seeds, of.shown)))}")), (name, arm)
        second, plain_list = (fmean(of.on(arm, seeds, of.judged)) for arm in (image.strategy, "all_tags"))
        assert has(squeezed(plain("judge_says", score=points(second), baseline=points(plain_list))))
        if image.candidate != "all_tags":
            judged = of.gain(image.candidate, "all_tags", seeds, of.judged_unclipped)
            assert has(squeezed(plain("judge_gain", **bracketed(judged))))
        gain = of.gain(image.candidate, "all_tags", seeds, of.unclipped)
        best, baseline, bare = (
            points(fmean(of.on(arm, seeds, of.shown))) for arm in (image.strategy, "all_tags", "minimal")
        )
        figures = bracketed(gain)
        gauge = f"{best} of 100; all tags {baseline}; name alone {bare}; gain over all tags "
        assert has(squeezed(f"{gauge} {figures['low']} … {figures['high']}"))
        hacked = bool(gain.low > 0 and of.gain(image.candidate, "all_tags", seeds, of.judged_unclipped).mean <= 0)
        assert ("Careful: the score rose" in article) == hacked
        for trial in image.tried:
            drawn = [of.shown[trial.strategy, seed] for seed in trial.seeds]
            assert has(squeezed(f"{trial.strategy} {len(drawn)}× {points(fmean(drawn))}"))
        assert has(squeezed(f"Raw cosine {fmean(of.on(image.strategy, seeds, of.cosine)):.3f}"))
        assert has(squeezed(plain("generations", n=len(of.shown))))
        pictures = [of.files[image.strategy, seed] for seed in seeds if (image.strategy, seed) in of.files]
        tags = vision.tagger.tag(pictures)
        for group, share in image.agreement.items():
            label = next(tag["label"] for tag in image.tags if tag["group"] == group)
            met = sum(any(tag.group == group and tag.label == label for tag in shown.tags) for shown in tags)
            assert share == pytest.approx(met / len(pictures), abs=1e-4)
            assert has(squeezed(f"{100 * met / len(pictures):.0f} %"))
    assert squeezed(plain("pictures_drawn", n=sum(len(of.shown) for of in made))) in squeezed(page)
