"""The fields of the page Which file? → the command line of `harness.py judge`, and the run's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from . import environment
from .commands import OWN_MODEL, ROOT, WEBUI, WORD, BadForm, digest_of, folders_of, made, models_options

MOST_STRENGTH = 4.0
LORA = ".safetensors"


def loras_in(folder: Path) -> list[str]:
    """The LoRA files of the WebUI, by their path below its folder; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob(f"*{LORA}"))


def judged_files(
    chosen: Sequence[str], folder: str, lora_folder: Path, folders_allowed: bool
) -> tuple[list[Path], bool]:
    """(files, or the one folder, that are judged; whether they are sample pictures). BadForm where there are none."""
    if chosen:
        known = set(loras_in(lora_folder))
        if not set(chosen) <= known:
            raise BadForm("loras", "no_choice")
        return [lora_folder / name for name in chosen], False
    if not folder.strip() or not folders_allowed:
        raise BadForm("loras", "no_loras")
    path = Path(folder.strip().strip('"')).expanduser()
    if not path.is_dir():
        raise BadForm("folder", "no_folder")
    return [path], not any(path.glob(f"*{LORA}"))


def judge_command(
    photos: Sequence[Path],
    judged: tuple[Sequence[Path], bool],
    preset: str,
    drawer: str,
    server: tuple[Sequence[str], Path],
    strengths: str,
    trigger: str,
    runs: Path,
    encoder: str = "",
) -> tuple[list[str], Path]:
    """`harness.py judge` and its folder: the same form resumes the same run.

    `judged`: as `judged_files` gives it. `server`: the options that reach this WebUI, and its LoRA folder.
    """
    files, samples = judged
    options = models_options(preset, encoder)
    if not samples:
        if not WORD.fullmatch(trigger.strip()):
            raise BadForm("trigger", "one_word")
        if drawer not in (WEBUI, OWN_MODEL):
            raise BadForm("drawer", "no_choice")
        options += ["--strengths", _strengths(strengths)]
        options += ["--trigger", trigger.strip()] if trigger.strip() else []
        options += ["--host", "webui", "--lora-dir", str(made(server[1]))] if drawer == WEBUI else []
    digest = digest_of(photos, [*map(str, files), *options])
    options += server[0] if drawer == WEBUI and not samples else []
    what = ["--samples", str(files[0])] if samples else [str(file) for file in files]
    shown = [word for folder in folders_of(photos, runs, digest) for word in ("--photos", folder)]
    out = runs / f"judge-{digest}"
    words = ["judge", *what, *shown, "--out", str(out), *options, "--json"]
    return [str(environment.environment_python()), str(ROOT / "harness.py"), *words], out


def _strengths(text: str) -> str:
    try:
        values = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        values = []
    if not values or not all(0 < value <= MOST_STRENGTH for value in values):
        raise BadForm("strengths", "no_strengths")
    return ",".join(f"{value:g}" for value in values)
