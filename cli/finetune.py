"""`modiste finetune`: the training route over folders of photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choices import choose_preset, groups_of
from .exit_codes import EXIT_OK, EXIT_SKIPS
from .option_groups import TrainOptions, with_option_groups
from .options import AsJson, CaptionBind, Checkpoint, Device, Prediction, PresetName
from .terminal import Display, print_json, say


@with_option_groups
def finetune(
    photos: Annotated[list[Path], typer.Argument(help="Folders of photos.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the file, the checkpoints and train.json.")],
    *,
    preset: PresetName = None,
    training: TrainOptions,
    engine: Annotated[str, typer.Option(help="diffusers (our own) | kohya (sd-scripts; LoRA only).")] = "diffusers",
    steps: Annotated[int | None, typer.Option(help="Optimizer updates.", min=1)] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Pictures an update.", min=1)] = None,
    trigger: Annotated[str | None, typer.Option(help="The word that is to mean the brand's look.")] = None,
    bind: CaptionBind = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of masks, white where the garment is.")] = None,
    checkpoint: Checkpoint = None,
    prediction: Prediction = None,
    seed: Annotated[int | None, typer.Option(help="Every random choice follows from it.", min=0)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Only go on; an empty --out is an error.")] = False,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """Train a LoRA or the whole UNet on photos of a brand; choose the best checkpoint by photos held out."""
    from ..fashion.taxonomy import load_taxonomy
    from ..models.presets import require_weights
    from ..routes.finetune.finetune import config_for, refuse_engine, refuse_fresh
    from ..routes.finetune.finetune import finetune as train
    from .stop_signals import stopping

    refuse_engine(engine)
    chosen = choose_preset(preset, checkpoint=checkpoint, prediction=prediction)
    if checkpoint is None:
        require_weights(chosen, "checkpoint")
    data = {"trigger": trigger, "masks": None if masks is None else str(masks)}
    asked = training.as_fields(steps, seed, device) | {"batch_size": batch, "data": data}
    settings = config_for(chosen, photos, training.from_file(), asked)
    if resume:
        refuse_fresh(out)
    bound = groups_of(bind, load_taxonomy(chosen.taxonomy))
    with Display(quiet=json) as display, stopping() as stop:
        result = train(settings, out, chosen, display, stop, bound, device, engine)
    skipped = result.record["photos"]["skipped"]
    if json:
        print_json({"file": str(result.file), **result.record})
    else:
        print(f"{result.file}\n  {result.record['reason']}\n  {out / 'train.json'}, {out / 'loss.png'}")
        if checkpoint := result.record.get("checkpoint_file"):
            print(f"  {out / checkpoint}: the same as one file, for A1111, Forge and ComfyUI")
        for notice in result.record.get("engine", {}).get("notices", ()):
            print(f"  {notice}")
        for warning in (result.record.get("overfitting") or {}).get("warnings", ()):
            print(f"  warning: {warning}")
    for skip in skipped:
        say(f"skipped {skip['path']}: {skip['code']}, {skip['reason']}")
    return EXIT_SKIPS if skipped else EXIT_OK
