"""Which file to keep, from the proof's gains: one rule for files and for sample pictures.

    identical to base                                     changes nothing
    best < base                                           worse than base
    best > base                                           keep
    anything else                                         no gain

with `<` and `>` as in search/route_decision.py: the score's whole interval, corrected for the comparisons that were
made (Holm), and a judge whose mean does not point the other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...reports.judging import JudgedGain, JudgedRow, JudgeVerdict
from ...search.multiple_testing import LEVEL, holm
from ..report_parts import interval_of

if TYPE_CHECKING:
    from typing import Literal

    from ...reports.judging import Advice
    from ...search.confirmation import PairedGain

FEW_GARMENTS = 4  # below, an interval over garments says more of their number than of the files
WIDE = 0.15  # half of an interval that leaves a question open: a gain of fifteen points could not be seen


@dataclass(frozen=True)
class Compared:
    """The best one over another on the pictures that both have, by the score and by the judge (None: there is none)."""

    over: Literal["base", "next", "last"]
    label: str
    gain: PairedGain
    judge: PairedGain | None


def level_among(candidates: int) -> float:
    """The confidence of each interval of the best one over another, so that all hold at once (Bonferroni)."""
    return 1 - LEVEL / max(1, candidates - 1)


def gains_of(compared: Sequence[Compared], chosen_from: int = 1) -> list[JudgedGain]:
    """The comparisons with Holm's correction over all of them.

    `chosen_from`: among how many candidates the best one was chosen by the very pictures that are compared, by which
    each p-value is multiplied first (Bonferroni); 1 where the pictures chose nothing.
    """
    adjusted = holm([min(1.0, item.gain.p * chosen_from) for item in compared])
    return [
        JudgedGain(
            over=item.over,
            label=item.label,
            interval=interval_of(item.gain),
            judge=interval_of(item.judge) if item.judge else None,
            adjusted_p=round(p, 6),
            proven=p <= LEVEL and item.gain.mean > 0 and not (item.judge and item.judge.high < 0),
        )
        for item, p in zip(compared, adjusted, strict=True)
    ]


@dataclass(frozen=True)
class Judged:
    """What a verdict rests on: every candidate in the order of training, the best one's gains, and how many garments
    (prompts, for sample pictures) they were seen on."""

    rows: Sequence[JudgedRow]
    gains: Sequence[JudgedGain]
    garments: int

    @property
    def best(self) -> JudgedRow:
        """The candidate that came out best."""
        return next(row for row in self.rows if row.standing == "best")

    def over(self, other: str) -> JudgedGain | None:
        """The best one's gain over `base`, `next` or `last`; None where that was not compared."""
        return next((gain for gain in self.gains if gain.over == other), None)


def verdict_over_base(judged: Judged, identical: bool) -> JudgeVerdict:
    """The decision on files, whose base model was drawn too. `identical`: base and best drew the same pictures."""
    best, base = judged.best, judged.over("base")
    assert base is not None  # it is always drawn beside files
    advice, over_next = advice_of(judged), judged.over("next")
    if over_next is not None and not over_next.proven and not {"stop here", "any of the last"} & {*advice}:
        advice.append("no difference")
    verdict = JudgeVerdict(decision="no gain", label=best.label, file=best.file, strength=best.strength, advice=advice)
    if identical:
        return verdict.model_copy(update={"decision": "changes nothing", "level": "proven", "advice": []})
    significant = base.adjusted_p <= LEVEL
    mean = base.judge.mean if base.judge else base.interval.mean
    if significant and base.interval.mean < 0 and mean <= 0:
        return verdict.model_copy(update={"decision": "worse than base", "level": _level(base)})
    if significant and base.interval.mean > 0 and mean > 0:
        return verdict.model_copy(update={"decision": "keep", "level": _level(base)})
    return verdict


def verdict_of_samples(judged: Judged) -> JudgeVerdict:
    """The decision on sample pictures, which have no base model beside them: whether the best is told from the last."""
    last = judged.over("last") or judged.over("next")
    verdict = JudgeVerdict(decision="first sight", label=judged.best.label, advice=advice_of(judged))
    if last is not None and last.proven:
        return verdict.model_copy(update={"decision": "keep", "level": _level(last)})
    return verdict.model_copy(update={"decision": "no difference"}) if last is not None else verdict


def advice_of(judged: Judged) -> list[Advice]:
    """What to do about the training: go on, stop earlier, or get more photos."""
    advice: list[Advice] = []
    open_questions = [gain.interval for gain in judged.gains if not gain.proven]
    if judged.garments < FEW_GARMENTS or any((gain.high - gain.low) / 2 > WIDE for gain in open_questions):
        advice.append("too little data")
    rows = [row for row in judged.rows if row.standing != "changes nothing"]
    if len({_place(row) for row in rows}) < 2:
        return advice
    over_next, over_last = judged.over("next"), judged.over("last")
    if _place(judged.best) == _place(rows[-1]):
        advice += ["train on"] if over_next is not None and over_next.proven else []
    elif over_last is not None:
        advice.append("stop here" if over_last.proven else "any of the last")
    return advice


def _place(row: JudgedRow) -> tuple[int | None, int | None, str]:
    return (row.step, row.epoch, row.file or row.label)


def _level(gain: JudgedGain) -> Literal["proven", "likely", "one witness"]:
    if gain.judge is None:
        return "one witness"
    same_side = gain.judge.low > 0 if gain.interval.mean > 0 else gain.judge.high < 0
    return "proven" if same_side else "likely"
