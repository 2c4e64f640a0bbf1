"""A run's result for a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from ..reports.comparison import ComparisonReport
    from ..reports.judging import JudgeReport
    from ..reports.prompt import Interval, PhotoReport, PromptReport, WordsReport

ARMS = {
    "name": "base, name only",
    "words": "base, best words",
    "base": "base, the tuned one's prompt",
    "tuned": "tuned",
    "tuned_words": "tuned, no trigger",
}


def print_summary(report: PromptReport, out: Path, explain: bool = False) -> None:
    """One line a photo, then the run's figures and where the report is; on stdout. `explain`: each word's worth too."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=None, pad_edge=False)
    for heading in ("photo", "minimal", "all tags", "found", "gain over all tags", "strategy"):
        table.add_column(heading, justify="left" if heading in ("photo", "strategy") else "right", overflow="fold")
    for photo in report.images:
        table.add_row(
            _plain(Path(photo.image).name),
            _percent(photo.minimal_score),
            _percent(photo.baseline_score),
            _percent(photo.similarity_score),
            _points(photo.confidence_interval) if photo.candidate != "all_tags" else "–",
            f"{photo.strategy}{'' if photo.improved else ' (no improvement found)'}",
        )
    console.print(table)
    for photo in report.images:
        if photo.your_words:
            console.print(_over_words(photo, photo.your_words))
    if explain:
        _print_worths(report, console)
    total = report.summary
    console.print()
    of = "one photo" if total.photos == 1 else f"mean of {total.photos} photos"
    console.print(f"similarity, calibrated, on held-out seeds; {of}:")
    console.print(
        f"  minimal {_percent(total.mean_minimal)} → all tags {_percent(total.mean_baseline)} "
        f"→ found {_percent(total.mean_similarity)}",
    )
    console.print(f"  gain over minimal  {_points(total.gain_over_minimal)}")
    console.print(f"  gain over all tags {_points(total.gain_over_baseline)}")
    judge = total.judge_gain_over_baseline
    console.print(f"  the judge says     {_points(judge) if judge else 'nothing: there is none on this machine'}")
    colour = total.colour_change_over_baseline
    if colour:
        change = f"{colour.mean:+.1f} ΔE ({colour.low:+.1f} … {colour.high:+.1f})"
        console.print(f"  colours            {change} against all tags; below 0 is nearer")
    if given := total.your_words:
        some = f", {given.photos} of {total.photos} photos" if given.photos < total.photos else ""
        console.print(f"  your words {_percent(given.mean_score)}; gain over them {_points(given.gain)}{some}")
        if given.judge_gain:
            console.print(f"  the judge says     {_points(given.judge_gain)}")
    console.print(f"  proven for {total.proven} of {total.photos} together, for {total.improved} by their own interval")
    console.print(f"  {total.generations} pictures, {total.seconds_per_photo:.1f} s of drawing a photo")
    for skip in report.skipped:
        console.print(f"  skipped {_plain(skip.path)}: {skip.code}, {_plain(skip.reason)}", markup=False)
    print(f"report: {out / 'report.html'}")


def _over_words(photo: PhotoReport, words: WordsReport) -> str:
    chosen = "the search chose them" if photo.candidate == "your_words" else f"gain over them {_points(words.interval)}"
    return f"{_plain(Path(photo.image).name)}: your words {_percent(words.score)}; {chosen}"


def print_judging(report: JudgeReport, out: Path) -> None:
    """Each candidate, which to keep, what to do next, and where the report is; on stdout."""
    from rich.console import Console
    from rich.table import Table

    from ..reports.judging_texts import catalogue_lines, cost_lines

    console = Console()
    table = Table(box=None, pad_edge=False)
    for heading in ("candidate", "similarity", "judge", "behind the best", "pictures", "standing"):
        table.add_column(heading, justify="left" if heading in ("candidate", "standing") else "right", overflow="fold")
    for row in report.rows:
        behind = row.best_over_it
        table.add_row(
            _plain(row.label),
            "–" if row.similarity is None else _percent(row.similarity),
            "–" if row.judge is None else _percent(row.judge),
            "–"
            if behind is None
            else f"{-100 * behind.mean:+.1f} ({-100 * behind.high:+.1f} … {-100 * behind.low:+.1f})",
            str(row.pictures),
            "proven worse" if row.standing == "eliminated" else row.standing,
        )
    console.print(table)
    console.print()
    console.print(report.verdict.sentence, markup=False)
    for line in (*judged_traits(report), *catalogue_lines(report, "en"), *cost_lines(report, "en")):
        console.print(f"  {line}", markup=False)
    for line in report.verdict.next_steps:
        console.print(f"  {line}", markup=False)
    for skip in report.skipped:
        console.print(f"  skipped {_plain(skip.path)}: {skip.code}, {_plain(skip.reason)}", markup=False)
    print(f"report: {out / 'report.html'}")


def judged_traits(report: JudgeReport) -> list[str]:
    """What the best one draws of the photos, beside the base model: a line for each group of tags, and the colours."""
    best = next((row.traits for row in report.rows if row.standing == "best"), None)
    if best is None or report.base is None:
        return []
    lines = [
        f"{group.replace('_', ' ')}: {_percent(share)} of the pictures, base {_percent(report.base.attributes[group])}"
        f"{_change(best.attribute_changes.get(group), 100.0)}"
        for group, share in best.attributes.items()
        if group in report.base.attributes
    ]
    if best.colour_delta_e is not None and report.base.colour_delta_e is not None:
        change = _change(best.colour_change, 1.0)
        lines.append(f"colours: ΔE {best.colour_delta_e:.1f}, base {report.base.colour_delta_e:.1f}{change}")
    return lines


def _change(change: Interval | None, unit: float) -> str:
    if change is None:
        return ""
    return f"; {unit * change.mean:+.1f} ({unit * change.low:+.1f} … {unit * change.high:+.1f})"


def print_verdict(report: ComparisonReport, out: Path) -> None:
    """Each way to draw, the verdict, what to do next, and where the report is; on stdout."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=None, pad_edge=False)
    for heading in ("drawn by", "similarity", "judge", "tags met"):
        table.add_column(heading, justify="left" if heading == "drawn by" else "right")
    for arm in report.arms:
        worn = "" if arm.strength is None else f", strength {arm.strength:g}"
        judge = "–" if arm.judge is None else _percent(arm.judge)
        table.add_row(f"{ARMS[arm.name]}{worn}", _percent(arm.similarity), judge, _percent(arm.adherence))
    console.print(table)
    console.print()
    verdict = report.verdict
    level = f" ({verdict.level})" if verdict.level else ""
    console.print(f"{verdict.decision}{level}: {verdict.sentence} {verdict.cost}", markup=False)
    for number, step in enumerate(report.verdict.next_steps, 1):
        console.print(f"  {number}. {step}", markup=False)
    for skip in report.skipped:
        console.print(f"  skipped {_plain(skip.path)}: {skip.code}, {_plain(skip.reason)}", markup=False)
    print(f"report: {out / 'report.html'}")


def _print_worths(report: PromptReport, console: Console) -> None:
    for photo in report.images:
        console.print()
        if not photo.attributes:
            console.print(f"{_plain(Path(photo.image).name)}: the budget was too small to test single words")
            continue
        console.print(f"{_plain(Path(photo.image).name)}: what each word brings, in points of similarity")
        for worth in sorted(photo.attributes, key=lambda worth: -worth.mean):
            interval = f"{100 * worth.mean:+.1f} ({100 * worth.low:+.1f} … {100 * worth.high:+.1f})"
            console.print(f"  {_plain(worth.attribute):<28} {worth.standing:<8} {interval}")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _points(gain: Interval) -> str:
    if gain.n == 1:
        return f"{100 * gain.mean:+.1f} points (of one pair: no interval)"
    return f"{100 * gain.mean:+.1f} points ({100 * gain.low:+.1f} … {100 * gain.high:+.1f})"


def _plain(text: str) -> str:
    """Without control characters, and without what rich would take for markup."""
    from rich.markup import escape

    return escape("".join(char if char.isprintable() else "?" for char in text))
