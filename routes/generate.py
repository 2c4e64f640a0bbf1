"""Draws a prompt as it stands, for `harness.py generate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..core.files import make_folder, write_whole
from ..core.progress import Pace, ProgressCallback, silent

if TYPE_CHECKING:
    from PIL import Image

    from ..hosts.request import GenerationRequest, Host, UsedSettings


def draw_prompt(
    host: Host, request: GenerationRequest, count: int, out: Path, progress: ProgressCallback = silent
) -> list[Path]:
    """Draws `count` pictures on consecutive seeds and returns their files, each written whole as soon as it is there.

    The first seed is the request's. `out` is a PNG file (numbered where there are several) or a folder.
    """
    seeds = [(request.seed + index) % 2**32 for index in range(count)]
    requests = [request.model_copy(update={"seed": seed}) for seed in seeds]
    host.check(requests[0])
    pace, files = Pace("generate", count, progress), []
    for result in host.generate(requests):
        files.append(_save(result.image, result.request, result.used, _file(out, result.request.seed, count)))
        pace.step(files[-1])
    return files


def _file(out: Path, seed: int, count: int) -> Path:
    if out.suffix.lower() != ".png":
        return out / f"{seed}.png"
    return out if count == 1 else out.with_stem(f"{out.stem}-{seed}")


def _save(image: Image.Image, request: GenerationRequest, used: UsedSettings, file: Path) -> Path:
    from io import BytesIO

    from PIL.PngImagePlugin import PngInfo

    from ..runs.pictures import infotext

    texts, data = PngInfo(), BytesIO()
    texts.add_text("parameters", infotext(request.model_dump(mode="json"), used.model_dump(mode="json")))
    image.save(data, "PNG", pnginfo=texts)
    make_folder(file.parent)
    write_whole(file, data.getvalue())
    return file
