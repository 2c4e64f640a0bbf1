"""`modiste models`: the checkpoints that this machine has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.errors import InputError
from .exit_codes import EXIT_OK
from .options import AsJson
from .terminal import print_json

HOSTS = {"hub": "the hub's cache", "comfyui": "ComfyUI", "a1111": "A1111"}


def models(
    comfyui: Annotated[
        list[Path] | None,
        typer.Option(help="ComfyUI's folder; its extra_model_paths.yaml counts.", show_default="MODISTE_COMFYUI"),
    ] = None,
    webui: Annotated[
        list[Path] | None, typer.Option(help="A1111's or Forge's folder.", show_default="MODISTE_WEBUI")
    ] = None,
    json: AsJson = False,
) -> int:
    """List the checkpoints that this machine has; the bare name of one is a --checkpoint."""
    from ..core.model_folders import checkpoint_files, checkpoint_folders
    from ..core.weights import hub_cache

    folders = checkpoint_folders(comfyui or (), webui or ())
    rows = [_row("hub", name, path) for name, path in _in_the_hubs_cache(hub_cache())]
    rows += [_row(file.host, file.name, file.path) for file in checkpoint_files(folders)]
    if json:
        print_json(rows)
        return EXIT_OK
    for row in rows:
        size = "" if row["bytes"] is None else f"{row['bytes'] / 1e9:.2f} GB"
        print(f"{HOSTS[row['host']]:<16} {row['name']}  {size}  {row['kind'] or row['problem']}")
    if not rows:
        print(f"none in {hub_cache()}" + "".join(f", {folder.path}" for folder in folders))
    if not folders:
        print("no folder of ComfyUI or A1111 is known: --comfyui, --webui, or MODISTE_COMFYUI, MODISTE_WEBUI")
    return EXIT_OK


def _in_the_hubs_cache(cache: Path) -> list[tuple[str, Path]]:
    """Id and folder of each diffusers model."""
    from ..core.weights import locate

    ids = [folder.name.removeprefix("models--").replace("--", "/") for folder in sorted(cache.glob("models--*"))]
    places = [(name, locate(name)) for name in ids]
    return [(name, place) for name, place in places if place and (place / "model_index.json").is_file()]


def _row(host: str, name: str, path: Path) -> dict[str, Any]:
    from ..checkpoints.kinds import kind_of

    kind, problem = None, None
    try:
        kind = kind_of(path)
    except InputError as error:
        problem = error.what
    return {
        "host": host,
        "name": name,
        "path": str(path),
        "bytes": path.stat().st_size if path.is_file() else None,
        "family": kind.family if kind else None,
        "prediction": kind.prediction if kind else None,
        "kind": kind.text if kind else None,
        "problem": problem if problem or kind else "a build of its own",
    }
