"""Three stages' reports → one report of the whole run, from the photos to the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.files import size_bytes
from ...reports.comparison import ComparisonReport, Cost, PipelineReport, PromptSummary
from ...reports.verdict_sentences import in_words
from .stages import CLASS, PROMPT

if TYPE_CHECKING:
    from ...reports.prompt import PromptReport
    from .split import Split
    from .stages import Stage

SHOWN_CAPTIONS = 6
BACKWARD = 3  # a step's forward and backward, in forwards
GUIDED = 2  # with guidance each step asks the UNet with the prompt and without


def pipeline_report(
    best: PromptReport,
    comparison: ComparisonReport,
    split: Split,
    stages: Mapping[str, Stage],
    generated: int,
    captions: Mapping[str, str],
    out: Path,
) -> PipelineReport:
    """The whole run in one report; its files are relative to `out`."""
    names = {photo.sha256: Path(photo.path).name for photo in split.training}
    shown = [(names[sha256], text) for sha256, text in captions.items() if sha256 in names]
    report = PipelineReport(
        **dict(comparison),
        split={name: [photo.path for photo in getattr(split, name)] for name in ("training", "validation", "proof")},
        prompt_route=_prompt_summary(best),
        best_strategies=best.best_strategies,
        caption_format=comparison.settings["strategy"],
        captions=dict(shown[:SHOWN_CAPTIONS]),
        generated=generated,
        costs={
            "prompt": _prompt_cost(best, comparison, stages["prompt"]),
            "training": _training_cost(comparison, stages["finetune"], out),
            "comparison": _comparison_cost(comparison, stages["compare"], out),
        },
    )
    return in_words(report)


def _prompt_summary(best: PromptReport) -> PromptSummary:
    """Its figures, and the photo that its prompts draw best."""
    first = max(best.images, key=lambda image: image.similarity_score)
    total = best.summary
    return PromptSummary(
        photos=total.photos,
        mean_minimal=total.mean_minimal,
        mean_baseline=total.mean_baseline,
        mean_similarity=total.mean_similarity,
        gain_over_minimal=total.gain_over_minimal,
        gain_over_baseline=total.gain_over_baseline,
        judge_gain_over_baseline=total.judge_gain_over_baseline,
        improved=total.improved,
        proven=total.proven,
        best_image=first.image,
        best_photo_copy=f"{PROMPT}/{first.photo_copy}",
        best_picture=f"{PROMPT}/{first.pictures['winner'][0]}" if first.pictures["winner"] else "",
        best_prompt=first.optimized_prompt,
        best_negative=first.negative_prompt,
        best_score=first.similarity_score,
        beyond_words=[image.image for image in best.images if image.beyond_words],
    )


def _prompt_cost(best: PromptReport, comparison: ComparisonReport, stage: Stage) -> Cost:
    steps = best.settings["steps"]
    return Cost(
        seconds=stage.seconds,
        pictures=best.summary.generations,
        passes=GUIDED * steps * best.summary.generations,
        memory_bytes=stage.memory_bytes,
        disk_bytes=0,
        spread=comparison.arm("words").spread,
    )


def _training_cost(comparison: ComparisonReport, stage: Stage, out: Path) -> Cost:
    training, drawn = comparison.tuned.training, len(list((out / CLASS).rglob("*.png")))
    training_passes = BACKWARD * training.steps * training.batch_size if training else 0
    return Cost(
        seconds=stage.seconds,
        pictures=drawn,
        passes=training_passes + GUIDED * comparison.settings["steps"] * drawn,
        memory_bytes=stage.memory_bytes,
        disk_bytes=comparison.tuned.bytes,
        spread=comparison.arm("tuned").spread,
    )


def _comparison_cost(comparison: ComparisonReport, stage: Stage, out: Path) -> Cost:
    return Cost(
        seconds=stage.seconds,
        pictures=comparison.pictures,
        passes=GUIDED * comparison.settings["steps"] * comparison.pictures,
        memory_bytes=stage.memory_bytes,
        disk_bytes=size_bytes(out / "images"),
    )
