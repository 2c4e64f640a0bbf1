"""`modiste finetune`: the training route over folders of photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .choices import choose_preset, groups_of
from .exit_codes import EXIT_OK, EXIT_SKIPS
from .launch import first_process, launched, require_cards, run_in_processes
from .option_groups import DatasetOptions, DeliveryOptions, GoingOnOptions, TrainOptions, with_option_groups
from .options import AsJson, CaptionBind, Checkpoint, Choose, Device, FilesEvery, Gpus, Prediction, PresetName
from .terminal import Display, print_json, say

if TYPE_CHECKING:
    from ..trainer.results import TrainResult


@with_option_groups
def finetune(
    photos: Annotated[
        list[Path], typer.Argument(help="Folders of photos, or a dataset TOML of sd-scripts.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder for the file, the checkpoints and train.json.")],
    *,
    preset: PresetName = None,
    training: TrainOptions,
    engine: Annotated[str, typer.Option(help="diffusers (our own) | kohya (sd-scripts; LoRA only).")] = "diffusers",
    steps: Annotated[int | None, typer.Option(help="Optimizer updates.", min=1)] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Pictures an update.", min=1)] = None,
    choose: Choose = None,
    files_every: FilesEvery = None,
    dataset: DatasetOptions,
    bind: CaptionBind = None,
    checkpoint: Checkpoint = None,
    prediction: Prediction = None,
    seed: Annotated[int | None, typer.Option(help="Every random choice follows from it.", min=0)] = None,
    going_on: GoingOnOptions,
    delivery: DeliveryOptions,
    log: Annotated[
        list[str] | None,
        typer.Option(help="A tracker of accelerate's: tensorboard | wandb | mlflow | …; several.", show_default=False),
    ] = None,
    gpus: Gpus = 1,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """Train a LoRA or the whole UNet on photos of a brand; choose the best checkpoint by photos held out."""
    from ..fashion.taxonomy import load_taxonomy
    from ..models.presets import require_weights
    from ..routes.finetune.finetune import config_for, dataset_file, refuse_engine, refuse_fresh
    from ..routes.finetune.finetune import finetune as train
    from .stop_signals import stopping

    refuse_engine(engine)
    chosen = choose_preset(preset, checkpoint=checkpoint, prediction=prediction)
    if checkpoint is None:
        require_weights(chosen, "checkpoint")
    file = dataset_file(photos)
    for note in file.notes if file else ():
        say(note)
    asked = training.as_fields(steps, seed, device) | going_on.as_fields()
    asked |= {"validation": dataset.validation_fields() | {"choose": choose}}
    asked |= {"batch_size": batch, "data": dataset.as_fields(), "log": log or None}
    asked |= {"files_every": files_every}
    settings = config_for(chosen, photos, training.from_file(), asked)
    delivery.refuse_full(settings.method)
    if going_on.resume:
        refuse_fresh(out)
    bound = groups_of(bind, load_taxonomy(chosen.taxonomy))
    if gpus > 1 and not launched():
        refuse_together(gpus, engine, device)
        return run_in_processes(gpus, out)
    with Display(quiet=json or not first_process()) as display, stopping() as stop:
        result = train(settings, out, chosen, display, stop, bound, device, engine)
    if not first_process():
        return EXIT_OK
    delivered = delivery.deliver(result.file, settings.data.trigger, out)
    return _told(result, out, delivered, json)


def refuse_together(gpus: int, engine: str, device: str) -> None:
    """InputError for an engine whose processes are its own affair, and for more cards than there are."""
    from ..core.errors import InputError

    if engine != "diffusers":
        raise InputError(f"--gpus is for our own engine, not for {engine}", to_try="leave out --gpus or --engine")
    require_cards(gpus, device)


def _told(result: TrainResult, out: Path, delivered: dict[str, Any], json: bool) -> int:
    """Prints what a run has left; the exit code."""
    record = result.record | delivered
    if json:
        print_json({"file": str(result.file), **record})
    else:
        print(f"{result.file}\n  {record['reason']}")
        if files := record.get("files"):
            print(f"  {(out / files[0]['file']).parent}: {len(files)} files of single steps, for `modiste judge`")
        print(f"  {out / 'train.json'}, {out / 'loss.png'}, {out / 'run.html'}")
        if checkpoint := record.get("checkpoint_file"):
            print(f"  {out / checkpoint}: the same as one file, for A1111, Forge and ComfyUI")
        for notice in record.get("engine", {}).get("notices", ()):
            print(f"  {notice}")
        for warning in (record.get("overfitting") or {}).get("warnings", ()):
            print(f"  warning: {warning}")
    skipped = record["photos"]["skipped"]
    for skip in skipped:
        say(f"skipped {skip['path']}: {skip['code']}, {skip['reason']}")
    return EXIT_SKIPS if skipped else EXIT_OK
