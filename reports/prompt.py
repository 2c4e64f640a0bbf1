"""The report of a prompt run as data: what `report.json` holds, key by key, and how it is written."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class ReportSection(BaseModel):
    """A part of a report; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class Skipped(ReportSection):
    """A photo that could not be used, with the code of the reliability matrix."""

    path: str
    code: str  # EMPTY, NOT_IMAGE, TRUNCATED, …
    reason: str


class Interval(ReportSection):
    """A mean with its two-sided interval; on similarity's scale 0 … 1 for gains."""

    mean: float
    low: float
    high: float
    confidence: float = 0.95
    n: int


class Tried(ReportSection):
    """One strategy that was drawn: its prompt and its mean similarity over the search seeds it was given."""

    strategy: str
    prompt: str
    score: float
    seeds: list[int]


class AttributeWorth(ReportSection):
    """What a word brings (+) or costs (−) in this photo's prompt, in similarity, shrunk, with its interval."""

    attribute: str
    mean: float
    low: float
    high: float
    standing: Literal["brings", "costs", "unclear"]


class WordsReport(ReportSection):
    """What the user's own words came to, on the confirm seeds: a baseline beside the plain list."""

    text: str  # as they were given
    prompt: str  # as they were drawn, with the view words that all prompts share
    score: float
    interval: Interval  # paired gain of the candidate over them
    judge_interval: Interval | None = None
    notes: list[str] = []  # what of them was left out


class PhotoReport(ReportSection):
    """One photo's result. Scores are calibrated similarities 0 … 1, on the confirm seeds unless said."""

    image: str  # path as the user gave it
    image_sha256: str
    duplicates: list[str] = []  # further paths with the same content
    notes: list[str] = []  # what was converted on reading (CMYK, EXIF rotation, transparency …)
    tags: list[dict[str, Any]]  # {group, label, confidence}
    not_visible: list[str] = []
    optimized_prompt: str
    negative_prompt: str
    strategy: str
    similarity_score: float
    baseline_score: float  # the all_tags prompt
    minimal_score: float  # the garment's name alone
    raw_cosine: float  # mean over the confirm pictures of the winner
    # Gains are of the candidate, chosen before and whatever is recommended then. Over the baseline they are of scores
    # that are not clipped to 0 … 1; over the bare name, which draws other garments, of the scores as they are shown.
    confidence_interval: Interval  # paired gain of the candidate over the baseline
    minimal_interval: Interval  # paired gain of the candidate over minimal
    improved: bool  # that gain's interval lies above 0 and the judge's not below: the candidate is recommended
    proven: bool = False  # improved, counting that the run asks so of every photo (Holm)
    adjusted_p: float = 1.0  # Holm's, of "no gain", two-sided
    look: int = 0  # how often the photo's prompts had been confirmed before, each time on other seeds
    seeds: dict[Literal["search", "confirm"], list[int]] = {}  # the photo's own
    candidate: str = ""  # the strategy that won the search
    candidate_prompt: str = ""
    candidate_score: float = 0.0
    verdict: str  # one sentence for people
    judge_score: float | None = None  # the same pictures, by the encoder the search never saw
    judge_baseline: float | None = None
    judge_interval: Interval | None = None  # paired gain of the candidate over the baseline, as the judge sees it
    your_words: WordsReport | None = None  # None: the user gave none
    caption: str | None = None  # what the captioner says of the photo
    metric_hacking: bool = False  # the search's encoder proves a gain that the judge does not see at all
    missed: list[str] = []  # the photo's words that most of the search's first pictures did not show
    uninvited: list[str] = []  # words that most of them showed without being asked
    colour_interval: Interval | None = None  # ΔE (CIEDE2000) of candidate − baseline: below 0 its colours are nearer
    agreement: dict[str, float] = {}  # group → share of the recommended prompt's pictures that show the photo's label
    palette_delta_e: float | None = None  # CIEDE2000 between the palettes of photo and pictures, mean
    beyond_words: list[str] = []  # groups that the prompt names and the pictures miss; "look": what no word names
    generations: int  # pictures drawn for this photo
    tried: list[Tried]
    attributes: list[AttributeWorth] = []  # from the screening; empty where the budget was too small for one
    # "winner" | "baseline" | "words" | "minimal" → files relative to the report, one a confirm seed
    pictures: dict[str, list[str]]
    photo_copy: str  # the photo as it was read, relative to the report
    prompts: dict[str, str] = {}  # "winner" | "baseline" | "words" | "minimal" → prompt text


class CalibrationReport(ReportSection):
    """Anchors of the similarity.

    0 = a random garment of the same category, 100 = a second photo of the same garment.
    """

    kind: Literal["bundled", "catalogue", "generic"]
    encoder: str
    zero: float  # centred cosine that counts as 0 (median over same-category pairs)
    hundred: float  # centred cosine that counts as 100 (median over same-garment pairs)
    raw_zero: float  # the same anchors as raw cosines
    raw_hundred: float
    pairs: int
    note: str = ""


class BestSample(ReportSection):
    """A drawn picture that scorer and judge both scored high, on a confirm seed: material for training."""

    image: str
    prompt: str
    photo: str
    seed: int
    similarity_score: float
    judge_score: float


class BestStrategies(ReportSection):
    """What the training route takes over."""

    high_performing_samples: list[BestSample]
    optimal_prompt_format: dict[str, Any]  # {strategy, wins, photos, mean_gain}


class WordsSummary(ReportSection):
    """The photos with words of the user's: their scores, and the candidates' gains over them (intention to treat)."""

    photos: int
    mean_score: float
    gain: Interval
    judge_gain: Interval | None = None


class Summary(ReportSection):
    """The run in figures, each on the confirm seeds. Gains are means over all photos of what each search chose as
    candidate, adopted or not (intention to treat); of a single photo its own gain and interval, `n` counting seeds."""

    photos: int
    mean_similarity: float
    mean_baseline: float
    mean_minimal: float
    gain_over_minimal: Interval  # over garments
    gain_over_baseline: Interval
    judge_gain_over_baseline: Interval | None = None  # as the judge sees the same pictures; None without a judge
    colour_change_over_baseline: Interval | None = None  # ΔE, CIEDE2000; below 0 the colours are nearer the photo's
    your_words: WordsSummary | None = None  # None: no photo had any
    improved: int  # photos whose own interval says so
    proven: int = 0  # photos of which the run as a whole proves it: any false one among them in at most 5 % of runs
    worse: int = 0  # photos of which it proves a loss
    generations: int
    elapsed_s: float
    seconds_per_photo: float


class PromptReport(ReportSection):
    """`report.json` of `harness.py prompt`."""

    version: str
    created: str  # ISO 8601, UTC
    preset: str
    host: dict[str, Any]
    settings: dict[str, Any]  # steps, cfg_scale, sampler, width, height, budget, seed
    seeds: dict[Literal["search", "confirm"], list[int]]
    calibration: CalibrationReport
    judge: CalibrationReport | None = None
    learned_from: int = 0  # photos of earlier runs that this one began with
    best_strategies: BestStrategies
    summary: Summary
    images: list[PhotoReport]
    skipped: list[Skipped] = Field(default_factory=list)
