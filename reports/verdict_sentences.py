"""A comparison's figures → the sentences of its verdict: which route paid, for what, at what cost, what to do next.

A line is a key of comparison_texts.py with its values; a list among the values holds groups of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import Any, TypeVar

from .charts import signed_interval
from .comparison import ComparisonReport, PipelineReport
from .comparison_texts import words

Line = tuple[str, dict[str, Any]]
Report = TypeVar("Report", bound=ComparisonReport)

MUCH_COPIED = 0.05  # share of the pictures from which it is a warning
ENOUGH_GARMENTS = 8


def in_words(report: Report) -> Report:
    """The same with the English sentences in its verdict."""
    sentences = {
        "sentence": " ".join(map(english, verdict_lines(report))),
        "cost": english(cost_line(report)),
        "next_steps": [english(line) for line in next_lines(report)],
    }
    return report.model_copy(update={"verdict": report.verdict.model_copy(update=sentences)})


def english(line: Line) -> str:
    """A line in the report's own language."""
    return filled(line, "en", lambda group: group)


def filled(line: Line, language: str, name: Callable[[str], str]) -> str:
    """A line in a language; `name` names a group."""
    key, values = line
    comma = "、" if language == "zh-TW" else ", "

    def text(value: Any) -> Any:
        if isinstance(value, list):
            return comma.join(map(name, value))
        return value[language] if isinstance(value, dict) else value

    return words(key, language).format(**{field: text(value) for field, value in values.items()})


# ── the sentences ──


def verdict_lines(report: ComparisonReport) -> list[Line]:
    """The verdict, the most important first."""
    verdict = report.verdict
    same = report.gain("tuned", "base", "scorer")
    lines: list[Line] = []
    if verdict.decision == "training":
        lines.append(("s_training", signed_interval(report.gain("tuned", "words", "scorer"))))
        lines.append(_judge(report, "words"))
    elif verdict.decision == "worse":
        lines += [("s_worse", signed_interval(same)), _judge(report, "base")]
    elif same.low == same.high == 0:
        lines.append(("s_same", {}))
    elif same.low > 0:
        lines += [("s_scorer_only", signed_interval(same)), _judge(report, "base")]
    else:
        lines += [("s_even", signed_interval(same)), _judge(report, "base")]
    lines += _words(report)
    if verdict.decision == "training":
        lines += [("s_groups", {"groups": verdict.attributes})] if verdict.attributes else []
        lines += [("s_look", {})] if verdict.look else []
    lines += [("s_lost", {"groups": verdict.lost})] if verdict.lost and verdict.decision != "no difference" else []
    if not same.low == same.high == 0:
        lines += _honesty(report)
    return lines


def _judge(report: ComparisonReport, over: str) -> Line:
    judged = report.gain("tuned", over, "judge")
    if judged and report.verdict.decision == "training" and judged.low <= 0:
        return "s_judge_unsure", signed_interval(judged)
    return ("s_judge", signed_interval(judged)) if judged else ("s_no_judge", {})


def _words(report: ComparisonReport) -> list[Line]:
    gain, verdict = signed_interval(report.gain("words", "name", "scorer")), report.verdict
    if not verdict.words:
        return [("s_words_even", gain)]
    lines: list[Line] = [("s_words" if verdict.decision == "training" else "s_words_alone", gain)]
    return lines + ([("s_word_groups", {"groups": verdict.word_attributes})] if verdict.word_attributes else [])


def _honesty(report: ComparisonReport) -> list[Line]:
    """What it forgot, what leaks, what it copied."""
    verdict, memory = report.verdict, report.memorisation
    key = {"kept": "s_kept", "lost": "s_forgot", "unclear": "s_unclear"}[verdict.adherence]
    lines: list[Line] = [(key, signed_interval(report.gain("tuned_words", "words", "agreement")))]
    if verdict.leaks:
        lines.append(("s_leaks", signed_interval(report.gain("tuned_words", "words", "scorer"))))
    if memory is not None:
        copied = "s_copies" if memory.copies > MUCH_COPIED else "s_no_copies"
        lines.append((copied, {"share": f"{100 * memory.copies:.0f}"}))
    return lines


def cost_line(report: ComparisonReport) -> Line:
    """What each route took, where it was measured."""
    size = as_size(report.tuned.bytes)
    if not isinstance(report, PipelineReport):
        return "cost_file", {"size": size}
    prompt, training = report.costs["prompt"], report.costs["training"]
    memory: dict[str, str] | str = ""
    if training.memory_bytes:
        memory = {
            code: words("memory_of", code).format(memory=as_size(training.memory_bytes)) for code in ("en", "zh-TW")
        }
    return "cost_both", {
        "words_time": as_time(prompt.seconds),
        "words_pictures": prompt.pictures,
        "training_time": as_time(training.seconds),
        "memory": memory,
        "size": size,
    }


def next_lines(report: ComparisonReport) -> list[Line]:
    """What to do, the first thing first."""
    verdict, tuned, memory = report.verdict, report.tuned, report.memorisation
    name, lines = PurePath(tuned.file).name, []
    if verdict.decision == "training":
        use = {"file": name, "strength": f"{verdict.strength or 1:g}", "trigger": tuned.trigger or "—"}
        lines.append(("n_use" if tuned.kind == "lora" else "n_use_model", use))
    elif verdict.words:
        lines.append(("n_words", {}))
    if verdict.decision == "worse":
        lines.append(("n_harm", {}))
    if verdict.decision == "no difference" and tuned.training:
        lines.append(("n_photos", {"n": tuned.training.photos}))
    garments = len({photo.garment for photo in report.images})
    if verdict.decision == "no difference" and garments < ENOUGH_GARMENTS:
        lines.append(("n_proof", {"n": garments}))
    strengths = [strength.strength for strength in report.strengths if strength.strength]
    if verdict.decision == "training" and len(strengths) > 1 and verdict.strength == max(strengths):
        lines.append(("n_stronger", {}))
    if verdict.decision == "training" and len(strengths) > 1 and verdict.strength == min(strengths):
        lines.append(("n_weaker", {}))
    if memory is not None and memory.copies > MUCH_COPIED:
        lines.append(("n_copies", {}))
    if (
        verdict.decision == "training"
        and verdict.leaks
        and not (isinstance(report, PipelineReport) and report.generated)
    ):
        lines.append(("n_class", {}))
    return lines


# ── measures ──


def as_size(count: int) -> str:
    """Bytes with a unit that suits them."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.0f} kB"


def as_time(seconds: float | None) -> dict[str, str]:
    """Seconds in both languages."""
    if seconds is None:
        return {"en": "—", "zh-TW": "—"}
    whole = round(seconds)
    key, values = ("minutes", {"m": whole // 60, "s": whole % 60}) if whole >= 60 else ("seconds", {"s": whole})
    return {code: words(key, code).format(**values) for code in ("en", "zh-TW")}
