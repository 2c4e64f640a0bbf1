"""The command `modiste`, also `python harness.py`: photos in; prompts, scores, pictures and reports out."""

from __future__ import annotations

import sys

import typer

from ..core.threads import wait_asleep
from .calibrate import calibrate
from .check import check
from .compare import compare
from .doctor import doctor
from .exit_codes import Exits
from .finetune import finetune
from .generate import generate
from .get import get
from .judge import judge
from .lora import lora
from .mask import mask
from .models import models
from .pipeline import pipeline
from .prompt import prompt
from .score import score, score_lines
from .serve import serve
from .tag import tag

app = typer.Typer(
    cls=Exits,
    help="A fashion studio for Stable Diffusion: photo → tags → prompt → picture → similarity.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    doctor,
    get,
    models,
    calibrate,
    check,
    mask,
    prompt,
    tag,
    score,
    generate,
    finetune,
    compare,
    judge,
    pipeline,
    serve,
):
    app.command()(command)
app.command(hidden=True)(score_lines)
app.add_typer(lora, name="lora")


def main(arguments: list[str] | None = None) -> None:
    """Runs one command and exits with DESIGN's codes."""
    wait_asleep()
    app(_without_mode(sys.argv[1:] if arguments is None else arguments), prog_name="modiste")


def _without_mode(arguments: list[str]) -> list[str]:
    """`--mode prompt …` is `prompt …`: the spelling of the product's source documents."""
    if "--mode" in arguments:
        at = arguments.index("--mode")
        return [*arguments[at + 1 : at + 2], *arguments[:at], *arguments[at + 2 :]]
    return arguments
