"""A comparison's figures → the sentences of its verdict: which route paid, for what, at what cost, what to do next.

A line is a key of comparison_texts.py with its values; a list among the values holds groups of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import Any, TypeVar

from .charts import signed_interval
from .comparison import ArmName, ComparisonReport, PipelineReport, ProvenLoss
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
    over_words = signed_interval(report.gain("tuned", "words", "scorer"))
    if verdict.decision == "training":
        lines += [("s_training", over_words), _judge(report, "tuned", "words")]
    elif verdict.decision == "worse than base":
        lines += [("s_worse", signed_interval(same)), _judge(report, "tuned", "base")]
    elif verdict.decision == "worse than words":
        lines += [("s_worse_words", over_words), _judge(report, "tuned", "words")]
        lines.append(("s_over_base", signed_interval(same)))
    elif verdict.decision == "changes nothing":
        lines.append(("s_same", {}))
    elif verdict.decision == "words":
        lines.append(("s_words_won", signed_interval(report.gain("words", "base", "scorer"))))
        lines += [_judge(report, "words", "base"), ("s_file_adds", over_words)]
    else:
        key = "s_scorer_only" if same.low > 0 else "s_even"
        lines += [(key, signed_interval(same)), _judge(report, "tuned", "base"), ("s_file_adds", over_words)]
    lines += [_loss_line(loss) for loss in verdict.losses if (loss.arm, loss.over, loss.by) not in _told(report)]
    lines += _words(report)
    if verdict.decision == "training":
        lines += [("s_groups", {"groups": verdict.attributes})] if verdict.attributes else []
        lines += [("s_look", {})] if verdict.look else []
    if verdict.lost and verdict.decision not in ("no difference", "changes nothing"):
        lines.append(("s_lost", {"groups": verdict.lost}))
    if verdict.decision != "changes nothing":
        lines += _honesty(report)
    return lines


def _judge(report: ComparisonReport, arm: ArmName, over: ArmName) -> Line:
    judged = report.gain(arm, over, "judge")
    if judged and report.verdict.level == "likely":
        return "s_judge_unsure", signed_interval(judged)
    return ("s_judge", signed_interval(judged)) if judged else ("s_no_judge", {})


def _told(report: ComparisonReport) -> set[tuple[str, str, str]]:
    """(arm, over, by) of the intervals that the decision's own sentences give already."""
    told = {
        "worse than base": {("tuned", "base", "scorer"), ("tuned", "base", "judge")},
        "worse than words": {("tuned", "words", "scorer"), ("tuned", "words", "judge"), ("tuned", "base", "scorer")},
        "no difference": {("tuned", "base", "judge")},
    }
    return told.get(report.verdict.decision, set())


def _loss_line(loss: ProvenLoss) -> Line:
    """A loss that is proven although the decision is another."""
    pair = f"loss_{loss.arm}_{loss.over}"
    both = {code: words(pair, code) for code in ("en", "zh-TW")}
    witness = {code: words(f"by_{loss.by}", code) for code in ("en", "zh-TW")}
    return "s_loss", {"pair": both, "witness": witness, **signed_interval(loss.interval)}


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
    key += "" if report.tuned.trigger else "_always"
    lines: list[Line] = [(key, signed_interval(report.gain("tuned_words", "words", "agreement")))]
    if verdict.leaks and report.tuned.trigger:
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
        use = {"file": name, "strength": f"{verdict.strength or 1:g}", "trigger": tuned.trigger}
        always = "" if tuned.trigger else "_always"
        lines.append((("n_use" if tuned.kind == "lora" else "n_use_model") + always, use))
    elif verdict.words:
        lines.append(("n_words", {}))
    if verdict.decision.startswith("worse"):
        lines.append(("n_harm", {}))
    if verdict.decision == "changes nothing":
        lines.append(("n_nothing", {"file": name}))
    if verdict.decision in ("no difference", "words") and tuned.training:
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
        and tuned.trigger
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
