"""`run.html`: a training as one self-contained page, which a browser reads again for as long as it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from . import charts
from .prompt_page import both
from .prompt_texts import LANGUAGES
from .templates import page_environment
from .thumbnails import Thumbnail, thumbnail

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATE = "training_page.html.j2"
RELOAD_S = 10
SIDE = 192  # pixels of a sample's longer side
MOST_POINTS = 200  # of the loss: each the mean of as many steps as that takes
STEPS_SHOWN = 12  # validations with samples: the newest

# key → (English, Traditional Chinese).
TEXT: dict[str, tuple[str, str]] = {
    "training": ("Training: step {step} of {total}.", "訓練中：第 {step} 步，共 {total} 步。"),
    "finished": ("Finished at step {step}.", "已於第 {step} 步完成。"),
    "stopped": (
        "Stopped at step {step} of {total}; the same command goes on.",
        "停在第 {step} 步，共 {total} 步；同一指令可繼續。",
    ),
    "loss": ("Training loss", "訓練損失"),
    "held_out": ("Better on held-out photos, by loss", "保留照片上的進步（以損失計）"),
    "pictures": ("Held-out garments in few steps: alike, of 100", "保留的服裝，以少步數繪製：相似度（滿分 100）"),
    "by_score": ("score", "分數"),
    "by_judge": ("judge", "評審"),
    "no_validation": ("Nothing was validated yet.", "尚未驗證。"),
    "samples": ("Samples by step", "各步的樣張"),
    "picture_missing": ("picture missing", "找不到圖片"),
    "choices": ("What was chosen", "採用的設定"),
    "similarity": ("similarity {score} of 100", "相似度 {score} 分（滿分 100）"),
    "written": ("Written at {time}.", "寫入時間 {time}。"),
}

# Choice of a run, as its config names it → its name in Traditional Chinese.
CHOICES = {
    "base": "基礎模型",
    "method": "方法",
    "steps": "步數",
    "optimizer": "最佳化器",
    "trigger": "觸發詞",
    "seed": "種子",
    "device": "裝置",
    "precision": "數值格式",
    "batch_size": "批次大小",
    "micro_batch": "同時計算的張數",
    "checkpointing": "梯度檢查點",
    "reasons": "理由",
}

# What chose the step → the choice in Traditional Chinese.
CHOSEN = {
    "loss": "第 {step} 步在保留照片上的損失最低。",
    "pictures": "依保留服裝的圖片，採用第 {step} 步。",
    "last": "採用最後一步，即第 {step} 步。",
}


@dataclass(frozen=True)
class SampleRow:
    """A picture that was drawn at a step; `file` lies in the run's folder. `similarity` 0 … 1; None: not judged."""

    step: int
    file: str
    prompt: str = ""
    similarity: float | None = None


@dataclass(frozen=True)
class GainRow:
    """A validation: how much better than the start the held-out photos' loss is, with its interval."""

    step: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class PictureRow:
    """What a validation's pictures of held-out garments come to, 0 … 1; `judge` is None where there is none."""

    step: int
    similarity: float
    judge: float | None = None


@dataclass
class TrainingStory:
    """What a page tells of a run: `state` is training, finished or stopped."""

    title: str
    state: str = "training"
    step: int = 0
    total: int = 0
    losses: list[tuple[float, float]] = field(default_factory=list)  # step, loss
    gains: list[GainRow] = field(default_factory=list)
    pictures: list[PictureRow] = field(default_factory=list)  # empty where they do not choose
    samples: list[SampleRow] = field(default_factory=list)
    choices: Mapping[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    reason: str = ""  # why the file that is kept is the best
    best_step: int | None = None
    chosen_by: str = "loss"  # pictures | loss | last
    written: str = ""  # when, for people


def render_training(story: TrainingStory, folder: Path, language: str = "en") -> str:
    """The page as text; sample pictures are read from `folder`, a missing one leaves a gap."""
    from markupsafe import Markup

    return (
        page_environment()
        .get_template(TEMPLATE)
        .render(
            story=story,
            rows=_rows(story.samples, folder),
            loss_chart=Markup(_loss_chart(story)),
            picture_chart=_picture_chart(story) if story.pictures else "",
            gain_chart=Markup(_gain_chart(story)) if story.gains else "",
            t=_say,
            caption=_caption,
            name=_name,
            reason=_reason(story),
            language=language,
            languages=LANGUAGES,
            every_s=RELOAD_S,
        )
    )


def thinned(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """At most `most` points, each the mean of neighbours: a curve of thousands of steps stays small and readable."""
    count = min(most, len(points))
    edges = [index * len(points) // count for index in range(count + 1)] if count else []
    parts = [points[first:last] for first, last in zip(edges, edges[1:], strict=False)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]


def _loss_chart(story: TrainingStory) -> str:
    line = charts.Curve("loss", thinned(story.losses))
    return charts.curves("loss", [line], lambda value: f"{value:.3g}", story.best_step, _ticks(story))


def _gain_chart(story: TrainingStory) -> str:
    line = charts.Curve(
        "gain",
        [(row.step, row.mean) for row in story.gains],
        [row.low for row in story.gains],
        [row.high for row in story.gains],
    )
    return charts.curves("gain", [line], lambda value: f"{value:+.2g}", story.best_step, _ticks(story))


def _picture_chart(story: TrainingStory) -> Markup:
    def drawn(language: str) -> Markup:
        from markupsafe import Markup

        place = list(LANGUAGES).index(language)
        lines = [charts.Curve(TEXT["by_score"][place], [(row.step, row.similarity) for row in story.pictures])]
        judged = [(row.step, row.judge) for row in story.pictures if row.judge is not None]
        if judged:
            lines.append(charts.Curve(TEXT["by_judge"][place], judged))
        return Markup(charts.curves("pictures", lines, charts.points, story.best_step, _ticks(story)))

    return both(drawn)


def _ticks(story: TrainingStory) -> list[float]:
    return [0, story.step] if story.step else []


def _rows(samples: Sequence[SampleRow], folder: Path) -> list[tuple[int, list[tuple[SampleRow, Thumbnail | None]]]]:
    steps = sorted({sample.step for sample in samples}, reverse=True)[:STEPS_SHOWN]
    by_step = {step: [sample for sample in samples if sample.step == step] for step in steps}
    return [(step, [(row, thumbnail(folder, row.file, SIDE)) for row in rows]) for step, rows in by_step.items()]


def _caption(sample: SampleRow) -> Markup | str:
    if sample.similarity is None:
        return sample.prompt
    return _say("similarity", score=f"{100 * sample.similarity:.0f}")


def _reason(story: TrainingStory) -> Markup | str:
    """The trainer's sentence, which is in English; in Chinese what it comes to, where a step was chosen."""
    if not story.best_step:
        return story.reason
    chinese = CHOSEN[story.chosen_by].format(step=story.best_step)
    return both(lambda language: chinese if language == "zh-TW" else story.reason)


def _name(choice: str) -> Markup | str:
    """A choice's name in both languages; one that is not known here stays as it is."""
    chinese = CHOICES.get(choice)
    return both(lambda language: chinese if language == "zh-TW" else choice) if chinese else choice


def _say(key: str, **values: object) -> Markup:
    from markupsafe import Markup

    texts = dict(zip(LANGUAGES, TEXT[key], strict=True))
    return both(lambda language: Markup(texts[language]).format(**values))
