"""`modiste compare`: base and tuned model side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choices import groups_of, leave_out_without_garment, open_chosen_session, say_other_base
from .exit_codes import EXIT_OK, EXIT_SKIPS
from .option_groups import HostOptions, ModelOptions, SamplingOptions, with_option_groups
from .options import (
    AsJson,
    Device,
    Force,
    LoraDir,
    PresetName,
    SameSeeds,
    Seed,
    one_line,
)
from .terminal import Display, print_json


@with_option_groups
def compare(
    photos: Annotated[list[Path], typer.Argument(help="Photos of the collection, or folders.", show_default=False)],
    tuned: Annotated[Path, typer.Option(help="The LoRA, or the folder of a whole model.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the report, the pictures and the journal.")],
    *,
    preset: PresetName = None,
    host: HostOptions,
    lora_dir: LoraDir = None,
    trigger: Annotated[str | None, one_line("Its word; without it what the file says.")] = None,
    bind: Annotated[
        str | None, typer.Option(help="Groups that prompts leave to the trigger, comma-separated.", show_default=False)
    ] = None,
    strategy: Annotated[str, typer.Option(help="The form of its captions, by the prompt route's names.")] = "sentence",
    seeds: Annotated[int, typer.Option(help="Pictures a photo and way to draw.", min=2, max=64)] = 4,
    seed: Seed = 0,
    same_seeds: SameSeeds = False,
    sampling: SamplingOptions,
    models: ModelOptions,
    device: Device = "auto",
    force: Force = False,
    json: AsJson = False,
) -> int:
    """Draw photos that the tuned model has not seen with it and with its base, on the same seeds, and say which won."""
    from ..fashion.photos import gather_photos
    from ..reports.comparison_page import write_verdict
    from ..routes.compare.compare import compare as draw_and_judge
    from ..routes.compare.settings import CompareSettings
    from ..routes.compare.tuned import open_tuned, proof_photos
    from .print_results import print_verdict

    gathered, file = gather_photos(photos), open_tuned(tuned, trigger)
    proof_photos(gathered.photos, file)  # what it refuses is said before models are opened
    session = open_chosen_session(preset, models, host, device, lora_dir)
    leave_out_without_garment(gathered, photos, session, force)
    proof, training = proof_photos(gathered.photos, file)
    if base := (file.record or {}).get("config", {}).get("base"):
        say_other_base(base, session)
    settings = CompareSettings.for_session(
        session,
        file,
        strategy=strategy,
        confirm_seeds=seeds,
        seed=seed,
        same_seeds=same_seeds,
        bound=groups_of(bind, session.vision.taxonomy),
        **sampling.as_fields(),
    )
    with Display(quiet=json) as display:
        report = draw_and_judge(proof, training, session, file, settings, out, display, gathered.skipped)
        write_verdict(report, out, taxonomy=session.vision.taxonomy)
    print_json(report.model_dump(mode="json")) if json else print_verdict(report, out)
    return EXIT_SKIPS if report.skipped else EXIT_OK
