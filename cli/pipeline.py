"""`modiste pipeline`: prompt, finetune and compare, from photos to a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choices import choose_preset, groups_of, leave_out_without_garment, open_chosen_session, say_other_base
from .exit_codes import EXIT_OK, EXIT_SKIPS
from .option_groups import (
    BrandOptions,
    DeliveryOptions,
    HostOptions,
    ModelOptions,
    SamplingOptions,
    TrainOptions,
    with_option_groups,
)
from .options import (
    AsJson,
    Device,
    LoraDir,
    PresetName,
    Seed,
)
from .search_option_groups import EarlierRunsOptions, PipelineSearchOptions, WordsOptions
from .terminal import Display, print_json, say


@with_option_groups
def pipeline(
    photos: Annotated[list[Path], typer.Argument(help="Photos of one brand, or folders.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for everything: prompts, the trained file, the verdict.")],
    *,
    preset: PresetName = None,
    host: HostOptions,
    lora_dir: LoraDir = None,
    stage: Annotated[
        str | None, typer.Option(help="prompt | finetune | compare: that one alone.", show_default=False)
    ] = None,
    brand: BrandOptions,
    search: PipelineSearchOptions,
    given: WordsOptions,
    with_generated: Annotated[
        bool, typer.Option("--with-generated", help="The base model's own pictures keep the look to its trigger.")
    ] = False,
    training: TrainOptions,
    train_steps: Annotated[int | None, typer.Option("--train-steps", help="Optimizer updates.", min=1)] = None,
    seeds: Annotated[int, typer.Option(help="Pictures a photo and way to draw, in the comparison.", min=2, max=64)] = 4,
    seed: Seed = 0,
    earlier: EarlierRunsOptions,
    delivery: DeliveryOptions,
    sampling: SamplingOptions,
    models: ModelOptions,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """From photos to a verdict: find the best prompts, train on what they taught, and compare base and tuned model."""
    from ..fashion.photos import gather_photos
    from ..models.presets import PRESETS
    from ..routes.delivery import winning_lora
    from ..routes.finetune.finetune import merged
    from ..routes.given_words import without_trigger
    from ..routes.pipeline.pipeline import PipelineSettings, run_pipeline
    from ..routes.prompt.settings import PromptSettings
    from ..trainer.model.base_model import find_base
    from .print_results import print_verdict
    from .stop_signals import stopping

    gathered = gather_photos(photos)
    train = merged(training.from_file(), training.as_fields(train_steps, seed, device))
    delivery.refuse_full(train.get("method"))
    needed = ("encoder",) if "base" in train else ("checkpoint", "encoder")
    # Here a checkpoint brings the preset of its family; a server's is known by its name alone.
    name = preset if host.is_local else choose_preset(preset, host.host, needed).name
    if not host.is_local:
        # --checkpoint is the server's name of its own model: what is trained on is the preset's.
        train.setdefault("base", PRESETS[str(name)].checkpoint)
        if stage != "prompt":
            find_base(train["base"])
    session = open_chosen_session(name, models, host, device, lora_dir, needed)
    leave_out_without_garment(gathered, photos, session, brand.force)
    if not host.is_local:
        say_other_base(train["base"], session)
        if lora_dir is None and train.get("method") != "full":
            say("without --lora-dir you are told what to copy into the server's LoRA folder before the comparison")
    with Display(quiet=json) as display:
        words = given.as_fields(gathered, host, display)
    words["words"] = {photo: without_trigger(text, brand.trigger) for photo, text in words["words"].items()}
    settings = PipelineSettings(
        prompt=PromptSettings.for_session(
            session,
            seed=seed,
            **search.as_fields(),
            **earlier.as_fields(),
            **words,
            **sampling.as_fields(),
        ),
        trigger=brand.trigger,
        bound=groups_of(brand.bind, session.vision.taxonomy),
        searched=search.searched,
        train=train,
        with_generated=with_generated,
        compare={"confirm_seeds": seeds},
    )
    with Display(quiet=json) as display, stopping() as stop:
        report = run_pipeline(gathered, session, settings, out, stage, display, stop)
    if report is None:
        say(f"the stage {stage} is finished; the report comes with the last one")
        print_json({"stage": stage, "finished": True}) if json else print(out)
    else:
        document = report.model_dump(mode="json")
        if winner := winning_lora(document):
            file, trigger, strength = winner
            document |= delivery.deliver(file, trigger, out, strength=strength)
        print_json(document) if json else print_verdict(report, out)
    return EXIT_SKIPS if gathered.skipped else EXIT_OK
