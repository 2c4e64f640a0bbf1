"""`modiste lora verify|inspect|merge|resize|extract`: tools for LoRA files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .exit_codes import EXIT_OK
from .options import AsJson
from .terminal import print_json

MOST_KEYS = 8  # that a table shows
lora = typer.Typer(help="LoRA files: will they load, what is in them, make others of them.", no_args_is_help=True)
LoraFile = Annotated[Path, typer.Argument(metavar="FILE", help="A .safetensors LoRA.", show_default=False)]


@lora.command("verify")
def lora_verify(
    file: LoraFile,
    model: Annotated[Path | None, typer.Option(help="The diffusers folder it is for; default: its family's.")] = None,
    json: AsJson = False,
) -> int:
    """Say for A1111, Forge, ComfyUI and diffusers how much of the file each will apply; exit 2 unless all."""
    from dataclasses import asdict

    from ..trainer.lora.verify import verify

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
    from ..trainer.lora.tools import inspect

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
    from ..trainer.lora.tools import merge

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
    from ..trainer.lora.tools import resize

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
    from ..trainer.lora.tools import extract

    found = extract(base, tuned, rank, out)
    print(f"{out}: {found['modules']} modules, {found['error']:.0%} of their change is lost")
    if found["left_out"]:
        print(f"{len(found['left_out'])} weights changed that no LoRA holds, such as {found['left_out'][0]}")
    return EXIT_OK
