"""`modiste compare`: base and tuned model side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choices import choose_host, choose_preset, groups_in, pictures_need, say_other_base
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
    LoraDir,
    PresetName,
    Sampler,
    Seed,
    Steps,
    Urls,
    Vocabulary,
    Workflow,
)
from .terminal import Display, print_json


def compare(
    photos: Annotated[list[Path], typer.Argument(help="Photos of the collection, or folders.", show_default=False)],
    tuned: Annotated[Path, typer.Option(help="The LoRA, or the folder of a whole model.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the report, the pictures and the journal.")],
    preset: PresetName = None,
    host: HostKind = "local",
    url: Urls = None,
    allow_remote: AllowRemote = False,
    workflow: Workflow = None,
    lora_dir: LoraDir = None,
    trigger: Annotated[str | None, typer.Option(help="Its word; without it what the file says.")] = None,
    bind: Annotated[
        str | None, typer.Option(help="Groups that prompts leave to the trigger, comma-separated.", show_default=False)
    ] = None,
    strategy: Annotated[str, typer.Option(help="The form of its captions, by the prompt route's names.")] = "sentence",
    seeds: Annotated[int, typer.Option(help="Pictures a photo and way to draw.", min=2, max=64)] = 4,
    seed: Seed = 0,
    steps: Steps = None,
    cfg_scale: CfgScale = None,
    sampler: Sampler = None,
    checkpoint: Checkpoint = None,
    vocabulary: Vocabulary = None,
    encoder: Encoder = None,
    framing: Framing = None,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """Draw photos that the tuned model has not seen with it and with its base, on the same seeds, and say which won."""
    from ..fashion.photos import gather_photos
    from ..models.session import open_session
    from ..reports.comparison_page import write_verdict
    from ..routes.compare.compare import compare as draw_and_judge
    from ..routes.compare.settings import CompareSettings
    from ..routes.compare.tuned import open_tuned, proof_photos
    from .print_results import print_verdict

    gathered, file = gather_photos(photos), open_tuned(tuned, trigger)
    proof, training = proof_photos(gathered.photos, file)
    instead = {"checkpoint": checkpoint, "taxonomy": vocabulary, "encoder": encoder, "framing": framing}
    chosen = choose_preset(preset, host, pictures_need(host), **instead)
    session = open_session(chosen, host=choose_host(host, url, allow_remote, workflow, lora_dir), device=device)
    if base := (file.record or {}).get("config", {}).get("base"):
        say_other_base(base, session)
    settings = CompareSettings.for_session(
        session,
        file,
        **{"strategy": strategy, "confirm_seeds": seeds, "seed": seed},
        bound=groups_in(bind, session.vision.taxonomy),
        **{"steps": steps, "cfg_scale": cfg_scale, "sampler": sampler},
    )
    with Display(quiet=json) as display:
        report = draw_and_judge(proof, training, session, file, settings, out, display, gathered.skipped)
        write_verdict(report, out, taxonomy=session.vision.taxonomy)
    print_json(report.model_dump(mode="json")) if json else print_verdict(report, out)
    return EXIT_SKIPS if report.skipped else EXIT_OK
