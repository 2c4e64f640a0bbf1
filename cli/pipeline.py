"""`modiste pipeline`: prompt, finetune and compare, from photos to a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choices import choose_host, choose_preset, groups_in, say_other_base, training_asked
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
    SameSeeds,
    Sampler,
    Seed,
    Steps,
    Urls,
    Vocabulary,
    Workflow,
)
from .terminal import Display, print_json, say


def pipeline(
    photos: Annotated[list[Path], typer.Argument(help="Photos of one brand, or folders.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for everything: prompts, the trained file, the verdict.")],
    preset: PresetName = None,
    host: HostKind = "local",
    url: Urls = None,
    allow_remote: AllowRemote = False,
    workflow: Workflow = None,
    lora_dir: LoraDir = None,
    stage: Annotated[
        str | None, typer.Option(help="prompt | finetune | compare: that one alone.", show_default=False)
    ] = None,
    trigger: Annotated[str, typer.Option(help="The word that is to mean the brand's look.")] = "modiste",
    bind: Annotated[
        str | None, typer.Option(help="Groups that captions leave to the trigger, comma-separated.", show_default=False)
    ] = None,
    budget: Annotated[int, typer.Option(help="Pictures a searched photo.", min=8, max=400)] = 16,
    searched: Annotated[int, typer.Option(help="Photos that the search gets, at most.", min=1)] = 8,
    with_generated: Annotated[
        bool, typer.Option("--with-generated", help="The base model's own pictures keep the look to its trigger.")
    ] = False,
    method: Annotated[str | None, typer.Option(help="lora (a small file) | full (a whole model).")] = None,
    config: Annotated[Path | None, typer.Option(help="A TrainConfig as JSON; options come before it.")] = None,
    train_steps: Annotated[int | None, typer.Option("--train-steps", help="Optimizer updates.", min=1)] = None,
    rank: Annotated[int | None, typer.Option(help="Of the LoRA.", min=1, max=512)] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="Of the UNet.")] = None,
    seeds: Annotated[int, typer.Option(help="Pictures a photo and way to draw, in the comparison.", min=2, max=64)] = 4,
    seed: Seed = 0,
    same_seeds: SameSeeds = False,
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
    json: AsJson = False,
) -> int:
    """From photos to a verdict: find the best prompts, train on what they taught, and compare base and tuned model."""
    from ..fashion.photos import gather_photos
    from ..models.presets import PRESETS
    from ..models.session import open_session
    from ..routes.finetune.finetune import merged
    from ..routes.pipeline.pipeline import PipelineSettings, run_pipeline
    from ..routes.prompt.settings import PromptSettings
    from ..trainer.config import read_fields
    from ..trainer.model.base_model import find_base
    from .print_results import print_verdict
    from .stop_signals import stopping

    gathered = gather_photos(photos)
    train = merged(
        read_fields(config) if config else {},
        training_asked(method, train_steps, rank, learning_rate, seed, device),
    )
    instead = {"checkpoint": checkpoint, "taxonomy": vocabulary, "encoder": encoder, "framing": framing}
    needed = ("encoder",) if "base" in train else ("checkpoint", "encoder")
    chosen = choose_preset(preset, host, needed, **instead)
    if host != "local":
        train.setdefault("base", PRESETS[chosen.name].checkpoint)  # --checkpoint is the server's name of its own
        if stage != "prompt":
            find_base(train["base"])
    session = open_session(chosen, host=choose_host(host, url, allow_remote, workflow, lora_dir), device=device)
    if host != "local":
        say_other_base(train["base"], session)
        if lora_dir is None and train.get("method") != "full":
            say("without --lora-dir you are told what to copy into the server's LoRA folder before the comparison")
    drawing = {"steps": steps, "cfg_scale": cfg_scale, "sampler": sampler}
    settings = PipelineSettings(
        prompt=PromptSettings.for_session(
            session, budget=budget, seed=seed, same_seeds=same_seeds, learn=learn, **drawing
        ),
        trigger=trigger,
        bound=groups_in(bind, session.vision.taxonomy),
        searched=searched,
        train=train,
        with_generated=with_generated,
        compare={"confirm_seeds": seeds},
    )
    with Display(quiet=json) as display, stopping() as stop:
        story = run_pipeline(gathered, session, settings, out, stage, display, stop)
    if story is None:
        say(f"the stage {stage} is finished; the report comes with the last one")
        print_json({"stage": stage, "finished": True}) if json else print(out)
    else:
        print_json(story.model_dump(mode="json")) if json else print_verdict(story, out)
    return EXIT_SKIPS if gathered.skipped else EXIT_OK
