"""`modiste prompt`: the prompt route over photos."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .choices import leave_out_without_garment, open_chosen_session
from .engine_options import EngineOptions
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
from .terminal import Display, print_json, say

if TYPE_CHECKING:
    from ..routes.ray_prompts import Ahead, PromptModels

ALONE = "photos on workers do not teach each other: each begins with what earlier runs taught"


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
    spread: EngineOptions,
    device: Device = "auto",
    force: Force = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say what each word of a prompt brings or costs.")] = False,
    json: AsJson = False,
) -> int:
    """Find the prompt that makes the model draw each photo's garment again, and prove it on unseen seeds."""
    from ..fashion.photos import gather_photos
    from ..routes.prompt.optimise import optimise_prompts
    from ..routes.prompt.settings import PromptSettings
    from ..routes.ray_prompts import PromptModels

    spread.refuse_for_drawing(host)
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
            apart=spread.is_ray and earlier.learn,
        )
        with open_workers(spread, PromptModels(session.preset, host.choice(), device), earlier.learn, display) as ahead:
            report = optimise_prompts(gathered, session, settings, out, display, ahead)
    if json:
        print_json(report.model_dump(mode="json"))
    else:
        from .print_results import print_summary

        print_summary(report, out, explain)
    return EXIT_SKIPS if report.skipped else EXIT_OK


@contextmanager
def open_workers(spread: EngineOptions, models: PromptModels, learn: bool, display: Display) -> Iterator[Ahead | None]:
    """What searches the photos ahead by a cluster's workers; None where this process does it alone."""
    from ..routes.ray_prompts import ray_workers

    if not spread.is_ray:
        yield None
        return
    if learn:
        say(ALONE)
    with ray_workers(models, spread.cluster, display) as ahead:
        yield ahead
