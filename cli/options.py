"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def _one_line(text: str) -> str:
    """A trigger as it was typed; `typer.BadParameter` where a caption would break into two lines."""
    if len(text.splitlines()) > 1:
        raise typer.BadParameter(f"{text!r} holds a line break; a caption is one line")
    return text


def catalogue_path(text: str) -> Path:
    """What `tag` was given: a path of this machine, or s3://… and the like."""
    from ..fashion.remote import as_path

    return as_path(text)


def one_line(text: str) -> Any:
    """An option for words that stand in a caption; `text` is its help."""
    return typer.Option(parser=_one_line, metavar="<str>", help=text)


Photos = Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.", show_default=False)]
Catalogued = Annotated[
    list[Path],
    typer.Argument(
        help="Photos, folders, .tar or .parquet files; also s3://… and the like.",
        show_default=False,
        metavar="PHOTOS...",
        parser=catalogue_path,
    ),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="mini | sd15 | sdxl, as what draws is, a server too; without it sd15 where its weights are, else mini.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else there.")]
HostKind = Annotated[str, typer.Option("--host", help="Who draws: local | webui (A1111, Forge, reForge) | comfy.")]
Urls = Annotated[
    list[str] | None,
    typer.Option(
        "--url",
        help="The server's address; several share the work. Behind --api-auth: MODISTE_WEBUI_AUTH=user:password.",
        show_default="the usual local one",
    ),
]
AllowRemote = Annotated[
    bool, typer.Option("--allow-remote", help="Let a server (--url, --captioner) be another machine.")
]
Words = Annotated[
    str | None,
    typer.Option(
        "--words",
        help="Your own words for the photos, which compete and are measured against; '' uses none.",
        show_default="the .txt beside each photo",
    ),
]
Pin = Annotated[
    list[str] | None,
    typer.Option(help="A tag that every photo has, GROUP:LABEL (colour:red); several.", show_default=False),
]
LeaveOut = Annotated[
    list[str] | None,
    typer.Option(help="A tag (GROUP:LABEL) or group that no prompt is to say; several.", show_default=False),
]
CaptionerUrl = Annotated[
    str | None,
    typer.Option(
        "--captioner",
        help="A server that describes photos (OpenAI's API: llama.cpp, vLLM, Ollama); its key: MODISTE_CAPTIONER_KEY.",
        show_default=False,
    ),
]
CaptionerModel = Annotated[
    str | None, typer.Option("--captioner-model", help="The model's name there.", show_default=False)
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        help="Certificates (PEM) to believe where --url is https, such as a server's self-signed one.",
        show_default="REQUESTS_CA_BUNDLE, or the usual ones",
    ),
]
Workflow = Annotated[
    Path | None,
    typer.Option(
        help="ComfyUI's own graph: a file in API format, or sdxl | sd3.5 | flux | z-image | qwen-image.",
        show_default=False,
    ),
]
DeliverTo = Annotated[
    Path | None,
    typer.Option(
        help="A WebUI's or ComfyUI's LoRA folder: the finished LoRA is copied into it (pipeline: where training paid).",
        exists=True,
        file_okay=False,
        show_default=False,
    ),
]
DeliverAs = Annotated[
    str | None, typer.Option(help="Its name there, before the digest; else the trigger.", show_default=False)
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
SearchLora = Annotated[
    str | None,
    typer.Option(
        help="A distilled LoRA (LCM) for what only chooses: fast-sd15 | fast-sdxl | FILE | a server's name.",
        show_default="none",
    ),
]
SearchSteps = Annotated[
    int | None,
    typer.Option(
        help="Sampling steps of the pictures that only choose; those that prove have --steps.",
        min=1,
        max=150,
        show_default="as many as --steps; 4 with --search-lora",
    ),
]
CfgScale = Annotated[float | None, typer.Option("--cfg-scale", help="Guidance.", min=1, max=30)]
Width = Annotated[int | None, typer.Option(help="Pixels, a multiple of 8.", show_default="the preset's")]
Height = Annotated[int | None, typer.Option(help="Pixels, a multiple of 8.", show_default="the preset's")]
Aspect = Annotated[
    str | None,
    typer.Option(
        help="W:H, or photo: each picture in its photo's shape, of the area of width × height.", show_default=False
    ),
]
Sampler = Annotated[str | None, typer.Option(help="A1111's name, such as 'DPM++ 2M'.")]
Checkpoint = Annotated[
    str | None,
    typer.Option(
        help="In place of the preset's: folder, .safetensors file, its bare name, hub id; a server's own name of it."
    ),
]
Prediction = Annotated[
    str | None,
    typer.Option(help="What the checkpoint predicts: epsilon | v_prediction.", show_default="as its file says"),
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
Method = Annotated[str | None, typer.Option(help="lora (a small file) | full (a whole model).")]
TrainingConfigFile = Annotated[Path | None, typer.Option(help="A TrainConfig as JSON; options come before it.")]
Rank = Annotated[int | None, typer.Option(help="Of the LoRA.", min=1, max=512)]
FromLora = Annotated[
    Path | None,
    typer.Option("--from-lora", help="Begin with this LoRA: its rank, or --rank.", dir_okay=False, show_default=False),
]
Extend = Annotated[
    int | None,
    typer.Option(help="Add so many steps to the run in --out; the rate's schedule comes once more.", min=1),
]
Choose = Annotated[
    str | None,
    typer.Option(help="Choose the step to keep by pictures (of held-out garments) | loss | last.", show_default=False),
]
FilesEvery = Annotated[
    int | None,
    typer.Option(
        "--files-every",
        "--save-every-n-steps",
        help="Keep a LoRA file every N steps in steps/, for `modiste judge`.",
        min=1,
        show_default=False,
    ),
]
AcceptVersions = Annotated[
    bool, typer.Option("--accept-versions", help="Go on under other library versions; train.json notes it.")
]
BrandWord = Annotated[str | None, one_line("The word that is to mean the brand's look.")]
Masks = Annotated[Path | None, typer.Option(help="Folder of masks, white where the garment is.")]
CaptionSource = Annotated[
    str | None,
    typer.Option(help="keep (those beside the photos) | tag (the tagger's, whatever is there).", show_default="keep"),
]
Regularisation = Annotated[
    Path | None,
    typer.Option(help="Pictures of the class that must stay as they are (prior preservation).", show_default=False),
]
SamplePrompts = Annotated[
    Path | None,
    typer.Option("--sample-prompts", help="Text file of prompts to draw at each validation.", show_default=False),
]
Resume = Annotated[bool, typer.Option("--resume", help="Only go on; an empty --out is an error.")]
LearningRate = Annotated[float | None, typer.Option("--learning-rate", help="Of the UNet.")]
LearnFromEarlier = Annotated[
    bool, typer.Option("--learn/--no-learn", help="Begin with what earlier photos and runs taught.")
]
Trigger = Annotated[str, one_line("The word that is to mean the brand's look.")]
CaptionBind = Annotated[
    str | None, typer.Option(help="Groups that captions leave to the trigger, comma-separated.", show_default=False)
]
DEMONSTRATION = "this does not look like the garments that the encoder knows; its figures are a demonstration"
Force = Annotated[bool, typer.Option("--force", help="Also photos in which no garment was found.", show_default=False)]
ShardOfCatalogue = Annotated[
    str | None,
    typer.Option("--shard", help="I/N: the I-th of N shares, into FILE-I-of-N.", show_default=False),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="With --captions: also replace .txt files that Modiste did not write.")
]
SearchBudget = Annotated[int, typer.Option(help="Pictures a searched photo.", min=8, max=400)]
SearchedPhotos = Annotated[int, typer.Option(help="Photos that the search gets, at most.", min=1)]
Gpus = Annotated[int, typer.Option("--gpus", help="Cards that train together; with --device cpu, processes.", min=1)]
Join = Annotated[bool, typer.Option("--join", help="Tag nothing: put all shards' files into that of --out.")]
WorkEngine = Annotated[str, typer.Option("--engine", help="local | ray: the workers of a Ray cluster.")]
ClusterAddress = Annotated[
    str | None,
    typer.Option("--address", help="With --engine ray: a cluster, HOST:6379 | auto.", show_default="workers here"),
]
Workers = Annotated[
    int | None,
    typer.Option(help="With --engine ray: processes that do the work.", min=1, show_default="one a processor or card"),
]
Device = Annotated[str, typer.Option(help="auto | cpu | cuda | mps")]
Dtype = Annotated[
    str, typer.Option(help="Of drawing here: auto | float32 | float16 | bfloat16; auto: float16 but for a CPU.")
]
LowMemory = Annotated[
    bool,
    typer.Option("--low-memory", help="Draw with as little memory as there is a way to; slower.", show_default=False),
]
SameSeeds = Annotated[
    bool,
    typer.Option(
        "--same-seeds", help="Decide on the seeds of a photo's first run: for replays. Else each run gets fresh ones."
    ),
]
Seed = Annotated[int, typer.Option(help="Every random choice follows from it.", min=0)]
