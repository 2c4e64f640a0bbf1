"""What sd-scripts' file becomes: proven to change something and to load everywhere, with our metadata, and train.json.

Its exit code says little: it ends with 0 after a run whose weights never moved.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...core.files import write_whole
from ..loop.loss_curve import draw_curve
from ..loop.validation import Validation
from ..lora.file import read_lora, write_lora
from ..lora.verify import verify
from ..results import CURVE, LORA_FILE, RECORD, TrainResult, metadata_of, photos_in, writing

if TYPE_CHECKING:
    from ..lora.metadata import LoraMetadata
    from ..lora.state import AdapterState
    from .run import KohyaRun

REASON = "the last step: the engine kohya looks at no photos held out"


def finish(run: KohyaRun) -> TrainResult:
    """Writes the file, train.json and the curve. InputError for a LoRA that changes nothing, holds NaN, or that one of
    the readers would not apply whole; then nothing stands in the place of the result."""
    assert run.record.finished is not None  # set once sd-scripts has written its file
    lora = read_lora(run.folder / run.record.finished)
    record = _record(run, lora)
    file, checked = run.out / LORA_FILE, run.folder / LORA_FILE
    curve = io.BytesIO()
    losses = [run.record.losses[step] for step in sorted(run.record.losses)]
    draw_curve(losses, Validation(), run.config.title).save(curve, "PNG", optimize=True)
    with writing("the result", run.out):
        write_lora(lora, checked, {**_theirs(lora), **_metadata(run).strings()})
        for report in verify(checked):
            if not report.ok:
                why = "; ".join((*report.notes, f"{report.applied} of {report.modules} modules"))
                raise InputError(f"{report.reader} would not apply sd-scripts' LoRA whole: {why}", where=str(checked))
        checked.replace(file)
        write_whole(run.out / RECORD, json.dumps(record, indent=1, allow_nan=False).encode())
        write_whole(run.out / CURVE, curve.getvalue())
    return TrainResult(file, record)


def _theirs(lora: AdapterState) -> dict[str, str]:
    """sd-scripts' own metadata; of what it did not know it writes the word None."""
    return {key: value for key, value in lora.metadata.items() if key.startswith("ss_") and value != "None"}


def _metadata(run: KohyaRun) -> LoraMetadata:
    config, visits = run.config, sum(sample.repeats for sample in run.data.samples)
    return metadata_of(
        config,
        run.data,
        run.plan,
        family=run.base.family,
        base_model=run.base.name,
        base_hash=run.base.sha256,
        prediction_type=run.base.prediction,
        steps=config.steps,
        epochs=-(-config.steps * run.plan.batch_size // max(1, visits)),
        reason=REASON,
    )


def _record(run: KohyaRun, lora: AdapterState) -> dict[str, Any]:
    """train.json, with the own engine's keys."""
    untouched = sum(module.changes_nothing for module in lora.modules)
    return {
        "config": run.config.model_dump(mode="json"),
        "engine": {
            "name": "kohya",
            "version": run.engine.version,
            "notices": run.notices,
            "starts": run.record.starts,
            "modules": len(lora.modules),
            "untouched": untouched,
        },
        "plan": run.plan.model_dump(mode="json"),
        "base": {"name": run.base.name, "family": run.base.family, "sha256": run.base.sha256},
        "photos": photos_in(run.data),
        "steps": run.config.steps,
        "running_losses": {str(step): round(loss, 6) for step, loss in sorted(run.record.losses.items())},
        "validation": [],
        "best_step": run.config.steps,
        "gain": None,
        "reason": REASON,
    }
