"""`modiste serve`: A1111's API over a preset's model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choices import choose_preset
from .exit_codes import EXIT_OK
from .options import Checkpoint, Device, Dtype, LowMemory, Prediction, PresetName
from .terminal import say


def serve(
    preset: PresetName = None,
    checkpoint: Checkpoint = None,
    prediction: Prediction = None,
    lora_dir: Annotated[
        Path | None, typer.Option(help="Folder of the files that <lora:name:strength> names.", exists=True)
    ] = None,
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 7861,
    address: Annotated[str, typer.Option(help="0.0.0.0 lets others on the network ask.")] = "127.0.0.1",
    api_auth: Annotated[
        str, typer.Option(help="user:password,…; better said in the environment.", envvar="MODISTE_API_AUTH")
    ] = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse fields that would be ignored with a warning.")
    ] = False,
    docs: Annotated[bool, typer.Option("--docs", help="A page at /docs to try the routes by hand.")] = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    low_memory: LowMemory = False,
) -> int:
    """Answer A1111's API (txt2img, img2img, …) with a preset's model, for the clients that speak it."""
    from ..hosts.address import is_loopback
    from ..models.drawing_host import local_host
    from ..server.app import make_app
    from ..server.guard import OWN_NAMES, read_users
    from ..server.interrogate import TaggerInterrogator
    from ..server.lora_folder import LoraFolder
    from ..server.serving import listen_on, serve

    users, chosen = (
        read_users(api_auth),
        choose_preset(preset, needed=("checkpoint",), checkpoint=checkpoint, prediction=prediction),
    )
    drawing = local_host(chosen, device, dtype, low_memory)
    listening = listen_on(address, port)
    own = is_loopback(address)
    if not own and not users:
        say("anyone who reaches this port can draw here: MODISTE_API_AUTH=user:password asks who it is")
    looking = TaggerInterrogator(chosen, device)
    names = OWN_NAMES if own else None
    web = make_app(drawing, LoraFolder(lora_dir), users, names, strict=strict, docs=docs, interrogator=looking)
    where = f"[{address}]" if ":" in address else address
    say(f"{drawing.describe().checkpoint} draws at http://{where}:{listening.getsockname()[1]} (Ctrl-C ends it)")
    serve(web, listening)
    return EXIT_OK
