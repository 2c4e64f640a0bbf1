"""The two routes and the bridge as one run: the page that reads like the sentence.

photos → the prompt route finds the best strategies → their format and samples are what the training route learns from
→ the original and the tuned model draw the same prompts on the same seeds → a verdict, on photos that neither has seen

    prompt/      the search: its report, journal, pictures       dataset/    photos and captions as they were learned
    training/    the file, checkpoints, train.json, loss.png      images/     the comparison's pictures, journal.sqlite
    report.html  the whole run, from photo to verdict                  report.json the same as data
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from ...core.errors import Stopped
from ...core.files import write_whole
from ...core.progress import Progress, ProgressCallback, silent
from ...core.state_files import json_object, read_state
from ...fashion.photos import Gathered
from ...fashion.prompts.strategies import GIVEN, form_of
from ...reports.comparison import ComparisonReport
from ...reports.comparison_page import write_verdict
from ...reports.prompt import PromptReport
from ..compare.compare import compare
from ..compare.settings import CompareSettings
from ..compare.tuned import TunedModel, open_tuned
from ..dataset_folder import GENERATED, captions_of, lay_out
from ..finetune.finetune import config_for, finetune_captioned, merged
from ..prompt.optimise import optimise_prompts
from ..prompt.settings import PromptSettings
from .class_images import draw_class
from .split import split_photos
from .stages import CLASS, DATASET, PROMPT, TRAINING, Stages

if TYPE_CHECKING:
    from ...fashion.photos import Photo
    from ...models.session import Session
    from ...reports.comparison import PipelineReport
    from ...trainer.config import TrainConfig
    from .split import Split

AGAIN = "delete stages.json beside it; the same command makes it again"
SEARCHED = 8  # photos: a form that wins on some wins on the rest
# Where nothing else is asked for. The loss on validation photos is least long before the pictures are best: of the
# embedded collection after 80 to 160 steps, where the judge sees harm; from 600 on scorer and judge see a gain. So it
# is looked at once, at the end, which keeps the last step: pictures of it chose none that the judge likes better.
TRAIN: dict[str, dict[str, Any]] = {"mini": {"steps": 600, "validation": {"every": 600, "patience": 0}}}
# The verdict draws more than a training's samples would.
UNDRAWN: dict[str, Any] = {"validation": {"pictures": 0}}
COMPARISON, CAPTIONS = "comparison.json", "captions.json"


class PipelineSettings(BaseModel):
    """Everything that decides what a run finds; its folder belongs to one of these."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: PromptSettings
    trigger: str
    bound: tuple[str, ...] | None = None  # groups that captions leave to the trigger; None: those of the vocabulary
    searched: int = SEARCHED  # photos of the training part that the search gets
    train: dict[str, Any] = {}  # of TrainConfig, nested; None means the preset's default
    with_generated: bool = False  # the base model's own pictures of the photos' words join the training
    compare: dict[str, Any] = {}  # of CompareSettings: choosing_seeds, confirm_seeds, strengths

    def train_config(self, session: Session, data: dict[str, Any]) -> TrainConfig:
        """What is trained, on the bridge's `data`."""
        folders = data.pop("folders")
        defaults = {} if "steps" in self.train else TRAIN.get(session.preset.name, {})
        defaults = merged(UNDRAWN, defaults)
        return config_for(session.preset, folders, defaults, self.train, {"data": {**data, "trigger": self.trigger}})


def run_pipeline(
    gathered: Gathered,
    session: Session,
    settings: PipelineSettings,
    out: Path,
    stage: str | None = None,
    progress: ProgressCallback = silent,
    stop: Callable[[], bool] = lambda: False,
) -> PipelineReport | None:
    """Runs all stages, or `stage` alone; returns the report once all are finished, None before.

    Killed at any instant and started again with the same settings, it does nothing twice and reports the same. Stopped
    where `stop` says so: after the picture or the training step that is under way.
    """
    from .report import pipeline_report

    split = split_photos(gathered.photos)
    with Stages(out, settings.model_dump(mode="json"), split, stage) as stages:
        searched = Gathered(split.of(split.training, gathered.photos)[: settings.searched])

        # the prompt route finds the best strategies
        stages.once(
            "prompt",
            lambda tell: optimise_prompts(searched, session, settings.prompt, out / PROMPT, _until(stop, tell, out)),
            progress,
        )
        # their format and samples are what the training route learns from
        stages.once(
            "finetune",
            lambda tell: _finetune(gathered.photos, split, session, settings, out, tell, stop),
            progress,
        )
        # the original and the tuned model draw the same prompts
        stages.once(
            "compare",
            lambda tell: _compare(gathered, split, session, settings, out, _until(stop, tell, out)),
            progress,
        )
        if not all(record.finished for record in stages.of.values()):
            return None

        # a verdict
        best, captions = _best(out), read_state(out / CAPTIONS, json_object, AGAIN)
        comparison = read_state(out / COMPARISON, ComparisonReport.model_validate, AGAIN)
        generated = len(list((out / DATASET / GENERATED).glob("*.png")))
        report = pipeline_report(best, comparison, split, stages.of, generated, captions, out)
        write_verdict(report, out, taxonomy=session.vision.taxonomy)
        return report


def _until(stop: Callable[[], bool], progress: ProgressCallback, out: Path) -> ProgressCallback:
    """`progress`, which ends the stage once `stop` says so: what is reported is kept by then."""

    def tell(report: Progress) -> None:
        progress(report)
        if stop():
            raise Stopped(
                f"stopped ({report.stage}: {report.done} of {report.total}); what is done is kept",
                where=str(out),
                to_try="the same command goes on",
            )

    return tell


def _best(out: Path) -> PromptReport:
    """What the prompt route found."""
    return read_state(out / PROMPT / "report.json", PromptReport.model_validate, AGAIN)


def _finetune(
    photos: Sequence[Photo],
    split: Split,
    session: Session,
    settings: PipelineSettings,
    out: Path,
    progress: ProgressCallback,
    stop: Callable[[], bool],
) -> None:
    best = _best(out).best_strategies
    training_data = split.of((*split.training, *split.validation), photos)
    prompt_style = best.optimal_prompt_format["strategy"]
    tags = session.vision.tagger.tag([photo.image for photo in training_data])
    taxonomy = session.vision.taxonomy
    captions = captions_of(
        training_data, tags, prompt_style, taxonomy, settings.trigger, settings.bound, settings.prompt.given_with
    )
    write_whole(out / CAPTIONS, json.dumps(captions, indent=1, ensure_ascii=False).encode())
    generated: dict[Path, str] = {}
    if settings.with_generated:
        learned = slice(len(split.training))
        generated = draw_class(
            training_data[learned],
            tags[learned],
            prompt_style,
            session,
            settings.prompt,
            out / CLASS,
            _until(stop, progress, out),
        )
        generated |= {out / PROMPT / sample.image: sample.prompt for sample in best.high_performing_samples}
    data = lay_out(training_data, captions, generated, out / DATASET)
    # The split's own: those of the smallest hashes.
    data |= {"held_out": 0.0, "held_out_least": len(split.validation), "held_out_by": "photo"}
    finetune_captioned(settings.train_config(session, data), out / TRAINING, session.vision, progress, stop)


def _compare(
    gathered: Gathered,
    split: Split,
    session: Session,
    settings: PipelineSettings,
    out: Path,
    progress: ProgressCallback,
) -> None:
    tuned = tuned_of(out)
    same_seeds = {"same_seeds": settings.prompt.same_seeds}
    fields = settings.prompt.size_and_sampling | same_seeds | settings.compare
    strategy = _best(out).best_strategies.optimal_prompt_format["strategy"]
    if form_of(strategy) in GIVEN:  # else they decide nothing that is drawn
        fields |= {"words": settings.prompt.words, "captions": settings.prompt.captions}
    compare_settings = CompareSettings.for_session(
        session, tuned, strategy=strategy, bound=settings.bound, seed=settings.prompt.seed, **fields
    )
    proof, training = (split.of(part, gathered.photos) for part in (split.proof, split.training))
    report = compare(proof, training, session, tuned, compare_settings, out, progress, gathered.skipped)
    write_whole(out / COMPARISON, (report.model_dump_json(indent=2) + "\n").encode())


def tuned_of(out: Path) -> TunedModel:
    """What the training left."""
    from ...trainer.results import LORA_FILE, MODEL_FOLDER

    lora = out / TRAINING / LORA_FILE
    return open_tuned(lora if lora.is_file() else out / TRAINING / MODEL_FOLDER)
