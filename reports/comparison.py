"""The report of a comparison as data: what `report.json` holds of `compare` and of `pipeline`, and how it is written.

Similarities and gains are calibrated, 0 … 1; gains are paired, picture by picture, and their intervals count garments.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .prompt import BestStrategies, CalibrationReport, Interval, ReportSection, Skipped

ArmName = Literal["name", "words", "base", "tuned", "tuned_words"]
By = Literal["scorer", "judge", "agreement"]


class Arm(ReportSection):
    """One way to draw, on the seeds that chose nothing.

    name: the base model, the garment's name alone · words: the base model, the best prompt · base: the base model, the
    tuned one's own prompt · tuned: the tuned model with its trigger · tuned_words: the tuned model, the words' prompt.
    """

    name: ArmName
    strength: float | None = None  # of the LoRA; None: the base model, or a whole tuned model
    similarity: float
    judge: float | None
    agreement: dict[str, float]  # group → share of the pictures that show the photo's label
    adherence: float  # mean of these over photos
    spread: float  # standard deviation of the similarity over seeds, mean over photos
    pictures: int


class Gain(ReportSection):
    """What `arm` has over `over`; by the scorer, the judge, or the share of tags that a tagger finds again."""

    arm: ArmName
    over: ArmName
    by: By
    group: str | None = None  # of `agreement`; None: all groups
    interval: Interval


class Strength(ReportSection):
    """The tuned model's own prompts at one strength, on the seeds that choose it; 0 is the base model."""

    strength: float
    similarity: float
    judge: float | None


class ProofPhoto(ReportSection):
    """A photo that neither the search nor the training has seen."""

    image: str
    image_sha256: str
    garment: str
    photo_copy: str
    tags: list[dict[str, Any]]  # {group, label, confidence}
    prompts: dict[str, str]  # arm → prompt
    similarity: dict[str, float]  # arm → mean over seeds
    judge: dict[str, float]
    pictures: dict[str, list[str]]  # arm → files relative to the report, one a confirm seed
    strengths: dict[str, list[str]]  # strength → files, one a choosing seed


class Memorisation(ReportSection):
    """How near pictures come to the nearest photo that was trained on, in similarity; a person looks at the pair."""

    training_photos: int
    tuned: float  # mean over pictures
    base: float
    photos: float  # the proof photos themselves: what an unseen garment of this collection has
    copies: float  # share of the tuned pictures like a second photo of a training garment, and not of their own
    nearest: float  # the nearest of all tuned pictures
    picture: str  # that one, relative to the report
    photo_copy: str


class Diversity(ReportSection):
    """1 − mean similarity of two pictures of one prompt on two seeds."""

    tuned: float
    base: float


class Training(ReportSection):
    """What is known of how the tuned model was made."""

    photos: int
    steps: int
    best_step: int
    batch_size: int
    learning_rate: float
    gain: Interval | None = None  # in the loss on validation photos
    reason: str
    losses: list[float]  # running mean, thinned
    validation: list[dict[str, float]]  # {step, mean, low, high}: gain over the base model's loss


class TunedModelReport(ReportSection):
    """The file that is compared with the model that it changes."""

    kind: Literal["lora", "model"]
    file: str
    identity: str  # digest of the weights
    bytes: int
    trigger: str
    training: Training | None = None


class ProvenLoss(ReportSection):
    """An interval that lies below 0: `arm` is worse than `over`, as `by` sees it."""

    arm: ArmName
    over: ArmName
    by: Literal["scorer", "judge"]
    interval: Interval


class Verdict(ReportSection):
    """What to use, by the one rule of search/route_decision.py, and how sure that is: `proven` where the scorer's and
    the judge's whole intervals agree, `likely` where the judge's mean points the same way, `one witness` where there is
    no judge; None where nothing is claimed. `losses` are all that are proven, whatever the decision."""

    decision: Literal["training", "words", "no difference", "worse than words", "worse than base", "changes nothing"]
    level: Literal["proven", "likely", "one witness"] | None = None
    losses: list[ProvenLoss] = []
    words: bool  # the words paid: proven better than the garment's name alone
    judged: bool  # there was a second opinion
    strength: float | None  # recommended
    attributes: list[str]  # groups that training draws more often
    lost: list[str]  # groups that it draws less often
    word_attributes: list[str]  # groups that the words draw more often than the name alone
    look: bool  # the gain is not, or not only, in what tags name
    adherence: Literal["kept", "lost", "unclear"]  # without the trigger
    leaks: bool  # without the trigger the pictures are nearer to the collection too
    sentence: str
    cost: str
    next_steps: list[str]


class Cost(ReportSection):
    """What one route took, as measured in this run; None where nobody measured."""

    seconds: float | None = None
    pictures: int = 0  # drawn
    passes: int = 0  # through the UNet; a training step's backward counts as two more
    memory_bytes: int | None = None  # peak of the process, and of the card where there is one
    disk_bytes: int | None = None  # what stays
    spread: float = 0.0  # of the similarity over seeds


class ComparisonReport(ReportSection):
    """`report.json` of `harness.py compare`."""

    version: str
    created: str  # ISO 8601, UTC
    preset: str
    host: dict[str, Any]
    settings: dict[str, Any]
    seeds: dict[Literal["choose", "confirm"], list[int]]
    calibration: CalibrationReport
    judge: CalibrationReport | None
    tuned: TunedModelReport
    arms: list[Arm]
    gains: list[Gain]
    strengths: list[Strength]
    images: list[ProofPhoto]
    diversity: Diversity
    memorisation: Memorisation | None  # None where the photos that were trained on are not known
    verdict: Verdict
    pictures: int
    elapsed_s: float
    notes: list[str] = []
    skipped: list[Skipped] = Field(default_factory=list)

    def arm(self, name: ArmName) -> Arm:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    def gain(self, arm: ArmName, over: ArmName, by: By, group: str | None = None) -> Interval | None:
        """The gain of that name; None where nobody judged."""
        key = (arm, over, by, group)
        return next((g.interval for g in self.gains if (g.arm, g.over, g.by, g.group) == key), None)


class PromptSummary(ReportSection):
    """The prompt route in a few figures; its own report lies in the folder `prompt`."""

    photos: int
    mean_minimal: float
    mean_baseline: float
    mean_similarity: float
    gain_over_minimal: Interval
    gain_over_baseline: Interval
    judge_gain_over_baseline: Interval | None = None
    improved: int
    proven: int = 0
    best_image: str  # the photo whose prompt draws it best
    best_photo_copy: str
    best_picture: str
    best_prompt: str
    best_negative: str
    best_score: float
    beyond_words: list[str]


class PipelineReport(ComparisonReport):
    """`report.json` of `harness.py pipeline`: from the photos to the verdict."""

    split: dict[Literal["training", "validation", "proof"], list[str]]
    prompt_route: PromptSummary
    best_strategies: BestStrategies
    caption_format: str
    captions: dict[str, str]  # photo → caption, a few
    generated: int  # pictures of the class that joined the training
    costs: dict[Literal["prompt", "training", "comparison"], Cost]
