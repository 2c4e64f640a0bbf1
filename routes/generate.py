"""Drawing a prompt as it stands: for `harness.py generate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.files import make_folder, write_whole
from ..core.progress import Pace, ProgressCallback
from ..hosts.request import GenerationRequest

if TYPE_CHECKING:
    from ..models.drawing_host import HostChoice
    from ..models.presets import Preset


def draw_prompt(
    preset: Preset,
    host: HostChoice | str,
    device: str,
    prompt: str,
    negative: str,
    seed: int,
    count: int,
    settings: dict[str, Any],
    out: Path,
    progress: ProgressCallback,
) -> list[Path]:
    """Draws `count` pictures on consecutive seeds and returns their files, each written whole as soon as it is there.

    `settings` override the preset's steps, cfg_scale and sampler where they are not None. `out` is a PNG file (numbered
    where there are several) or a folder.
    """
    from ..models.drawing_host import open_host

    drawing = {name: value or getattr(preset, name) for name, value in settings.items()}
    requests = [
        GenerationRequest(
            prompt=prompt,
            negative_prompt=negative,
            seed=(seed + index) % 2**32,
            width=preset.width,
            height=preset.height,
            **drawing,
        )
        for index in range(count)
    ]
    drawer = open_host(preset, host, device)
    drawer.check(requests[0])
    pace, files = Pace("generate", count, progress), []
    for result in drawer.generate(requests):
        files.append(_save(result.image, result.request, result.used, _file(out, result.request.seed, count)))
        pace.step(files[-1])
    return files


def _file(out: Path, seed: int, count: int) -> Path:
    if out.suffix.lower() != ".png":
        return out / f"{seed}.png"
    return out if count == 1 else out.with_stem(f"{out.stem}-{seed}")


def _save(image: Any, request: GenerationRequest, used: Any, file: Path) -> Path:
    from io import BytesIO

    from PIL.PngImagePlugin import PngInfo

    from ..runs.pictures import infotext

    texts, data = PngInfo(), BytesIO()
    texts.add_text("parameters", infotext(request.model_dump(mode="json"), used.model_dump(mode="json")))
    image.save(data, "PNG", pnginfo=texts)
    make_folder(file.parent)
    write_whole(file, data.getvalue())
    return file
