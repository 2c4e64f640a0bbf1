"""The report of a judgement over many tuned models, or over the sample pictures that a training left, as data."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .prompt import CalibrationReport, Interval, ReportSection, Skipped

Standing = Literal["best", "finalist", "stopped", "eliminated", "judged", "changes nothing"]
Advice = Literal["train on", "stop here", "any of the last", "no difference", "too little data"]


class JudgedTraits(ReportSection):
    """What pictures show of their photos, and how that differs from the base model's: over garments, each interval by
    itself. None, or a group that is missing: below two garments, or nothing to measure."""

    pictures: int
    attributes: dict[str, float]  # group → share of the pictures that show the photo's labels
    attribute_changes: dict[str, Interval] = {}
    colour_delta_e: float | None  # mean ΔE2000 of the palettes; None: no garment's pixels were found
    colour_change: Interval | None = None  # below 0 is nearer to the photo
    retrieval: float | None  # R@1: share whose nearest photo of the catalogue shows their garment
    retrieval_change: Interval | None = None


class RetrievalGain(ReportSection):
    """R@1 by one encoder, which needs no calibration."""

    by: Literal["scorer", "judge"]
    encoder: str
    best: float
    base: float
    change: Interval | None


class JudgedCatalogue(ReportSection):
    """Whether pictures are nearest to their own garment among all of a catalogue's photos."""

    photos: int
    garments: int
    chance: float  # what a picture of nothing would have
    retrieval: list[RetrievalGain]


class JudgedRow(ReportSection):
    """One candidate: a file at a strength, or a step of a training by its sample pictures."""

    label: str
    file: str = ""  # the LoRA; empty where only its pictures were seen
    identity: str = ""  # digest of the weights
    step: int | None = None
    epoch: int | None = None
    strength: float | None = None
    # best | finalist: drawn on every block | stopped: in the weaker half when a round ended | eliminated: proven worse
    # than the leading one, corrected for all of them | judged: sample pictures, all of which were there | changes
    # nothing: the host draws the same picture with it as without it
    standing: Standing
    reason: str = ""  # why it was set aside
    pictures: int
    similarity: float | None  # mean, 0 … 1; None: no picture of it was compared
    judge: float | None
    similarity_interval: Interval | None = None  # of that mean, over garments or prompts; None of a single one
    judge_interval: Interval | None = None
    # The best one's gain over it on the pictures that both have; each interval so wide that all of them hold at once.
    best_over_it: Interval | None = None
    judge_best_over_it: Interval | None = None
    traits: JudgedTraits | None = (
        None  # of best, next and last on the proof's seeds, of the others on the choosing ones
    )
    files: list[str] = []  # its pictures relative to the report, block by block


class JudgedGain(ReportSection):
    """What the best one gains over another, on seeds that chose nothing: corrected for their number (Holm)."""

    over: Literal["base", "next", "last"]
    label: str
    interval: Interval
    judge: Interval | None
    adjusted_p: float
    proven: bool  # by the score, corrected, and the judge proves no loss


class JudgedReference(ReportSection):
    """A photo that pictures were compared with."""

    image: str
    garment: str
    photo_copy: str
    prompt: str = ""


class JudgedCost(ReportSection):
    """What the best one costs; None where it was not drawn for that."""

    adherence: float | None = None  # share of the photo's tags that pictures without the trigger show
    base_adherence: float | None = None  # the same by the base model
    adherence_change: Interval | None = None
    copies: float | None = None  # share of its pictures as like a training photo as a second photo of it
    diversity: float | None = None  # 1 − mean similarity of two pictures of one prompt
    base_diversity: float | None = None


class JudgeVerdict(ReportSection):
    """Which one to keep, how sure that is, and what to do next."""

    decision: Literal["keep", "no gain", "worse than base", "changes nothing", "no difference", "first sight"]
    level: Literal["proven", "likely", "one witness"] | None = None
    label: str  # of the one that came out best
    file: str = ""
    strength: float | None = None
    advice: list[Advice] = []
    sentence: str = ""
    next_steps: list[str] = []


class JudgeReport(ReportSection):
    """`report.json` of `modiste judge`."""

    version: str
    created: str  # ISO 8601, UTC
    kind: Literal["files", "samples"]
    preset: str
    host: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    calibration: CalibrationReport
    scorer_judge: CalibrationReport | None  # the second model; None: there is none
    references: list[JudgedReference]
    rows: list[JudgedRow]  # in the order of the training
    gains: list[JudgedGain] = []
    base: JudgedTraits | None = None  # the base model on the proof's seeds
    catalogue: JudgedCatalogue | None = None
    cost: JudgedCost = JudgedCost()
    verdict: JudgeVerdict
    pictures: int  # drawn, or read
    full_grid: int  # what every candidate on every block would have taken
    unpaired: int = 0  # sample pictures whose prompt or seed nobody knows
    trained_on: int = 0  # photos that were given and left out: a candidate was trained on them
    notes: list[str] = []
    skipped: list[Skipped] = Field(default_factory=list)

    def row(self, label: str) -> JudgedRow:
        """The row of that label."""
        return next(row for row in self.rows if row.label == label)
