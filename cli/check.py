"""`modiste check`: what a training would make of a folder of photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.disk import writing
from .choices import choose_preset
from .exit_codes import EXIT_OK, EXIT_SKIPS
from .options import AsJson, Device, Encoder, Photos, PresetName
from .terminal import Display, print_json, say

if TYPE_CHECKING:
    from PIL import Image

    from ..routes.check_photos import CheckedFolder, CheckedPhoto

COLUMNS, CELL, TEXT = 6, 170, 34  # of the contact sheet: pictures a row, pixels of a cell, and below it


def check(
    photos: Photos,
    out: Annotated[
        Path | None, typer.Option(help="FILE.jpg or .png: a contact sheet with each photo's marks.", show_default=False)
    ] = None,
    preset: PresetName = None,
    encoder: Encoder = None,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """Say what a training would make of photos: blurred, small, near-copies, one background, missing views."""
    from ..models.vision import open_tagger
    from ..routes.check_photos import check_photos

    chosen = choose_preset(preset, needed=("encoder",), encoder=encoder)
    with Display(quiet=json) as display:
        checked = check_photos(photos, open_tagger(chosen, device).encoder, chosen.width, display)
    if out is not None:
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            contact_sheet(checked).save(out)
    if json:
        print_json(
            {
                "photos": [_row(photo) for photo in checked.photos],
                "findings": checked.findings,
                "skipped": [{"path": str(s.path), "code": s.code, "reason": s.reason} for s in checked.skipped],
                "sheet": None if out is None else str(out),
            }
        )
    else:
        _print_table(checked)
    for skip in checked.skipped:
        say(f"skipped {skip.path}: {skip.code}, {skip.reason}")
    return EXIT_SKIPS if checked.skipped else EXIT_OK


def _row(photo: CheckedPhoto) -> dict[str, Any]:
    return {
        "image": str(photo.path),
        "width": photo.width,
        "height": photo.height,
        "sharpness": photo.sharpness,
        "bucket": photo.bucket,
        "near_copy_of": None if photo.copy_of is None else str(photo.copy_of),
        "marks": photo.marks,
    }


def _print_table(checked: CheckedFolder) -> None:
    from rich.console import Console
    from rich.table import Table

    console, table = Console(), Table(box=None, pad_edge=False)
    for heading in ("photo", "size", "sharpness", "bucket", "marks"):
        table.add_column(heading, justify="right" if heading == "sharpness" else "left", overflow="fold")
    for photo in checked.photos:
        copy = f" of {photo.copy_of.name}" if photo.copy_of else ""
        marks = ", ".join(mark + (copy if mark == "near-copy" else "") for mark in photo.marks)
        name = "".join(char if char.isprintable() else "?" for char in photo.path.name).replace("[", "\\[")
        size = f"{photo.width}×{photo.height}"
        table.add_row(name, size, f"{photo.sharpness:.0f}", photo.bucket, marks.replace("[", "\\["))
    console.print(table)
    for sentence in checked.findings:
        print(f"- {sentence}")


def contact_sheet(checked: CheckedFolder) -> Image.Image:
    """All photos small, each with its name and marks; those with marks have a red frame."""
    from PIL import Image, ImageDraw

    rows = -(-len(checked.photos) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * CELL, rows * (CELL + TEXT)), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (photo, small) in enumerate(zip(checked.photos, checked.thumbnails, strict=True)):
        left, top = place % COLUMNS * CELL, place // COLUMNS * (CELL + TEXT)
        corner = (left + (CELL - small.width) // 2, top + (CELL - small.height) // 2)
        sheet.paste(small, corner)
        if photo.marks:
            end = (corner[0] + small.width, corner[1] + small.height)
            draw.rectangle((corner, end), outline=(200, 30, 30), width=3)
        draw.text((left + 4, top + CELL + 2), photo.path.name[:26], fill=(40, 40, 40))
        draw.text((left + 4, top + CELL + 16), ", ".join(photo.marks)[:30], fill=(200, 30, 30))
    return sheet
