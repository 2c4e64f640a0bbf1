"""What a finished run leaves: the file with its metadata, train.json, the loss curve."""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import Stopped
from ..core.files import make_folder, write_whole
from ..core.progress import ProgressCallback, silent
from .choosing import ChosenStep, choose
from .loop.choice import gain_as_json
from .loop.loss_curve import draw_curve
from .run import STEP_FILES

if TYPE_CHECKING:
    from .config import TrainConfig
    from .data.sample import Dataset
    from .loop.memory_plan import Plan
    from .loop.validation import Validation, ValidationResult
    from .lora.metadata import LoraMetadata
    from .run import TrainingRun

LORA_FILE, MODEL_FOLDER = "fashion_lora_weights.safetensors", "fashion_sd_model"
RECORD, CURVE = "train.json", "loss.png"
# Of this machine, not of the run: left out of a file that is shared.
WHERE_FILES_LIE: Any = {
    "from_lora": True,
    "data": {"folders", "folder_settings", "masks", "prior_folder"},
    "validation": {"prompts_file"},
}


@dataclass
class TrainResult:
    """What a finished run leaves."""

    file: Path
    record: dict[str, Any]


@contextmanager
def writing(what: str, where: Path) -> Iterator[None]:
    """Inside `with`, a disk that is full or gone is Stopped: what is whole stays, and the same command goes on."""
    try:
        yield
    except OSError as error:
        raise Stopped(
            f"{what} can't be written: {error.strerror or error}",
            where=str(where),
            to_try="make room there; the same command goes on from the last whole checkpoint",
        ) from error


def finish(run: TrainingRun, progress: ProgressCallback = silent) -> TrainResult:
    """Chooses the step, writes its file, looks for signs of overfitting, writes train.json and the curve."""
    chosen = choose(run, progress)
    record = _record(run, chosen)
    file = run.folder / (LORA_FILE if run.config.method == "lora" else MODEL_FOLDER)
    if run.main:
        with writing("the result", run.folder):
            checkpoint = _export(run, file, _metadata(run, chosen.step, chosen.reason))
            record["checkpoint_file"] = checkpoint.name if checkpoint else None
            if run.samples:
                record["overfitting"] = run.samples.signs(run.model, progress)
            write_whole(run.folder / RECORD, json.dumps(record, indent=1, allow_nan=False).encode())
            curve = io.BytesIO()
            draw_curve(run.loop.losses, run.loop.validation, run.config.title, chosen.step).save(
                curve, "PNG", optimize=True
            )
            write_whole(run.folder / CURVE, curve.getvalue())
    return TrainResult(file, record)


def step_file(step: int) -> str:
    """The file of a step in a run's folder, by the name that sd-scripts gives it: hosts and `judge` read the step."""
    name = Path(LORA_FILE)
    return f"{STEP_FILES}/{name.stem}-step{step:08d}{name.suffix}"


def keep_step_file(run: TrainingRun) -> None:
    """Writes the LoRA as it is now beside the result, averaged where the run averages; the same step's is replaced."""
    step, every = run.loop.step, run.config.files_every
    file = run.folder / step_file(step)
    if run.main:
        with writing(f"the file of step {step}", run.folder), run.optimization.ema_weights():
            make_folder(file.parent)
            metadata = _metadata(run, step, f"step {step}: a file was kept every {every} steps")
            _write_lora(run, file, metadata, allow_zero=True)  # of steps that were all skipped: the run goes on
    run.loop.files = sorted({*run.loop.files, step})


def _export(run: TrainingRun, file: Path, metadata: LoraMetadata) -> Path | None:
    """Writes the result; returns the one file that hosts take of a full fine-tune, where there is one."""
    if run.config.method == "full":
        from .model.export import write_model

        return write_model(run.model.base, file, metadata.checkpoint_strings())
    _write_lora(run, file, metadata)
    return None


def _write_lora(run: TrainingRun, file: Path, metadata: LoraMetadata, allow_zero: bool = False) -> None:
    from .lora.file import write_lora
    from .lora.peft_layers import collect

    trained = run.model.base.parts if run.config.network.text_rank else {"unet": run.model.base.unet}
    write_lora(collect(trained, run.model.base.family), file, metadata.strings(), allow_zero=allow_zero)


def _metadata(run: TrainingRun, step: int, reason: str) -> LoraMetadata:
    network, trained_on = run.config.network, [sample for sample in run.data.samples if not sample.prior]
    return metadata_of(
        run.config,
        run.data,
        run.plan,
        family=run.model.base.family,
        base_model=run.model.base.name,
        base_hash=run.model.base.sha256,
        prediction_type=run.gradient.loss.diffusion.prediction,
        kind=network.kind,
        dora=network.dora,
        rslora=network.rslora,
        steps=step,
        epochs=-(-run.loop.consumed // max(1, sum(sample.repeats for sample in trained_on))),
        reason=reason,
        thumbnail=_thumbnail(run.samples.best_of(step) if run.samples else None),
    )


def _thumbnail(picture: Path | None) -> str:
    """What programs show in their lists of LoRAs."""
    from PIL import Image

    from .lora.metadata import thumbnail_url

    if picture is None:
        return ""
    with Image.open(picture) as image:
        return thumbnail_url(image)


def metadata_of(config: TrainConfig, data: Dataset, plan: Plan, **made: Any) -> LoraMetadata:
    """What a file says of its config and its photos, whichever engine has `made` it."""
    from .lora.metadata import BucketCount, DatasetFolder, LoraMetadata

    network, trained_on = config.network, [sample for sample in data.samples if not sample.prior]
    buckets = Counter(sample.bucket for sample in trained_on)
    tags = Counter(
        part.strip() for sample in trained_on for part in sample.caption.split(config.data.caption_separator)
    )
    return LoraMetadata(
        title=config.title,
        trigger=config.data.trigger,
        tag_frequency=dict(tags),
        folders=tuple(
            DatasetFolder(name=folder.name or "photos", count=len(trained_on), repeats=config.data.repeats)
            for folder in config.data.folders[:1]
        ),
        resolution=(config.data.resolution, config.data.resolution),
        buckets=tuple(BucketCount(width=b.width, height=b.height, count=n) for b, n in buckets.items()),
        images=len(trained_on),
        validation_images=len(data.held_out),
        rank=network.rank,
        alpha=network.alpha,
        conv_rank=network.conv_rank,
        conv_alpha=network.conv_alpha or network.conv_rank,
        planned_steps=config.last_step,
        batch_size=plan.batch_size,
        learning_rate=config.learning_rate,
        text_learning_rate=(config.text_learning_rate or config.learning_rate / 2) if network.text_rank else None,
        optimizer=config.optimizer,
        schedule=config.schedule,
        seed=config.seed,
        clip_skip=config.clip_skip,
        precision=plan.precision,
        min_snr_gamma=config.loss.min_snr_gamma,
        noise_offset=config.loss.noise_offset,
        finished=time.time(),
        description=config.notes,
        config=config.model_dump(mode="json", exclude=WHERE_FILES_LIE),
        **made,
    )


def photos_in(data: Dataset) -> dict[str, Any]:
    """What train.json says of the photos; `prior` ones are pictures of the class."""
    return {
        "training": sum(not sample.prior for sample in data.samples),
        "prior": sum(sample.prior for sample in data.samples),
        "held_out": [str(sample.path) for sample in data.held_out],
        "skipped": [{"path": str(s.path), "code": s.code, "reason": s.reason} for s in data.skipped],
        "notes": list(data.notes),
    }


def _record(run: TrainingRun, chosen: ChosenStep) -> dict[str, Any]:
    """train.json."""
    validation = run.loop.validation
    result = next((result for result in validation.results if result.step == chosen.step), None)
    return {
        "config": run.config.model_dump(mode="json"),
        "plan": run.plan.model_dump(mode="json"),
        "notices": run.gradient.loss.diffusion.notices(run.config.loss),
        "cut_captions": run.model.cut_captions,  # longer than data.caption_tokens: their ends are not seen
        "arithmetic": run.loop.arithmetic,  # equality to the bit ends where it changes
        "versions": run.loop.versions,  # and where these do, by --accept-versions
        "base": {"name": run.model.base.name, "family": run.model.base.family, "sha256": run.model.base.sha256},
        "photos": photos_in(run.data),
        "steps": run.loop.step,
        "skipped_steps": run.loop.step - len(run.loop.losses),  # without a finite gradient
        "losses": [round(loss, 6) for loss in run.loop.losses],
        "validation": [_validation_row(validation, result) for result in validation.results],
        "best_step": chosen.step,
        "gain": gain_as_json(validation.gain(result)) if result else None,  # by loss
        "reason": chosen.reason,
        "choice": chosen.record,
        "files": [{"step": step, "file": step_file(step)} for step in run.loop.files],  # of files_every
        "samples": run.samples.taken if run.samples else [],
        "checkpoint_file": None,  # what hosts take of a full fine-tune of a published size
        "overfitting": None,  # looked for where pictures are drawn
    }


def _validation_row(validation: Validation, result: ValidationResult) -> dict[str, Any]:
    row: dict[str, Any] = {"step": result.step, "loss": result.mean, "gain": gain_as_json(validation.gain(result))}
    if result.pictures:
        gains = {name: gain_as_json(validation.picture_gain(result, name)) for name in ("similarity", "judge")}
        row["pictures"] = {
            "similarity": result.pictures.mean,
            "judge": result.pictures.judge_mean,
            **result.pictures.means,
            "gain": gains["similarity"],
            "judge_gain": gains["judge"],
        }
    return row
