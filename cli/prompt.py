"""`modiste prompt`: the prompt route over photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choices import choose_host, choose_preset, pictures_need
from .exit_codes import EXIT_OK, EXIT_SKIPS
from .options import (
    AllowRemote,
    AsJson,
    CfgScale,
    Checkpoint,
    Device,
    Encoder,
    Framing,
    HostKind,
    Photos,
    PresetName,
    SameSeeds,
    Sampler,
    Seed,
    Steps,
    Urls,
    Vocabulary,
    Workflow,
)
from .terminal import Display, print_json


def prompt(
    photos: Photos,
    out: Annotated[Path, typer.Option(help="Folder for the report, the pictures and the journal.")],
    preset: PresetName = None,
    host: HostKind = "local",
    url: Urls = None,
    allow_remote: AllowRemote = False,
    workflow: Workflow = None,
    budget: Annotated[int, typer.Option(help="Pictures a photo, confirmation included.", min=8, max=400)] = 40,
    seed: Seed = 0,
    same_seeds: SameSeeds = False,
    strategies: Annotated[str, typer.Option(help="Comma-separated names; default: all.")] = "",
    steps: Steps = None,
    cfg_scale: CfgScale = None,
    sampler: Sampler = None,
    checkpoint: Checkpoint = None,
    vocabulary: Vocabulary = None,
    encoder: Encoder = None,
    framing: Framing = None,
    device: Device = "auto",
    learn: Annotated[
        bool, typer.Option("--learn/--no-learn", help="Begin with what earlier photos and runs taught.")
    ] = True,
    explain: Annotated[bool, typer.Option("--explain", help="Say what each word of a prompt brings or costs.")] = False,
    json: AsJson = False,
) -> int:
    """Find the prompt that makes the model draw each photo's garment again, and prove it on unseen seeds."""
    from ..fashion.photos import gather_photos
    from ..models.session import open_session
    from ..routes.prompt.optimise import optimise_prompts
    from ..routes.prompt.settings import PromptSettings

    gathered = gather_photos(photos)
    instead = {"checkpoint": checkpoint, "taxonomy": vocabulary, "encoder": encoder, "framing": framing}
    chosen = choose_preset(preset, host, pictures_need(host), **instead)
    session = open_session(chosen, host=choose_host(host, url, allow_remote, workflow), device=device)
    settings = PromptSettings.for_session(
        session,
        budget=budget,
        seed=seed,
        same_seeds=same_seeds,
        strategies=tuple(name.strip() for name in strategies.split(",") if name.strip()),
        steps=steps,
        cfg_scale=cfg_scale,
        sampler=sampler,
        learn=learn,
    )
    with Display(quiet=json) as display:
        report = optimise_prompts(gathered, session, settings, out, display)
    if json:
        print_json(report.model_dump(mode="json"))
    else:
        from .print_results import print_summary

        print_summary(report, out, explain)
    return EXIT_SKIPS if report.skipped else EXIT_OK
