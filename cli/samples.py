"""What to say to a command without photos: what to give, and the sample photos to try it with."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import typer

EXAMPLES = Path(__file__).parents[1] / "examples"
PHOTOS, COLLECTION = "photos", "collection"  # folders of EXAMPLES
# Command → its sample photos and what else it needs.
SAMPLES = {
    "prompt": (PHOTOS, "--preset mini --out run"),
    "tag": (PHOTOS, "--preset mini"),
    "finetune": (COLLECTION, "--preset mini --steps 60 --out run"),
    "pipeline": (COLLECTION, "--preset mini --out run"),
}


def needs_photos(error: typer.BadParameter) -> str | None:
    """The line for a command that was given no photos; None where the error is another one."""
    command = error.ctx.info_name if error.ctx else None
    missing = type(error).__name__ == "MissingParameter" and error.param is not None and error.param.name == "photos"
    if not missing or command not in SAMPLES:
        return None
    folder, options = SAMPLES[command]
    samples = _from_here(EXAMPLES / folder)
    program = "python harness.py" if Path(sys.argv[0]).name == "harness.py" else "modiste"
    return (
        f"{command} needs photos, or folders of them; to try it on the sample photos: "
        f"{program} {command} {samples} {options}"
    )


def _from_here(folder: Path) -> str:
    """The folder as one writes it in a shell in the working folder."""
    path = os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else str(folder)
    return shlex.quote(path)
