"""Modiste without a host: photos in, prompts, scores, pictures and reports out. Also the command `modiste`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from modiste.errors import ModisteError
from modiste.terminal import Display, print_json, say, say_error

if TYPE_CHECKING:
    from collections.abc import Collection

    from modiste.fashion.photos import Skip
    from modiste.fashion.tagging import Tagged
    from modiste.fashion.taxonomy import Taxonomy
    from modiste.presets import Preset
    from modiste.studio import HostChoice, Studio

EXIT_OK, EXIT_SKIPS, EXIT_INTERRUPTED = 0, 3, 130
MOST_KEYS = 8  # that a table shows
EMBEDDED = "no Stable Diffusion weights on this machine: using the embedded preset mini (drawn garments, 64 px)"
EMBEDDED_EYES = (
    "not all weights of the preset sd15 that this needs are on this machine: using the embedded preset mini, so its "
    "encoder of drawn garments looks at the pictures, and the server is asked for 64×64 px; --preset sd15 says what "
    "is missing"
)


class Exits(TyperGroup):
    """Turns results and errors into exit codes: 0 ok, 2 bad input, 3 skips, 4 resumable, 130 interrupted."""

    def invoke(self, ctx: typer.Context) -> None:
        """Runs the command."""
        try:
            code = super().invoke(ctx)
        except ModisteError as error:
            say_error(error)
            code = error.exit_code
        except KeyboardInterrupt:
            say("interrupted: what is done is kept; the same command goes on")
            code = EXIT_INTERRUPTED
        raise typer.Exit(code or EXIT_OK)


app = typer.Typer(
    cls=Exits,
    help="A fashion studio for Stable Diffusion: photo → tags → prompt → picture → similarity.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Photos = Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.", show_default=False)]
PresetName = Annotated[
    str | None,
    typer.Option("--preset", help="mini | sd15 | sdxl; without it sd15 where its weights are, else mini."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else there.")]
HostKind = Annotated[str, typer.Option("--host", help="Who draws: local | webui (A1111, Forge, reForge) | comfy.")]
Urls = Annotated[
    list[str] | None,
    typer.Option("--url", help="The server's address; several share the work.", show_default="the usual local one"),
]
AllowRemote = Annotated[bool, typer.Option("--allow-remote", help="Let --url be another machine.")]
Workflow = Annotated[
    Path | None, typer.Option(help="ComfyUI's own graph, in API format, in place of the plain one.", show_default=False)
]
LoraDir = Annotated[
    Path | None,
    typer.Option(
        "--lora-dir",
        help="The server's LoRA folder (models/Lora, models/loras): what is trained here is copied into it.",
        exists=True,
        file_okay=False,
        show_default=False,
    ),
]
Steps = Annotated[int | None, typer.Option(help="Sampling steps.", min=1, max=150)]
CfgScale = Annotated[float | None, typer.Option("--cfg-scale", help="Guidance.", min=1, max=30)]
Sampler = Annotated[str | None, typer.Option(help="A1111's name, such as 'DPM++ 2M'.")]
Checkpoint = Annotated[
    str | None, typer.Option(help="In place of the preset's: folder, file, hub id; a server's own name of it.")
]
Vocabulary = Annotated[
    str | None, typer.Option(help="Name or .json file in place of the preset's.", show_default=False)
]
Encoder = Annotated[
    str | None, typer.Option(help="Who tags and scores: folder or hub id in place of the preset's.", show_default=False)
]
Framing = Annotated[
    str | None,
    typer.Option(help="Photos that are not square: pad | garment (cut out first) | crop.", show_default=False),
]
Device = Annotated[str, typer.Option(help="auto | cpu | cuda | mps")]
Seed = Annotated[int, typer.Option(help="Every random choice follows from it.", min=0)]


def choose_preset(
    name: str | None, host: str = "local", needed: Collection[str] = ("checkpoint", "encoder"), **instead: str | None
) -> Preset:
    """The named preset, or the machine's default, said aloud where it is the embedded one; `instead`: fields to change,
    None for those that stay. `needed`: the roles of models that the work opens on this machine.
    """
    from modiste.presets import default_preset, preset

    chosen = default_preset(needed) if name is None else preset(name)
    if name is None and chosen.name == "mini":
        say(EMBEDDED if host == "local" else EMBEDDED_EYES)
    return chosen.replaced(**{field: value for field, value in instead.items() if value is not None})


def choose_host(
    kind: str, urls: list[str] | None, allow_remote: bool, workflow: Path | None, lora_dir: Path | None = None
) -> HostChoice:
    """Who draws, as the options say it; name and password of a WebUI come from MODISTE_WEBUI_AUTH alone."""
    from modiste.studio import HostChoice

    return HostChoice(kind, tuple(urls or ()), allow_remote, workflow, lora_dir)


def say_other_base(base: str, studio: Studio) -> None:
    """Says so where a server may draw with another model than the one that is trained on."""
    from modiste.lora_delivery import other_base

    notice = other_base(base, studio.host.describe())
    if notice:
        say(notice)


def groups_in(text: str | None, vocabulary: Taxonomy) -> tuple[str, ...] | None:
    """`colour,pattern` → the vocabulary's groups, which refuses others; None where nothing was said."""
    if text is None:
        return None
    return tuple(vocabulary.group(name.strip()).id for name in text.split(",") if name.strip())


def training_asked(
    method: str | None, steps: int | None, rank: int | None, learning_rate: float | None, seed: int | None, device: str
) -> dict[str, Any]:
    """The options of a training as fields of TrainConfig; None for what was not said."""
    return {
        **{"method": method, "steps": steps, "learning_rate": learning_rate, "seed": seed},
        "device": None if device == "auto" else device,
        "network": None if rank is None else {"rank": rank, "alpha": float(rank)},
    }


def pictures_need(host: str) -> tuple[str, ...]:
    """The roles of models that a run of pictures opens on this machine: a server has its own checkpoint."""
    return ("checkpoint", "encoder") if host == "local" else ("encoder",)


@app.command()
def doctor(json: AsJson = False) -> int:
    """Say what this machine has and lacks: Python, libraries, device, weights, folders."""
    from modiste.doctor import examine, print_findings

    findings = examine()
    print_json(findings) if json else print_findings(findings)
    return EXIT_OK if findings["ready"] else 2


@app.command()
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
    from modiste.fashion.photos import gather_photos
    from modiste.prompt_route import PromptSettings, optimise_prompts
    from modiste.studio import open_studio

    gathered = gather_photos(photos)
    instead = {"checkpoint": checkpoint, "taxonomy": vocabulary, "encoder": encoder, "framing": framing}
    chosen = choose_preset(preset, host, pictures_need(host), **instead)
    studio = open_studio(chosen, host=choose_host(host, url, allow_remote, workflow), device=device)
    settings = PromptSettings.for_studio(
        studio,
        budget=budget,
        seed=seed,
        strategies=tuple(name.strip() for name in strategies.split(",") if name.strip()),
        steps=steps,
        cfg_scale=cfg_scale,
        sampler=sampler,
        learn=learn,
    )
    with Display(quiet=json) as display:
        report = optimise_prompts(gathered, studio, settings, out, display)
    if json:
        print_json(report.model_dump(mode="json"))
    else:
        from modiste.runs.summary import print_summary

        print_summary(report, out, explain)
    return EXIT_SKIPS if report.skipped else EXIT_OK


@app.command()
def tag(
    photos: Photos,
    preset: PresetName = None,
    out: Annotated[Path | None, typer.Option(help="FILE.jsonl or FILE.csv; goes on where it stopped.")] = None,
    captions: Annotated[bool, typer.Option("--captions", help="Write a .txt caption beside each photo.")] = False,
    trigger: Annotated[str, typer.Option(help="A word in every caption that is to mean the brand's look.")] = "",
    bind: Annotated[
        str | None, typer.Option(help="With --trigger: groups to leave unsaid, comma-separated.", show_default=False)
    ] = None,
    vocabulary: Vocabulary = None,
    encoder: Encoder = None,
    framing: Framing = None,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """Say what each photo shows, group by group, with confidences."""
    from contextlib import ExitStack

    from modiste.fashion.observations import ObservationCache, RememberingEncoder
    from modiste.fashion.tagging import TagFile, tag_photos, write_caption
    from modiste.progress import Pace
    from modiste.studio import open_tagger

    tagger = open_tagger(choose_preset(preset, taxonomy=vocabulary, encoder=encoder, framing=framing), device)
    skipped: list[Skip] = []
    lines: list[Tagged] = []
    with Display(quiet=json) as display, ExitStack() as open_files:
        file = open_files.enter_context(TagFile(out)) if out else None
        cache = open_files.enter_context(ObservationCache(tagger.encoder.identity.key))
        tagger.encoder = RememberingEncoder(tagger.encoder, cache)
        pace = Pace("tag", 0, display)
        found = tag_photos(
            photos,
            tagger,
            cache=cache,
            trigger=trigger,
            bound=groups_in(bind, tagger.taxonomy),
            done=file.done if file else frozenset(),
            skipped=skipped,
            tagged=pace.found,
        )
        for photo, line in found:
            if file:
                file.add(line)
            if captions:
                write_caption(photo, line.caption)
            if json or not file:
                lines.append(line)
                if not json:
                    print(f"{line.image}: {line.caption}")
    if json:
        print_json([line.as_json() for line in lines])
    for skip in skipped:
        say(f"skipped {skip.path}: {skip.code}, {skip.reason}")
    return EXIT_SKIPS if skipped else EXIT_OK


@app.command()
def score(
    image: Annotated[Path, typer.Argument(help="The picture to judge.", show_default=False)],
    reference: Annotated[Path, typer.Argument(help="The photo that it should be like.", show_default=False)],
    preset: PresetName = None,
    encoder: Encoder = None,
    framing: Framing = None,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """How like the reference a picture is: 0 another garment of its kind, 100 a second photo of the same one."""
    from modiste.fashion.photos import read_photo
    from modiste.studio import open_eyes

    pictures = [read_photo(path).image for path in (image, reference)]
    scorer = open_eyes(choose_preset(preset, encoder=encoder, framing=framing), device).scorer
    seen, anchors = scorer.score(pictures[:1], pictures[1])[0], scorer.calibration
    if json:
        print_json(
            {
                "similarity_score": seen.similarity_score,
                "raw_cosine": seen.raw_cosine,
                "calibration": {
                    "kind": anchors.kind,
                    "encoder": scorer.encoder.identity.key,
                    "zero": anchors.zero,
                    "hundred": anchors.hundred,
                    "raw_zero": anchors.raw_zero,
                    "raw_hundred": anchors.raw_hundred,
                    "note": anchors.note,
                },
            }
        )
    else:
        print(f"similarity {100 * seen.similarity_score:.0f} of 100, raw cosine {seen.raw_cosine:.3f}")
        print(f"    0 is another garment of its kind: {anchors.raw_zero:.3f}")
        print(f"  100 is the same garment again:      {anchors.raw_hundred:.3f}")
        print(f"  anchors: {anchors.kind}{f' ({anchors.note})' if anchors.note else ''}")
    return EXIT_OK


@app.command()
def generate(
    text: Annotated[str, typer.Argument(metavar="PROMPT", help="(words:1.2) weighs words, as in A1111.")],
    out: Annotated[Path, typer.Option(help="FILE.png, or a folder.")] = Path("out"),
    negative: Annotated[str, typer.Option(help="What to avoid.")] = "",
    count: Annotated[int, typer.Option("--count", "-n", help="Pictures, on seed, seed + 1, …", min=1, max=1000)] = 1,
    seed: Seed = 0,
    preset: PresetName = None,
    host: HostKind = "local",
    url: Urls = None,
    allow_remote: AllowRemote = False,
    workflow: Workflow = None,
    steps: Steps = None,
    cfg_scale: CfgScale = None,
    sampler: Sampler = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """Draw a prompt."""
    from modiste.drawing import draw_prompt

    needed = ("checkpoint",) if host == "local" else ()
    chosen = choose_preset(preset, host, needed, checkpoint=checkpoint)
    settings = {"steps": steps, "cfg_scale": cfg_scale, "sampler": sampler}
    with Display(quiet=json) as display:
        drawer = choose_host(host, url, allow_remote, workflow)
        files = draw_prompt(chosen, drawer, device, text, negative, seed, count, settings, out, display)
    print_json([str(file) for file in files]) if json else print("\n".join(map(str, files)))
    return EXIT_OK


@app.command()
def finetune(
    photos: Annotated[list[Path], typer.Argument(help="Folders of photos.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the file, the checkpoints and train.json.")],
    preset: PresetName = None,
    method: Annotated[str | None, typer.Option(help="lora (a small file) | full (a whole model).")] = None,
    engine: Annotated[str, typer.Option(help="diffusers (our own) | kohya (sd-scripts; LoRA only).")] = "diffusers",
    config: Annotated[Path | None, typer.Option(help="A TrainConfig as JSON; options come before it.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer updates.", min=1)] = None,
    rank: Annotated[int | None, typer.Option(help="Of the LoRA.", min=1, max=512)] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="Of the UNet.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Pictures an update.", min=1)] = None,
    trigger: Annotated[str | None, typer.Option(help="The word that is to mean the brand's look.")] = None,
    bind: Annotated[
        str | None, typer.Option(help="Groups that captions leave to the trigger, comma-separated.", show_default=False)
    ] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of masks, white where the garment is.")] = None,
    checkpoint: Checkpoint = None,
    seed: Annotated[int | None, typer.Option(help="Every random choice follows from it.", min=0)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Only go on; an empty --out is an error.")] = False,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """Train a LoRA or the whole UNet on photos of a brand; choose the best checkpoint by photos held out."""
    from modiste.fashion.taxonomy import load_taxonomy
    from modiste.finetuning import config_for, refuse_engine, refuse_fresh
    from modiste.finetuning import finetune as train
    from modiste.presets import require_weights
    from modiste.trainer.config import read_fields
    from modiste.trainer.stopping import stopping

    refuse_engine(engine)
    chosen = choose_preset(preset, checkpoint=checkpoint)
    if checkpoint is None:
        require_weights(chosen, "checkpoint")
    data = {"trigger": trigger, "masks": None if masks is None else str(masks)}
    asked = training_asked(method, steps, rank, learning_rate, seed, device) | {"batch_size": batch, "data": data}
    settings = config_for(chosen, photos, read_fields(config) if config else {}, asked)
    if resume:
        refuse_fresh(out)
    bound = groups_in(bind, load_taxonomy(chosen.taxonomy))
    with Display(quiet=json) as display, stopping() as stop:
        result = train(settings, out, chosen, display, stop, bound, device, engine)
    skipped = result.record["photos"]["skipped"]
    if json:
        print_json({"file": str(result.file), **result.record})
    else:
        print(f"{result.file}\n  {result.record['reason']}\n  {out / 'train.json'}, {out / 'loss.png'}")
        for notice in result.record.get("engine", {}).get("notices", ()):
            print(f"  {notice}")
        for warning in (result.record.get("overfitting") or {}).get("warnings", ()):
            print(f"  warning: {warning}")
    for skip in skipped:
        say(f"skipped {skip['path']}: {skip['code']}, {skip['reason']}")
    return EXIT_SKIPS if skipped else EXIT_OK


@app.command()
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
    from modiste.comparison import CompareSettings, open_tuned, proof_photos
    from modiste.comparison import compare as draw_and_judge
    from modiste.fashion.photos import gather_photos
    from modiste.runs.summary import print_verdict
    from modiste.runs.verdict import write_verdict
    from modiste.studio import open_studio

    gathered, file = gather_photos(photos), open_tuned(tuned, trigger)
    proof, training = proof_photos(gathered.photos, file)
    instead = {"checkpoint": checkpoint, "taxonomy": vocabulary, "encoder": encoder, "framing": framing}
    chosen = choose_preset(preset, host, pictures_need(host), **instead)
    studio = open_studio(chosen, host=choose_host(host, url, allow_remote, workflow, lora_dir), device=device)
    if base := (file.record or {}).get("config", {}).get("base"):
        say_other_base(base, studio)
    settings = CompareSettings.for_studio(
        studio,
        file,
        **{"strategy": strategy, "confirm_seeds": seeds, "seed": seed},
        bound=groups_in(bind, studio.eyes.taxonomy),
        **{"steps": steps, "cfg_scale": cfg_scale, "sampler": sampler},
    )
    with Display(quiet=json) as display:
        report = draw_and_judge(proof, training, studio, file, settings, out, display, gathered.skipped)
        write_verdict(report, out, taxonomy=studio.eyes.taxonomy)
    print_json(report.model_dump(mode="json")) if json else print_verdict(report, out)
    return EXIT_SKIPS if report.skipped else EXIT_OK


@app.command()
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
    from modiste.fashion.photos import gather_photos
    from modiste.finetuning import merged
    from modiste.pipeline import PipelineSettings, run_pipeline
    from modiste.presets import PRESETS
    from modiste.prompt_route import PromptSettings
    from modiste.runs.summary import print_verdict
    from modiste.studio import open_studio
    from modiste.trainer.base_model import find_base
    from modiste.trainer.config import read_fields
    from modiste.trainer.stopping import stopping

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
    studio = open_studio(chosen, host=choose_host(host, url, allow_remote, workflow, lora_dir), device=device)
    if host != "local":
        say_other_base(train["base"], studio)
        if lora_dir is None and train.get("method") != "full":
            say("without --lora-dir you are told what to copy into the server's LoRA folder before the comparison")
    drawing = {"steps": steps, "cfg_scale": cfg_scale, "sampler": sampler}
    settings = PipelineSettings(
        prompt=PromptSettings.for_studio(studio, budget=budget, seed=seed, learn=learn, **drawing),
        trigger=trigger,
        bound=groups_in(bind, studio.eyes.taxonomy),
        searched=searched,
        train=train,
        with_generated=with_generated,
        compare={"confirm_seeds": seeds},
    )
    with Display(quiet=json) as display, stopping() as stop:
        story = run_pipeline(gathered, studio, settings, out, stage, display, stop)
    if story is None:
        say(f"the stage {stage} is finished; the report comes with the last one")
        print_json({"stage": stage, "finished": True}) if json else print(out)
    else:
        print_json(story.model_dump(mode="json")) if json else print_verdict(story, out)
    return EXIT_SKIPS if gathered.skipped else EXIT_OK


@app.command()
def serve(
    preset: PresetName = None,
    checkpoint: Checkpoint = None,
    lora_dir: Annotated[
        Path | None, typer.Option(help="Folder of the files that <lora:name:strength> names.", exists=True)
    ] = None,
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 7861,
    address: Annotated[str, typer.Option(help="0.0.0.0 lets others on the network ask.")] = "127.0.0.1",
    api_auth: Annotated[
        str, typer.Option(help="user:password,…; better said in the environment.", envvar="MODISTE_API_AUTH")
    ] = "",
    device: Device = "auto",
) -> int:
    """Answer A1111's API (txt2img, img2img, …) with a preset's model, for the clients that speak it."""
    from modiste.hosts.address import is_loopback
    from modiste.hosts.local import LocalHost
    from modiste.server.app import make_app
    from modiste.server.guard import OWN_NAMES, read_users
    from modiste.server.lora_folder import LoraFolder
    from modiste.server.serving import listen_on, serve

    users, chosen = read_users(api_auth), choose_preset(preset, checkpoint=checkpoint)
    drawing = LocalHost(chosen.checkpoint, revision=chosen.revisions.get(chosen.checkpoint), device=device)
    listening = listen_on(address, port)
    own = is_loopback(address)
    if not own and not users:
        say("anyone who reaches this port can draw here: MODISTE_API_AUTH=user:password asks who it is")
    web = make_app(drawing, LoraFolder(lora_dir), users, OWN_NAMES if own else None)
    where = f"[{address}]" if ":" in address else address
    say(f"{drawing.describe().checkpoint} draws at http://{where}:{listening.getsockname()[1]} (Ctrl-C ends it)")
    serve(web, listening)
    return EXIT_OK


lora = typer.Typer(help="LoRA files: will they load, what is in them, make others of them.", no_args_is_help=True)
app.add_typer(lora, name="lora")
LoraFile = Annotated[Path, typer.Argument(metavar="FILE", help="A .safetensors LoRA.", show_default=False)]


@lora.command("verify")
def lora_verify(
    file: LoraFile,
    model: Annotated[Path | None, typer.Option(help="The diffusers folder it is for; default: its family's.")] = None,
    json: AsJson = False,
) -> int:
    """Say for A1111, Forge, ComfyUI and diffusers how much of the file each will apply; exit 2 unless all."""
    from dataclasses import asdict

    from modiste.trainer.lora_verify import verify

    reports = verify(file, model)
    if json:
        print_json([asdict(report) for report in reports])
    else:
        for report in reports:
            print(
                f"{report.reader:<10} {report.applied} of {report.modules} modules {'' if report.ok else '✗'}".rstrip()
            )
            for line in (*report.notes, *(f"left out: {key}" for key in report.unmatched[:MOST_KEYS])):
                print(f"  {line}")
            if len(report.unmatched) > MOST_KEYS:
                print(f"  and {len(report.unmatched) - MOST_KEYS} keys more")
    return EXIT_OK if all(report.ok for report in reports) else 2


@lora.command("inspect")
def lora_inspect(file: LoraFile, json: AsJson = False) -> int:
    """Say what is in the file: family, ranks, modules, norms, metadata."""
    from modiste.trainer.lora_tools import inspect

    found = inspect(file)
    if json:
        print_json(found)
    else:
        for name, value in found.items():
            print(f"{name}: {value}")
    return EXIT_OK


@lora.command("merge")
def lora_merge(
    file: LoraFile,
    model: Annotated[Path, typer.Option(help="Diffusers folder or .safetensors checkpoint.")],
    out: Annotated[Path, typer.Option(help="The merged model.")],
    strength: Annotated[float, typer.Option(help="1 is as trained.")] = 1.0,
) -> int:
    """Add the LoRA to a model for good."""
    from modiste.trainer.lora_tools import merge

    merge(file, strength, model, out)
    print(out)
    return EXIT_OK


@lora.command("resize")
def lora_resize(
    file: LoraFile,
    out: Annotated[Path, typer.Option(help="The smaller file.")],
    tolerance: Annotated[float, typer.Option(help="Share of a module's change that may go.", min=0, max=1)] = 0.05,
) -> int:
    """The smallest rank for each module that keeps its change within a tolerance."""
    from modiste.trainer.lora_tools import resize

    ranks = resize(file, out, tolerance)
    print(f"{out}: ranks {min(ranks.values())} … {max(ranks.values())}")
    return EXIT_OK


@lora.command("extract")
def lora_extract(
    base: Annotated[Path, typer.Argument(help="The model before: a diffusers folder.", show_default=False)],
    tuned: Annotated[Path, typer.Argument(help="The model after a full fine-tune.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The LoRA.")],
    rank: Annotated[int, typer.Option(help="Of every module.", min=1, max=512)] = 16,
) -> int:
    """A LoRA of what a full fine-tune changed."""
    from modiste.trainer.lora_tools import extract

    found = extract(base, tuned, rank, out)
    print(f"{out}: {found['modules']} modules, {found['error']:.0%} of their change is lost")
    if found["left_out"]:
        print(f"{len(found['left_out'])} weights changed that no LoRA holds, such as {found['left_out'][0]}")
    return EXIT_OK


def main(arguments: list[str] | None = None) -> None:
    """Runs one command and exits with DESIGN's codes."""
    app(_without_mode(sys.argv[1:] if arguments is None else arguments), prog_name="modiste")


def _without_mode(arguments: list[str]) -> list[str]:
    """`--mode prompt …` is `prompt …`: the spelling of the product's source documents."""
    if "--mode" in arguments:
        at = arguments.index("--mode")
        return [*arguments[at + 1 : at + 2], *arguments[:at], *arguments[at + 2 :]]
    return arguments


if __name__ == "__main__":
    main()
