"""`report.html`: one self-contained page, in both languages, without a line of script."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from . import charts
from .prompt import PromptReport
from .prompt_texts import LANGUAGES, SKIP_CODES, words
from .report_files import write_report_files
from .templates import page_environment
from .thumbnails import Thumbnail, thumbnail

if TYPE_CHECKING:
    from markupsafe import Markup

    from ..fashion.taxonomy import Taxonomy
    from .prompt import CalibrationReport, Interval, PhotoReport, PromptReport


TEMPLATE = "report_page.html.j2"
ROLES = ("minimal", "baseline", "words", "winner")
ROLE_NAMES = {"minimal": "name_only", "baseline": "all_tags", "words": "your_words", "winner": "best"}
FEW = 40  # photos; above, pictures are smaller and the other seeds stay in the folder
HUES = (8, 210, 38, 145, 285, 185, 330, 85, 250, 20, 165, 305, 60, 230)  # degrees, one a group of tags

Describe = Callable[[str, str], str]


def render_report(
    report: PromptReport,
    folder: Path,
    *,
    taxonomy: Taxonomy | None = None,
    describe: Describe | None = None,
    language: str = "en",
) -> str:
    """The page as text; pictures are read from `folder`, a missing one leaves a gap.

    `taxonomy` gives tags their names in both languages, `describe(strategy, language)` explains strategies;
    `language` is the one shown first.
    """

    page = Page(report, folder, taxonomy, describe)
    template = page_environment().get_template(TEMPLATE)
    return template.render(report=report, page=page, t=say, both=both, language=language, languages=LANGUAGES)


def say(key: str, **values: object) -> Markup:
    """A sentence in both languages; the values are escaped, the page's styles show one language."""
    from markupsafe import Markup

    return both(lambda language: Markup(words(key, language)).format(**values))


def both(text: Callable[[str], str]) -> Markup:
    """`text(language)` for each language, side by side; Markup stays as it is, anything else is escaped."""
    from markupsafe import Markup

    return Markup("").join(
        Markup('<span lang="{}">{}</span>').format(language, text(language)) for language in LANGUAGES
    )


class Page:
    """What the template asks for beyond the report itself."""

    points = staticmethod(charts.points)
    signed = staticmethod(charts.signed)

    def __init__(self, report: PromptReport, folder: Path, taxonomy: Taxonomy | None, describe: Describe | None):
        self.report, self.folder, self.taxonomy, self.describe = report, folder, taxonomy, describe
        self.few = len(report.images) <= FEW
        groups = dict.fromkeys(tag["group"] for photo in report.images for tag in photo.tags)
        self._hues = {group: HUES[index % len(HUES)] for index, group in enumerate(groups)}

    # ── pictures ──────────────────────────────────────────────────────────────────────────────────────────

    def photo(self, photo: PhotoReport) -> Thumbnail | None:
        """The photo itself."""
        return thumbnail(self.folder, photo.photo_copy, 640 if self.few else 360)

    def icon(self, photo: PhotoReport) -> Thumbnail | None:
        """The photo for the index."""
        return thumbnail(self.folder, photo.photo_copy, 112)

    def shown(self, photo: PhotoReport, role: str) -> Thumbnail | None:
        """The picture of that role from the first confirmation seed: the same for all, so nobody chose."""
        files = photo.pictures.get(role, [])
        return thumbnail(self.folder, files[0], 480 if self.few else 256) if files else None

    def strips(self, photo: PhotoReport) -> list[tuple[str, list[Thumbnail | None]]]:
        """Role → its pictures on every confirmation seed, where the page has room for them."""
        roles = [role for role, _, _ in self.roles(photo)]
        if not self.few or all(len(photo.pictures.get(role, [])) < 2 for role in roles):
            return []
        return [
            (ROLE_NAMES[role], [thumbnail(self.folder, name, 144) for name in photo.pictures.get(role, [])])
            for role in roles
        ]

    def roles(self, photo: PhotoReport) -> list[tuple[str, str, float]]:
        """(role, key of its name, score) from the poorest prompt to the best; the user's words where there are some."""
        words = photo.your_words.score if photo.your_words else None
        scores = (photo.minimal_score, photo.baseline_score, words, photo.similarity_score)
        return [(role, ROLE_NAMES[role], score) for role, score in zip(ROLES, scores, strict=True) if score is not None]

    def rungs(self) -> list[tuple[str, float]]:
        """(key of its name, mean score) of the ways to write a prompt, from the poorest to the best."""
        summary, words = self.report.summary, self.report.summary.your_words
        means = [("name_only", summary.mean_minimal), ("all_tags", summary.mean_baseline)]
        return [*means, *([("your_words", words.mean_score)] if words else []), ("best", summary.mean_similarity)]

    def over_words(self, photo: PhotoReport) -> Markup | None:
        """The candidate's gain over the user's words, and the judge's; None where there are none, or where they won."""
        words = photo.your_words
        if words is None or photo.candidate == "your_words":
            return None
        gain = _gain("over_words", words.interval)
        judge = words.judge_interval
        return gain if judge is None else gain + " " + say("judge_short", **charts.signed_interval(judge))

    # ── charts ────────────────────────────────────────────────────────────────────────────────────────────

    def gauge(self, photo: PhotoReport) -> Markup:
        """Where the photo's prompts stand between 0 and 100."""
        gain = photo.confidence_interval
        scores = (photo.similarity_score, photo.baseline_score, photo.minimal_score)
        return in_both_languages(
            lambda language: charts.gauge(words("score_chart", language), *scores, gain.low, gain.high)
        )

    def tried(self, photo: PhotoReport) -> Markup:
        """What was tried, best first."""
        ranked = sorted(photo.tried, key=lambda trial: -trial.score)

        def draw(language: str) -> str:
            note = words("tried_pictures", language)
            rows = [
                charts.Bar(item.strategy, item.score, note.format(n=len(item.seeds)), item.strategy == photo.strategy)
                for item in ranked
            ]
            return charts.bars(words("tried_chart", language), rows)

        return in_both_languages(draw)

    def worth(self, photo: PhotoReport) -> Markup:
        """What each word brings, the most helpful first."""
        ranked = sorted(photo.attributes, key=lambda worth: -worth.mean)
        rows = [charts.GainBar(worth.attribute, worth.mean, worth.low, worth.high) for worth in ranked]
        return in_both_languages(lambda language: charts.intervals(words("worth", language), rows))

    def gains(self) -> Markup:
        """The run's gains with their intervals, the judge's too where there is one."""
        summary = self.report.summary
        rows = {
            "best_over_name": summary.gain_over_minimal,
            "best_over_tags": summary.gain_over_baseline,
            "best_over_tags_judge": summary.judge_gain_over_baseline,
        }
        if words_summary := summary.your_words:
            rows |= {"best_over_words": words_summary.gain, "best_over_words_judge": words_summary.judge_gain}

        def draw(language: str) -> str:
            gains = [
                charts.GainBar(words(key, language), gain.mean, gain.low, gain.high)
                for key, gain in rows.items()
                if gain is not None and gain.n > 1  # one pair has no interval to draw
            ]
            return charts.intervals(words("gain_chart", language), gains)

        return in_both_languages(draw)

    # ── words ─────────────────────────────────────────────────────────────────────────────────────────────

    def lead(self) -> list[Markup]:
        """The run in a few sentences."""
        report, summary = self.report, self.report.summary
        few = "one" if summary.photos == 1 else "many"
        sentences = [
            say(f"lead_{few}", best=charts.points(summary.mean_similarity)),
            _gain("over_name", summary.gain_over_minimal),
            _gain("over_tags", summary.gain_over_baseline),
        ]
        judge = summary.judge_gain_over_baseline
        sentences.append(say("judge_over_tags", **charts.signed_interval(judge)) if judge else say("judge_none"))
        if summary.colour_change_over_baseline:
            sentences.append(say("over_tags_colour", **_change(summary.colour_change_over_baseline)))
        if given := summary.your_words:
            sentences.append(_gain("over_words", given.gain))
            if given.judge_gain:
                sentences.append(say("judge_short", **charts.signed_interval(given.judge_gain)))
            if given.photos < summary.photos:
                sentences.append(say("words_photos", n=given.photos, photos=summary.photos))
        if summary.photos > 1:
            counts = {"proven": summary.proven, "improved": summary.improved, "n": summary.photos}
            sentences += [say("improved_count", **counts), say("every_candidate")]
        confidence = f"{100 * summary.gain_over_baseline.confidence:g}"
        sentences.append(say("interval_note", confidence=confidence))
        form = report.best_strategies.optimal_prompt_format
        if summary.photos > 1 and {"strategy", "wins", "photos"} <= form.keys():
            sentences.append(say("format", **{name: form[name] for name in ("strategy", "wins", "photos")}))
        return sentences

    def confirm_seeds(self, photo: PhotoReport) -> list[int]:
        """The seeds that the photo's pictures were confirmed on."""
        return photo.seeds.get("confirm") or self.report.seeds.get("confirm", [])

    def standing(self, photo: PhotoReport) -> str:
        """The key of the photo's badge."""
        return "proven" if photo.proven else "improved" if photo.improved else "not_improved"

    def judge_gain(self, photo: PhotoReport) -> Markup | None:
        """The judge's gain of the candidate; None without a judge, and where the plain list itself won."""
        gain = photo.judge_interval
        return say("judge_gain", **charts.signed_interval(gain)) if gain and photo.candidate != "all_tags" else None

    def colour_change(self, photo: PhotoReport) -> Markup | None:
        """How much nearer the candidate's colours are; None where they are not known, or the plain list itself won."""
        change = photo.colour_interval
        return say("colour_change", **_change(change)) if change and photo.candidate != "all_tags" else None

    def verdict(self, photo: PhotoReport) -> Markup:
        """The photo in one sentence; English is the report's own."""
        candidate = photo.candidate or photo.strategy
        key = "verdict_up" if photo.improved else "verdict_same" if candidate == "all_tags" else "verdict_even"
        if photo.your_words and photo.strategy == "your_words" and not photo.improved:
            key = "verdict_words"
        values = {**charts.signed_interval(photo.confidence_interval), "strategy": candidate}
        return both(lambda language: photo.verdict if language == "en" else words(key, language).format(**values))

    def name(self, path: str) -> str:
        """The last part of a path of any system."""
        return PureWindowsPath(path).name or path

    def group_name(self, group: str) -> Markup:
        """A tag group's name."""
        return both(lambda language: self._names(group).get(language) or _plain(group))

    def label_name(self, tag: Mapping[str, Any]) -> Markup:
        """A tag's name."""
        return both(lambda language: self._names(tag["group"], tag["label"]).get(language) or _plain(tag["label"]))

    def group_names(self, groups: list[str]) -> Markup:
        """Several groups' names."""

        def names(language: str) -> str:
            return ", ".join(self._names(group).get(language) or _plain(group) for group in groups)

        return both(lambda language: words("not_visible", language).format(groups=names(language)))

    def beyond(self, groups: list[str]) -> Markup:
        """What the words name and the pictures miss."""

        def names(language: str) -> str:
            return ", ".join(self._names(group).get(language) or _plain(group) for group in groups)

        return both(lambda language: words("beyond_groups", language).format(groups=names(language)))

    def hue(self, group: str) -> int:
        """The colour of a tag group, degrees; the same throughout the page."""
        return self._hues[group]

    def described(self, strategy: str) -> Markup | None:
        """One line on a strategy, where somebody explains strategies."""
        return both(lambda language: self.describe(strategy, language)) if self.describe else None

    def duration(self, seconds: float) -> Markup:
        """Minutes and seconds."""
        whole = round(seconds)
        if whole >= 60:
            return say("minutes", m=whole // 60, s=whole % 60)
        return say("seconds", s=f"{seconds:.1f}" if seconds < 10 else whole)

    def calibrations(self) -> list[tuple[str, CalibrationReport]]:
        """(key of its name, anchors) of what scored and what judged."""
        both_scorers = [("scorer", self.report.calibration), ("judge", self.report.judge)]
        return [(key, calibration) for key, calibration in both_scorers if calibration is not None]

    def seeds(self, which: str) -> str:
        """The seeds of a set, shortened where they are many."""
        seeds = self.report.seeds.get(which, [])
        return ", ".join(map(str, seeds[:24])) + (f" … ({len(seeds)})" if len(seeds) > 24 else "")

    def why_skipped(self, code: str, reason: str) -> Markup:
        """Why a photo was left out: the report's own reason in English, the code's meaning in Chinese."""
        return both(lambda language: reason if language == "en" else SKIP_CODES.get(code, (reason, reason))[1])

    def plain(self, value: object) -> str:
        """A setting as people write it."""
        if isinstance(value, dict):
            return ", ".join(f"{name} {self.plain(inner)}" for name, inner in value.items() if inner is not None)
        if isinstance(value, list | tuple):
            return ", ".join(map(self.plain, value)) or "—"
        return "—" if value is None or value == "" else str(value)

    def _names(self, group: str, label: str | None = None) -> dict[str, str]:
        """Names by language from the taxonomy; none where it does not know the group or label."""
        for known in self.taxonomy.groups if self.taxonomy else ():
            if known.id == group:
                labels = {item.id: item.name for item in known.labels}
                return known.name if label is None else labels.get(label, {})
        return {}


def _gain(key: str, gain: Interval) -> Markup:
    if gain.n == 1:
        return say(f"{key}_one", **charts.signed_interval(gain))
    above, below = gain.low > 0, gain.high < 0
    return say(f"{key}_{'up' if above else 'down' if below else 'even'}", **charts.signed_interval(gain))


def _change(change: Interval) -> dict[str, str]:
    """A change of ΔE as people read it."""
    values = {"change": change.mean, "low": change.low, "high": change.high}
    return {name: f"{value:+.1f}".replace("-", "−") for name, value in values.items()}


def in_both_languages(draw: Callable[[str], str]) -> Markup:
    """The chart `draw(language)` as SVG in each language."""
    from markupsafe import Markup

    return both(lambda language: Markup(draw(language)))


def _plain(identifier: str) -> str:
    return re.sub(r"[_\s]+", " ", identifier).strip()


def write_report(
    report: PromptReport,
    folder: Path,
    *,
    taxonomy: Taxonomy | None = None,
    describe: Callable[[str, str], str] | None = None,
    language: str = "en",
) -> Path:
    """Writes `report.html` and `report.json` into `folder` and returns the page's path.

    `taxonomy` and `describe(strategy, language)` name tags and strategies; `language` is the one shown first.
    """
    page = render_report(report, folder, taxonomy=taxonomy, describe=describe, language=language)
    return write_report_files(report, page, folder)
