"""`modiste generate`: draw one prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choices import choose_preset
from .exit_codes import EXIT_OK
from .option_groups import HostOptions, SamplingOptions, with_option_groups
from .options import (
    AsJson,
    Checkpoint,
    Device,
    Prediction,
    PresetName,
    Seed,
)
from .terminal import Display, print_json


@with_option_groups
def generate(
    text: Annotated[str, typer.Argument(metavar="PROMPT", help="(words:1.2) weighs words, as in A1111.")],
    *,
    out: Annotated[Path, typer.Option(help="FILE.png, or a folder.")] = Path("out"),
    negative: Annotated[str, typer.Option(help="What to avoid.")] = "",
    count: Annotated[int, typer.Option("--count", "-n", help="Pictures, on seed, seed + 1, …", min=1, max=1000)] = 1,
    seed: Seed = 0,
    preset: PresetName = None,
    host: HostOptions,
    sampling: SamplingOptions,
    checkpoint: Checkpoint = None,
    prediction: Prediction = None,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """Draw a prompt."""
    from ..hosts.request import GenerationRequest
    from ..models.drawing_host import open_host
    from ..routes.generate import draw_prompt

    needed = ("checkpoint",) if host.is_local else ()
    chosen = choose_preset(preset, host.host, needed, checkpoint=checkpoint, prediction=prediction)
    drawer = open_host(chosen, host.choice(), device)
    if host.workflow is not None:
        chosen = chosen.replaced(**drawer.describe().drawing)
    width, height = sampling.size(chosen)
    request = GenerationRequest(
        prompt=text,
        negative_prompt=negative,
        seed=seed % 2**32,
        steps=sampling.steps or chosen.steps,
        cfg_scale=sampling.cfg_scale or chosen.cfg_scale,
        sampler=sampling.sampler or chosen.sampler,
        width=width,
        height=height,
    )
    with Display(quiet=json) as display:
        files = draw_prompt(drawer, request, count, out, display)
    print_json([str(file) for file in files]) if json else print("\n".join(map(str, files)))
    return EXIT_OK
