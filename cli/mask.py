"""`modiste mask`: masks of the garment for a training."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.disk import writing
from ..core.errors import InputError
from ..core.files import make_folder, write_whole
from .choices import choose_preset
from .exit_codes import EXIT_OK, EXIT_SKIPS
from .options import AsJson, Device, Photos, PresetName
from .terminal import Display, print_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from ..fashion.garment_finder import GarmentFinder

WITHOUT = "no garment stands out on a plain ground, and no clothes parser found one (`modiste get clothes-parser`)"


def mask(
    photos: Photos,
    out: Annotated[Path, typer.Option(help="Folder of masks, NAME.png each: what `finetune --masks` reads.")],
    preset: PresetName = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace masks that are there.")] = False,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """Write a mask of each photo's garment, white where it is, so that nothing around it is learned."""
    from ..core.progress import Pace
    from ..fashion.photos import gather_photos
    from ..models.vision import open_finder

    finder = open_finder(choose_preset(preset, needed=()), device)
    gathered = gather_photos(photos)
    files = _mask_files([photo.path for photo in gathered.photos], photos, out)
    written, without = [], []
    with Display(quiet=json) as display:
        pace = Pace("mask", len(gathered.photos), display)
        for number, (photo, file) in enumerate(zip(gathered.photos, files, strict=True), 1):
            if overwrite or not file.exists():
                white = mask_of(photo.image, finder)
                if white is None:
                    without.append(photo.path)
                else:
                    write_png(white, file)
                    written.append(file)
            pace.reach(number)
    skips = [{"path": str(skip.path), "code": skip.code, "reason": skip.reason} for skip in gathered.skipped]
    skips += [{"path": str(path), "code": "NO_MASK", "reason": WITHOUT} for path in without]
    print_json({"masks": [str(file) for file in written], "skipped": skips}) if json else print(
        f"{len(written)} masks in {out}"
    )
    for skip in skips:
        say(f"skipped {skip['path']}: {skip['code']}, {skip['reason']}")
    return EXIT_SKIPS if skips else EXIT_OK


def _mask_files(photos: Sequence[Path], given: Sequence[Path], out: Path) -> list[Path]:
    """Where each photo's mask goes: under `out` as the photo lies under the folder that was given.

    InputError where two photos would share a mask, as `finetune --masks` would read it.
    """
    folders = [path for path in given if path.is_dir()]
    owners: dict[Path, Path] = {}
    for photo in photos:
        root = next((folder for folder in folders if photo.is_relative_to(folder)), photo.parent)
        file = (out / photo.relative_to(root)).with_suffix(".png")
        if file in owners:
            raise InputError(
                f"its mask would have the name of {owners[file]}'s",
                where=str(photo),
                to_try="rename a photo, or mask the folders apart, each into an --out of its own",
            )
        owners[file] = photo
    return list(owners)


def mask_of(image: Image.Image, finder: GarmentFinder) -> Image.Image | None:
    """The mask of a photo, of its size, white where the garment is; None where that is not known."""
    import numpy as np
    from PIL import Image

    where = finder.mask(image)
    return None if where is None else Image.fromarray(np.uint8(255) * where)


def write_png(image: Image.Image, file: Path) -> None:
    """Writes a picture whole."""
    data = BytesIO()
    image.save(data, "PNG")
    with writing(file):
        make_folder(file.parent)
        write_whole(file, data.getvalue())
