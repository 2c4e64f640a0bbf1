"""`modiste prompt`: the prompt route over photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choices import leave_out_without_garment, open_chosen_session
from .exit_codes import EXIT_OK, EXIT_SKIPS
from .option_groups import HostOptions, ModelOptions, SamplingOptions, with_option_groups
from .options import (
    AsJson,
    Device,
    Force,
    Photos,
    PresetName,
    Seed,
)
from .search_option_groups import EarlierRunsOptions, SearchSamplingOptions, TagEditOptions, WordsOptions
from .terminal import Display, print_json


@with_option_groups
def prompt(
    photos: Photos,
    out: Annotated[Path, typer.Option(help="Folder for the report, the pictures and the journal.")],
    *,
    preset: PresetName = None,
    host: HostOptions,
    budget: Annotated[int, typer.Option(help="Pictures a photo, confirmation included.", min=8, max=400)] = 40,
    seed: Seed = 0,
    earlier: EarlierRunsOptions,
    given: WordsOptions,
    edits: TagEditOptions,
    strategies: Annotated[str, typer.Option(help="Comma-separated names; default: all.")] = "",
    colour_weight: Annotated[
        float,
        typer.Option(help="Points that a unit of colour difference, ΔE, costs in the search; 0: none.", min=0),
    ] = 2.0,
    sampling: SamplingOptions,
    drafts: SearchSamplingOptions,
    models: ModelOptions,
    device: Device = "auto",
    force: Force = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say what each word of a prompt brings or costs.")] = False,
    json: AsJson = False,
) -> int:
    """Find the prompt that makes the model draw each photo's garment again, and prove it on unseen seeds."""
    from ..fashion.photos import gather_photos
    from ..routes.prompt.optimise import optimise_prompts
    from ..routes.prompt.settings import PromptSettings

    gathered = gather_photos(photos)
    session = open_chosen_session(preset, models, host, device)
    leave_out_without_garment(gathered, photos, session, force)
    with Display(quiet=json) as display:
        settings = PromptSettings.for_session(
            session,
            budget=budget,
            seed=seed,
            **earlier.as_fields(),
            **edits.as_fields(session.vision.taxonomy),
            strategies=tuple(name.strip() for name in strategies.split(",") if name.strip()),
            colour_weight=colour_weight / 100,
            **given.as_fields(gathered, host, display),
            **sampling.as_fields(),
            **drafts.as_fields(),
        )
        report = optimise_prompts(gathered, session, settings, out, display)
    if json:
        print_json(report.model_dump(mode="json"))
    else:
        from .print_results import print_summary

        print_summary(report, out, explain)
    return EXIT_SKIPS if report.skipped else EXIT_OK
