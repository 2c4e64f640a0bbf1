"""`report.html` of a judgement: one grid of candidates × photos, a table that sorts, and the curve of the training.

One self-contained page in both languages. Its script sorts and copies; the page's policy lets no other run, by digest.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from . import charts
from .judging_texts import catalogue_lines, cost_lines, headline, next_lines, verdict_lines, words
from .prompt_page import both, in_both_languages
from .prompt_texts import LANGUAGES
from .report_files import write_report_files
from .templates import page_environment
from .thumbnails import Thumbnail, thumbnail

if TYPE_CHECKING:
    from markupsafe import Markup

    from ..fashion.taxonomy import Taxonomy
    from .judging import JudgedGain, JudgedRow, JudgedTraits, JudgeReport
    from .prompt import Interval

HERE = Path(__file__).parent
TEMPLATE, SCRIPT = "judging_page.html.j2", "judging_page.js"
LONGEST_LABEL = 18  # letters of a file in the chart of gains
PHOTOS = 12  # columns of the grid
MOST_PICTURES = 240  # of the grid; beyond, pictures get smaller and then fewer
SIDES = (160, 96)  # pixels


def render_judging(report: JudgeReport, folder: Path, *, taxonomy: Taxonomy | None = None, language: str = "en") -> str:
    """The page as text; pictures are read from `folder`, a missing one leaves a gap. `language` is shown first.

    `taxonomy` names the groups of tags in both languages; without it they are called by their ids.
    """
    from markupsafe import Markup

    script = (HERE / SCRIPT).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        page_environment()
        .get_template(TEMPLATE)
        .render(
            report=report,
            page=JudgingPage(report, folder, taxonomy),
            t=say,
            script=Markup(script),
            digest=digest,
            language=language,
            languages=LANGUAGES,
        )
    )


def say(key: str, **values: object) -> Markup:
    """A sentence in both languages; values are escaped."""
    from markupsafe import Markup

    return both(lambda language: Markup(words(key, language)).format(**values))


class RowTraits(NamedTuple):
    """A line of the table of traits; no label: the base model."""

    standing: str
    label: str
    traits: JudgedTraits


class JudgingPage:
    """What the template asks for beyond the report itself."""

    points = staticmethod(charts.points)
    signed = staticmethod(charts.signed)

    def __init__(self, report: JudgeReport, folder: Path, taxonomy: Taxonomy | None = None):
        self.report, self.folder = report, folder
        self._names = {group.id: group.name for group in taxonomy.groups} if taxonomy else {}
        self.columns = min(PHOTOS, max((len(row.files) for row in report.rows), default=0))
        self.side = SIDES[0] if len(report.rows) * self.columns <= MOST_PICTURES else SIDES[1]

    def photo(self, index: int) -> Thumbnail | None:
        """The photo of a column of the grid."""
        references = self.report.references
        return thumbnail(self.folder, references[index % len(references)].photo_copy, self.side) if references else None

    def garment(self, index: int) -> str:
        """The garment of that photo."""
        references = self.report.references
        return references[index % len(references)].garment if references else ""

    def choosing(self) -> int:
        """Pictures that the choice was made on."""
        return sum(row.pictures for row in self.report.rows)

    def pictures(self, row: JudgedRow) -> list[Thumbnail | None]:
        """The first pictures of a candidate, one a column."""
        return [thumbnail(self.folder, name, self.side) for name in row.files[: self.columns]]

    def by_photo(self) -> bool:
        """Whether a column of the grid is a photo: sample pictures have none of their own."""
        return self.report.kind == "files"

    def headline(self) -> Markup:
        """The verdict in a few words."""
        return both(lambda language: headline(self.report, language))

    def lines(self) -> list[Markup]:
        """The verdict in sentences."""
        return self._lines(verdict_lines)

    def next_lines(self) -> list[Markup]:
        """What to do next."""
        return self._lines(next_lines)

    def groups(self) -> list[str]:
        """The groups of tags that the photos have."""
        return list(self.report.base.attributes) if self.report.base else []

    def group_name(self, group: str) -> Markup:
        """A tag group's name."""
        return both(lambda language: self._names.get(group, {}).get(language) or group.replace("_", " "))

    def with_traits(self) -> list[RowTraits]:
        """The base model, then every candidate whose pictures were looked at."""
        assert self.report.base is not None
        rows = [
            RowTraits("won" if row.standing == "best" else row.standing, row.label, row.traits)
            for row in self.report.rows
            if row.traits
        ]
        return [RowTraits("base", "", self.report.base), *rows]

    def change(self, change: Interval | None) -> Markup:
        """A share's change over the base model, marked where its interval leaves 0 out."""
        return self._changed(change, lambda value: charts.signed(value))

    def colour_change(self, change: Interval | None) -> Markup:
        """The same of ΔE, in its own unit."""
        return self._changed(change, lambda value: f"{value:+.1f}".replace("-", "−"))

    def _changed(self, change: Interval | None, written: Callable[[float], str]) -> Markup:
        from markupsafe import Markup

        if change is None:
            return Markup("")
        sure = ' class="sure"' if change.low > 0 or change.high < 0 else ""
        values = [written(value) for value in (change.mean, change.low, change.high)]
        return Markup(f"<small{sure}>{{}} ({{}} … {{}})</small>").format(*values)

    def catalogue_lines(self) -> list[Markup]:
        """What retrieval in the catalogue says, encoder by encoder."""
        return self._lines(catalogue_lines)

    def cost_lines(self) -> list[Markup]:
        """What the best one costs."""
        return self._lines(cost_lines)

    def curve(self) -> Markup | None:
        """Score and judge over the training; None where the candidates have no order, or several strengths."""
        rows = [row for row in self.report.rows if _place(row) is not None and row.similarity is not None]
        if len(rows) < 3 or len({_place(row) for row in rows}) < len(rows):
            return None

        def draw(language: str) -> str:
            lines = [_line(words("j_score", language), rows, "similarity")]
            if all(row.judge is not None for row in rows):
                lines.append(_line(words("j_judge", language), rows, "judge"))
            best = next((_place(row) for row in rows if row.standing == "best"), None)
            ticks = [float(_place(row) or 0) for row in (rows[0], rows[-1])]
            return charts.curves(words("j_curve", language), lines, charts.points, best, ticks)

        return in_both_languages(draw)

    def gain_label(self, gain: JudgedGain) -> Markup:
        """What a gain is over."""
        return say(f"j_over_{gain.over}", label=gain.label)

    def gain_chart(self) -> Markup:
        """The proof's gains with their intervals, the judge's too."""

        def draw(language: str) -> str:
            bars = []
            for gain in self.report.gains:
                label = words(f"j_over_{gain.over}", language).format(label=_end_of(gain.label))
                bars.append(charts.GainBar(label, gain.interval.mean, gain.interval.low, gain.interval.high))
                if gain.judge:
                    second = f"· {words('j_judge', language)}"
                    bars.append(charts.GainBar(second, gain.judge.mean, gain.judge.low, gain.judge.high))
            return charts.intervals(words("j_gains", language), bars)

        return in_both_languages(draw)

    def _lines(self, lines: Callable[[JudgeReport, str], list[str]]) -> list[Markup]:
        by_language = {language: lines(self.report, language) for language in LANGUAGES}
        return [
            both(lambda language, place=place: by_language[language][place])  # type: ignore[misc]
            for place in range(len(by_language["en"]))
        ]


def _end_of(label: str) -> str:
    """The label as far as the chart has room for it beside its figures: its end, which has the step."""
    return label if len(label) <= LONGEST_LABEL else f"…{label[-LONGEST_LABEL + 1 :]}"


def _line(label: str, rows: Sequence[JudgedRow], of: str) -> charts.Curve:
    """A figure over the training, with its interval where every row has one."""
    intervals = [getattr(row, f"{of}_interval") for row in rows]
    known = all(interval is not None for interval in intervals)
    return charts.Curve(
        label,
        [(float(_place(row) or 0), getattr(row, of)) for row in rows],
        [max(0.0, interval.low) for interval in intervals] if known else (),
        [min(1.0, interval.high) for interval in intervals] if known else (),
    )


def _place(row: JudgedRow) -> int | None:
    return row.step if row.step is not None else row.epoch


def write_judging(report: JudgeReport, folder: Path, *, taxonomy: Taxonomy | None = None, language: str = "en") -> Path:
    """Writes `report.html` and `report.json` into `folder` and returns the page's path."""
    return write_report_files(report, render_judging(report, folder, taxonomy=taxonomy, language=language), folder)
