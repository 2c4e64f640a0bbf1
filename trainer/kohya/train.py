"""The training route through sd-scripts: the same photos, config and files; the loop is another program's.

photos + captions → cut pictures, TOML → sd-scripts → LoRA → does it change anything, will it load → file, train.json
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import InputError, Stopped
from ...core.files import make_folder, write_whole
from ...core.progress import Progress, ProgressCallback, silent
from ...core.state_files import read_state
from ..data.dataset import load_dataset
from ..loop.checkpoint import refuse_other, whole_checkpoints
from ..loop.memory_plan import first_plan
from ..model.base_model import unet_weights
from ..results import writing
from ..run import CHECKPOINTS, as_begun, config_identity, locked
from .base import KohyaBase, kohya_base, without_variant, write_tokenizers
from .engine import OURS, Engine, require_engine
from .files import datasets, toml, write_photos
from .options import SCRIPTS, Folders, ResumePoint, environ, notices_of, options, refuse
from .process import Watch
from .process import run as run_process
from .run import FILE, FOLDER, LOG, RECORD, KohyaRecord, KohyaRun

if TYPE_CHECKING:
    from ..config import TrainConfig
    from ..data.config import DataConfig
    from ..data.held_out import Garment
    from ..data.sample import Dataset, Read, Tag
    from ..results import TrainResult

BEGIN_ANEW = "use another --out: what the run had kept is not known any more"
START = Path(__file__).parent / "in_sd_scripts" / "start.py"
OURS_ALONE = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def train_with_kohya(
    config: TrainConfig,
    out: Path,
    read: Read,
    tag: Tag | None = None,
    progress: ProgressCallback = silent,
    stop: Callable[[], bool] = lambda: False,
    garment: Garment | None = None,
) -> TrainResult:
    """Trains, or goes on at the last state that sd-scripts saved in `out`; see `train` for what is handed in.

    MissingEngine where sd-scripts is not installed; InputError for what it can't be asked for, before a photo is read;
    Stopped where `stop` says so, or the machine ends it.
    """
    from .result import finish

    engine, base = require_engine(), kohya_base(config.base, config.prediction)
    refuse(config, base)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise InputError("the engine kohya runs in one process", to_try=f"start it without a launcher, or {OURS}")
    lock = locked(out)
    try:
        run = _begin(config, out, engine, base, partial(_dataset, read, tag, progress, garment), progress)
        if run.record.finished is None:
            _train(run, read, progress, stop)
        return finish(run)
    finally:
        lock.release()


def has_state(out: Path) -> bool:
    """Whether there is anything to go on with."""
    file = out / FOLDER / RECORD
    if not file.is_file():
        return False
    record = read_state(file, KohyaRecord.model_validate, BEGIN_ANEW)
    return record.state is not None or record.finished is not None


def refuse_mixed(out: Path, engine: str) -> None:
    """InputError where the folder is another engine's: neither can go on with what the other has kept."""
    other = {"kohya": bool(whole_checkpoints(out / CHECKPOINTS)), "diffusers": (out / FOLDER / RECORD).is_file()}
    if other[engine]:
        name = "diffusers" if engine == "kohya" else "kohya"
        raise InputError(
            f"this folder holds a run of the engine {name}", where=str(out), to_try=f"--engine {name}, or another --out"
        )


def _begin(
    config: TrainConfig,
    out: Path,
    engine: Engine,
    base: KohyaBase,
    load: Callable[[DataConfig], Dataset],
    progress: ProgressCallback,
) -> KohyaRun:
    notices = notices_of(config, base)
    for notice in notices:
        progress(Progress("engine", 0, 1, notice))
    progress(Progress("data", 0, 1, "reading photos and captions"))
    file = out / FOLDER / RECORD
    record = None
    if file.is_file():
        record = read_state(file, KohyaRecord.model_validate, BEGIN_ANEW)
    config = as_begun(config, record.identity if record else None)
    data = load(config.data)
    plan = first_plan(config, unet_weights(config.base), len(data.samples))
    identity = {
        "engine": f"kohya {engine.version}",
        "config": config_identity(config, set()),
        "data": data.manifest_sha256,
        "base": base.sha256,
        "precision": plan.precision,
        "batch_size": plan.batch_size,
    }
    if record:
        refuse_other(record.identity, identity, file)
    return KohyaRun(config, out, engine, base, data, plan, notices, record or KohyaRecord(identity=identity))


def _dataset(
    read: Read, tag: Tag | None, progress: ProgressCallback, garment: Garment | None, config: DataConfig
) -> Dataset:
    return load_dataset(config, read, tag, progress, garment)


def _train(run: KohyaRun, read: Read, progress: ProgressCallback, stop: Callable[[], bool]) -> None:
    record, start = run.record, ResumePoint()
    if record.state is not None:
        start = ResumePoint(record.state[0], run.folder / record.state[1])
        progress(Progress("train", start.step, run.config.steps, f"going on at step {start.step}"))
    record.starts.append(start.step)
    here = f"start-{len(record.starts)}"
    _remove_starts(run)
    with writing("what sd-scripts reads", run.folder):
        settings = _write_inputs(run, read, start, here)
    run.keep()

    def saved(step: int) -> None:
        record.state = (start.step + step, f"{here}/lora-step{step:08d}-state")
        record.losses |= watch.losses
        run.keep()
        _remove_starts(run)

    watch = Watch(start.step, run.config.steps, progress, saved)
    progress(Progress("engine", 0, 1, "starting sd-scripts"))
    command: list[str | Path] = [
        run.engine.python,
        START,
        run.engine.checkout / SCRIPTS[run.base.family],
        "--config_file",
        settings,
    ]
    code = run_process(command, run.engine.checkout, _variables(run), run.folder / LOG, watch, stop)
    _refuse_failure(run, watch, code, run.folder / here / FILE)
    record.losses |= watch.losses
    record.finished = f"{here}/{FILE}"
    run.keep()
    for name in ("photos", "tokenizers"):
        shutil.rmtree(run.folder / name, ignore_errors=True)


def _remove_starts(run: KohyaRun) -> None:
    """All but the one whose state is gone on with."""
    kept = run.record.state[1].partition("/")[0] if run.record.state else ""
    for folder in run.folder.glob("start-*"):
        if folder.name != kept:
            shutil.rmtree(folder, ignore_errors=True)


def _write_inputs(run: KohyaRun, read: Read, start: ResumePoint, here: str) -> Path:
    """Everything that sd-scripts reads; returns the file that names it all."""
    folders = Folders(
        run.folder / "datasets.toml", write_tokenizers(run.base.family, run.folder / "tokenizers"), run.folder / here
    )
    groups = write_photos(run.data.samples, run.config.data, read, run.folder / "photos")
    masked = any(sample.mask for sample in run.data.samples)
    shutil.rmtree(folders.out, ignore_errors=True)
    make_folder(folders.out)
    tables = datasets(groups, run.config.data, run.plan.micro_batch, masked)
    write_whole(folders.datasets, toml(tables).encode())
    base = without_variant(run.base, run.folder / "base")
    settings = run.folder / "run.toml"
    write_whole(settings, toml(options(run.config, base, run.plan, start, folders)).encode())
    return settings


def _variables(run: KohyaRun) -> dict[str, str]:
    """The engine's environment: its own libraries alone, no hub, lines whole and at once."""
    kept = {name: value for name, value in os.environ.items() if name not in OURS_ALONE}
    engine = {
        "PYTHONPATH": str(run.engine.checkout),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "COLUMNS": "240",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    return {**kept, **engine, **environ(run.plan.device)}


def _refuse_failure(run: KohyaRun, watch: Watch, code: int | None, file: Path) -> None:
    """What an end that is no success means; success has an exit code 0 and a file."""
    log, kept = str(run.folder / LOG), run.record.state
    again = (
        f"the same command goes on at step {kept[0]}" if kept else "the same command begins again: nothing was saved"
    )
    if watch.lost:
        raise Stopped(
            f"sd-scripts' loss is no longer finite at step {watch.first + watch.step}",
            where=log,
            to_try='a smaller learning_rate, or precision "fp32" or "bf16", and another --out',
        )
    if code is None:
        step = watch.first + watch.step
        raise Stopped(f"stopped at step {step} of {run.config.steps}", where=str(run.out), to_try=again)
    if watch.short_of_memory and code != 0:
        raise Stopped(
            "the device has too little memory for this run",
            where=log,
            to_try=f"checkpointing, or a smaller micro_batch or resolution; {again}",
        )
    if code < 0:
        raise Stopped(f"sd-scripts was ended from outside by signal {-code}", where=log, to_try=again)
    if code > 0:
        raise InputError(
            f"sd-scripts failed with exit code {code}: {watch.error or 'it did not say why'}",
            where=log,
            to_try=f"the end of that log; {OURS} does not need it",
        )
    if not file.is_file():
        raise InputError(
            "sd-scripts ended without an error and without a file", where=log, to_try="the end of that log"
        )
