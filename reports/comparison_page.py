"""`report.html` of a comparison or a whole run: one self-contained page, in both languages.

Its one script moves the slider and copies; the page's policy lets no other run, by its digest.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from . import charts
from .comparison import ComparisonReport, PipelineReport
from .comparison_texts import VERDICT, words
from .prompt import Interval
from .prompt_page import Page, both, in_both_languages
from .prompt_texts import LANGUAGES
from .report_files import write_report_files
from .templates import page_environment
from .thumbnails import Thumbnail, thumbnail
from .verdict_sentences import Line, as_size, as_time, cost_line, filled, next_lines, verdict_lines

if TYPE_CHECKING:
    from markupsafe import Markup

    from ..fashion.taxonomy import Taxonomy
    from .comparison import Cost, ProofPhoto
    from .prompt import Interval


HERE = Path(__file__).parent
TEMPLATE, SCRIPT = "verdict_page.html.j2", "verdict_page.js"
SHOWN = 12  # proof photos with large pictures
ROLES = ("name", "words", "tuned", "tuned_words")
ACROSS = (("tuned", "words"), ("tuned", "base"), ("words", "name"))


def render_verdict(
    report: ComparisonReport, folder: Path, *, taxonomy: Taxonomy | None = None, language: str = "en"
) -> str:
    """The page as text; pictures are read from `folder`, a missing one leaves a gap. `language` is shown first."""
    from markupsafe import Markup

    script = (HERE / SCRIPT).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        page_environment()
        .get_template(TEMPLATE)
        .render(
            report=report,
            whole_run=report if isinstance(report, PipelineReport) else None,
            page=VerdictPage(report, folder, taxonomy),
            t=say,
            script=Markup(script),
            digest=digest,
            language=language,
            languages=LANGUAGES,
        )
    )


def say(key: str, **values: object) -> Markup:
    """A sentence in both languages; values are escaped, and a dict among them has one for each language."""
    from markupsafe import Markup

    def of(language: str) -> Markup:
        chosen = {name: value[language] if isinstance(value, dict) else value for name, value in values.items()}
        return Markup(words(key, language)).format(**chosen)

    return both(of)


class VerdictPage(Page):
    """What the template asks for beyond the report itself."""

    size = staticmethod(as_size)
    time = staticmethod(as_time)
    interval = staticmethod(charts.signed_interval)

    def __init__(self, report: ComparisonReport, folder: Path, taxonomy: Taxonomy | None):
        super().__init__(report, folder, taxonomy, None)
        self.shown = report.images[:SHOWN]

    # ── pictures ──

    def picture(self, name: str, side: int = 320) -> Thumbnail | None:
        """Any picture of the run."""
        return thumbnail(self.folder, name, side) if name else None

    def first(self, photo: ProofPhoto, arm: str, side: int = 320) -> Thumbnail | None:
        """The arm's picture on the first confirmation seed: the same for all, so nobody chose."""
        files = photo.pictures.get(arm, [])
        return self.picture(files[0], side) if files else None

    def at_strength(self, photo: ProofPhoto, strength: float) -> Thumbnail | None:
        """What that strength draws of the photo on the first choosing seed."""
        files = photo.strengths.get(f"{strength:g}", [])
        return self.picture(files[0], 280) if files else None

    def seeds_of(self, photo: ProofPhoto) -> list[tuple[str, list[Thumbnail | None]]]:
        """Arm → its pictures on every seed, small."""
        return [(arm, [self.picture(name, 128) for name in photo.pictures.get(arm, [])]) for arm in ROLES]

    # ── charts ──

    def gain_chart(self) -> Markup:
        """The gains that the verdict rests on."""

        def draw(language: str) -> str:
            rows = []
            for arm, over in ACROSS:
                for who in ("scorer", "judge"):
                    gain = self.report.gain(arm, over, who)
                    if gain:
                        label = f"{words(f'gain_{arm}_{over}', language)} · {words(f'by_{who}', language)}"
                        rows.append(charts.GainBar(label, gain.mean, gain.low, gain.high))
            return charts.intervals(words("gain_chart", language), rows)

        return in_both_languages(draw)

    def strength_chart(self) -> Markup:
        """Similarity over strengths, by scorer and judge."""

        def draw(language: str) -> str:
            rows = self.report.strengths
            lines = [charts.Curve(words("by_scorer", language), [(row.strength, row.similarity) for row in rows])]
            if all(row.judge is not None for row in rows):
                lines.append(charts.Curve(words("by_judge", language), [(row.strength, row.judge) for row in rows]))
            ticks = [row.strength for row in rows]
            return charts.curves(words("strength", language), lines, charts.points, self.chosen_strength, ticks)

        return in_both_languages(draw)

    def loss_chart(self) -> Markup:
        """The training loss."""
        training = self.report.tuned.training
        span = max(1, len(training.losses) - 1)
        line = [(1 + (training.steps - 1) * index / span, loss) for index, loss in enumerate(training.losses)]

        def draw(language: str) -> str:
            curve = charts.Curve(words("loss_chart", language), line)
            ticks = (1, training.steps)
            return charts.curves(words("loss_chart", language), [curve], "{:.3f}".format, training.best_step, ticks)

        return in_both_languages(draw)

    def validation_chart(self) -> Markup:
        """The gain in loss on validation photos, with its band."""
        training = self.report.tuned.training
        results = training.validation
        line = [(result["step"], result["mean"]) for result in results]

        def draw(language: str) -> str:
            label = words("validation_chart", language)
            low, high = ([result[end] for result in results] for end in ("low", "high"))
            curve = charts.Curve(label, line, low, high)
            ticks = (results[0]["step"], results[-1]["step"])
            return charts.curves(label, [curve], "{:+.3f}".format, training.best_step, ticks)

        return in_both_languages(draw)

    # ── words ──

    @property
    def chosen_strength(self) -> float | None:
        """The strength that the verdict's pictures were drawn at."""
        return self.report.arm("tuned").strength

    def lines(self) -> list[Markup]:
        """The verdict's sentences."""
        return [self._line(line) for line in verdict_lines(self.report)]

    def next_steps(self) -> list[Markup]:
        """What to do."""
        return [self._line(line) for line in next_lines(self.report)]

    def cost(self) -> Markup:
        """What it took."""
        return self._line(cost_line(self.report))

    def note(self, text: str) -> Markup:
        """A note of the report in both languages, where it is one of ours."""
        key = next((key for key, (english, _) in VERDICT.items() if english == text), None)
        return say(key) if key else both(lambda language: text)

    def routes(self) -> list[tuple[str, Markup, Markup]]:
        """(row, prompt route, training route): measured figures of this run."""
        report = self.report
        costs = report.costs if isinstance(report, PipelineReport) else {}
        prompt, training = costs.get("prompt"), costs.get("training")
        words_arm, tuned_arm = report.arm("words"), report.arm("tuned")
        longest = max((len(photo.prompts["words"]) for photo in report.images), default=0)
        return [
            ("r_time", self._took(prompt), self._took(training)),
            ("r_compute", self._compute(prompt), self._compute(training)),
            (
                "r_persistence",
                say("r_persist_prompt", n=longest),
                say("r_persist_training", size=as_size(report.tuned.bytes)),
            ),
            ("r_consistency", self._steadiness(words_arm), self._steadiness(tuned_arm)),
            (
                "r_gain",
                say("r_gain_prompt", **charts.signed_interval(report.gain("words", "name", "scorer"))),
                say("r_gain_training", **charts.signed_interval(report.gain("tuned", "words", "scorer"))),
            ),
        ]

    def groups(self) -> list[str]:
        """The groups that some proof photo has a tag of."""
        return list(self.report.arm("words").agreement)

    def difference(self, group: str | None) -> Interval | None:
        """Tuned over words in agreement."""
        return self.report.gain("tuned", "words", "agreement", group)

    def _took(self, cost: Cost | None) -> Markup:
        return say("r_unknown") if cost is None else both(lambda language: as_time(cost.seconds)[language])

    def _compute(self, cost: Cost | None) -> Markup:
        from markupsafe import Markup

        if cost is None:
            return say("r_unknown")
        lines = [say("r_passes", n=f"{cost.passes:,}")]
        if cost.memory_bytes:
            lines.append(say("r_memory", memory=as_size(cost.memory_bytes)))
        return Markup("<br>").join(lines)

    def _steadiness(self, arm) -> Markup:
        return say("r_spread", spread=charts.points(arm.spread), share=charts.points(arm.adherence))

    def _line(self, line: Line) -> Markup:
        return both(lambda language: filled(line, language, lambda group: self._group(group, language)))

    def _group(self, group: str, language: str) -> str:
        return self._names(group).get(language) or group.replace("_", " ")


def write_verdict(
    report: ComparisonReport, folder: Path, *, taxonomy: Taxonomy | None = None, language: str = "en"
) -> Path:
    """Writes `report.html` and `report.json` and returns the page's path; pictures are in `folder`."""
    return write_report_files(report, render_verdict(report, folder, taxonomy=taxonomy, language=language), folder)
