"""`modiste get`: download models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import InputError, Stopped
from .exit_codes import EXIT_OK
from .options import AsJson
from .terminal import Display, print_json, say

if TYPE_CHECKING:
    from ..models.download import ModelDownload


def get(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME…",
            help="sd15 | sdxl | fast-sd15 | fast-sdxl | fashion-clip | fashion-siglip | dinov2 | clothes-parser | "
            "OWNER/NAME | OWNER/NAME/FILE.safetensors.",
            show_default=False,
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(help="A folder, ComfyUI's or A1111's too.", show_default="the hub's cache", file_okay=False),
    ] = None,
    layout: Annotated[str, typer.Option(help="Of --to: auto | plain | comfyui | a1111.")] = "auto",
    revision: Annotated[
        str | None, typer.Option(help="Commit, branch or tag.", show_default="the commit that was tested, or main")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List files and sizes, and fetch nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: AsJson = False,
) -> int:
    """Download models: only the files that are used, at a tested commit; a download that was broken off goes on."""
    from ..models.download import Destination, fetch, plan_downloads, refuse_full_disk

    if _all_here_offline(names, to, revision):
        return EXIT_OK
    downloads = plan_downloads(names, Destination(to, layout), revision)
    if dry_run:
        print_json(_as_json(downloads)) if json else _print_plan(downloads, sys.stdout)
        return EXIT_OK
    if not json:
        _print_plan(downloads, sys.stderr)
    refuse_full_disk(downloads)
    if any(download.missing_bytes for download in downloads):
        _ask(yes)
    with Display(quiet=json) as display:
        for download in downloads:
            fetch(download, display)
    print_json(_as_json(downloads)) if json else print("\n".join(str(_result(download)) for download in downloads))
    return EXIT_OK


def _all_here_offline(names: list[str], to: Path | None, revision: str | None) -> bool:
    """Whether nothing has to be asked of a hub, where HF_HUB_OFFLINE forbids it; says where each model lies."""
    from huggingface_hub.constants import HF_HUB_OFFLINE

    from ..models.download import already_here

    places = [already_here(name) for name in names] if HF_HUB_OFFLINE and to is None and revision is None else []
    if not places or None in places:
        return False
    for name, place in zip(names, places, strict=True):
        say(f"{name} is here: {place} (HF_HUB_OFFLINE is set, so the hub was not asked)")
    return True


def _print_plan(downloads: list[ModelDownload], stream: Any) -> None:
    from ..models.download import free_bytes

    for download in downloads:
        here = download.total_bytes - download.missing_bytes
        print(f"{download.name}: {download.hub_id} at {download.commit[:12]} → {download.place}", file=stream)
        for file in download.files:
            state = "here" if download.is_here(file) else _size_text(file.size)
            print(f"  {state:>12}  {file.name}", file=stream)
        total = f"{download.total_bytes / 1e9:.2f} GB, of which {here / 1e9:.2f} GB are here"
        print(f"  {total}; {free_bytes(download) / 1e9:.1f} GB are free there", file=stream)


def _size_text(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


def _ask(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("nobody can be asked here whether to download that", to_try="--yes")
    if not typer.confirm("Download?", default=True, err=True):
        raise Stopped("nothing was downloaded")


def _result(download: ModelDownload) -> Path:
    return download.path_of(download.files[0]) if len(download.files) == 1 else download.place


def _as_json(downloads: list[ModelDownload]) -> list[dict[str, Any]]:
    return [
        {
            "name": download.name,
            "model": download.hub_id,
            "commit": download.commit,
            "place": str(_result(download)),
            "bytes": download.total_bytes,
            "missing_bytes": download.missing_bytes,
            "files": [
                {"name": file.name, "bytes": file.size, "here": download.is_here(file)} for file in download.files
            ],
        }
        for download in downloads
    ]
