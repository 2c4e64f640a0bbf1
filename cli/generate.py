"""`modiste generate`: draw one prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choices import choose_host, choose_preset
from .exit_codes import EXIT_OK
from .options import (
    AllowRemote,
    AsJson,
    CfgScale,
    Checkpoint,
    Device,
    HostKind,
    PresetName,
    Sampler,
    Seed,
    Steps,
    Urls,
    Workflow,
)
from .terminal import Display, print_json


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
    from ..hosts.request import GenerationRequest
    from ..models.drawing_host import open_host
    from ..routes.generate import draw_prompt

    needed = ("checkpoint",) if host == "local" else ()
    chosen = choose_preset(preset, host, needed, checkpoint=checkpoint)
    request = GenerationRequest(
        prompt=text,
        negative_prompt=negative,
        seed=seed % 2**32,
        steps=steps or chosen.steps,
        cfg_scale=cfg_scale or chosen.cfg_scale,
        sampler=sampler or chosen.sampler,
        width=chosen.width,
        height=chosen.height,
    )
    with Display(quiet=json) as display:
        drawer = open_host(chosen, choose_host(host, url, allow_remote, workflow), device)
        files = draw_prompt(drawer, request, count, out, display)
    print_json([str(file) for file in files]) if json else print("\n".join(map(str, files)))
    return EXIT_OK
