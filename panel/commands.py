"""The page's fields → a command line of harness.py and the run's folder."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..install import ROOT

PRESETS = ("mini", "sd15", "sdxl")
# As search/strategies.py has them; this page can't import it.
STRATEGIES = (
    *("minimal", "all_tags", "high_confidence_only", "category_first", "weighted_by_confidence", "sentence"),
    *("tag_list", "colour_pattern_focus", "structure_focus", "style_focus", "contrastive", "sentence_negative"),
    *("sentence_view", "studio", "tags_negative"),
)
BUDGETS, STEPS, RANKS = (8, 120), (50, 5000), (4, 128)
WEBUI, OWN_MODEL = "webui", "local"  # the host that draws
WORD = re.compile(r"[\w-]{0,40}")


class BadForm(Exception):
    """A field that can't be used as it is: `field` names it, `why` is a key of texts.py."""

    def __init__(self, field: str, why: str):
        self.field, self.why = field, why
        super().__init__(f"{field}: {why}")


def photos_of(uploads: Sequence[object] | None, folder: str, folders_allowed: bool) -> list[Path]:
    """The uploaded files, or a folder by its path where the host lets people name folders."""
    files = [Path(getattr(upload, "name", None) or str(upload)) for upload in uploads or ()]
    if files:
        return files
    if not folder.strip() or not folders_allowed:
        raise BadForm("photos", "no_photos")
    path = Path(folder.strip().strip('"')).expanduser()
    if not path.is_dir():
        raise BadForm("folder", "no_folder")
    return [path]


def tag_command(photos: Sequence[Path], preset: str) -> list[str]:
    """`harness.py tag`."""
    return _harness("tag", *map(str, photos), "--preset", _preset(preset), "--json")


def prompt_command(
    photos: Sequence[Path],
    preset: str,
    drawer: str,
    url: str,
    strategies: Sequence[str],
    budget: float,
    runs: Path,
    photo_shape: bool = False,
) -> tuple[list[str], Path]:
    """`harness.py prompt` and the run's folder: the same form resumes the same run."""
    unknown = [name for name in strategies if name not in STRATEGIES]
    if unknown or drawer not in (WEBUI, OWN_MODEL):
        raise BadForm("strategies", "no_choice")
    options = ["--preset", _preset(preset), "--budget", str(_within(budget, BUDGETS, "budget"))]
    if strategies:
        options += ["--strategies", ",".join(strategies)]
    if photo_shape:
        options += ["--aspect", "photo"]
    if drawer == WEBUI:
        options += ["--host", "webui", "--url", url]
    out = runs / f"prompt-{_digest(photos, options)}"
    return _harness("prompt", *map(str, photos), "--out", str(out), *options, "--json"), out


def finetune_command(
    photos: Sequence[Path], preset: str, checkpoint: str | None, trigger: str, steps: float, rank: float, runs: Path
) -> tuple[list[str], Path]:
    """`harness.py finetune` and the run's folder; no checkpoint trains on the preset's own model."""
    if not WORD.fullmatch(trigger.strip()):
        raise BadForm("trigger", "one_word")
    options = ["--preset", _preset(preset), "--steps", str(_within(steps, STEPS, "steps"))]
    options += ["--rank", str(_within(rank, RANKS, "rank"))]
    if trigger.strip():
        options += ["--trigger", trigger.strip()]
    if checkpoint:
        options += ["--checkpoint", checkpoint]
    digest = _digest(photos, options)
    out = runs / f"train-{digest}"
    return _harness("finetune", *_folders(photos, runs, digest), "--out", str(out), *options, "--json"), out


def pipeline_command(
    photos: Sequence[Path],
    preset: str,
    drawer: str,
    url: str,
    lora_folder: Path,
    trigger: str,
    budget: float,
    with_class: bool,
    runs: Path,
    photo_shape: bool = False,
) -> tuple[list[str], Path]:
    """`harness.py pipeline` and its folder; the WebUI draws with the LoRA from its own folder."""
    if not WORD.fullmatch(trigger.strip()):
        raise BadForm("trigger", "one_word")
    if drawer not in (WEBUI, OWN_MODEL):
        raise BadForm("drawer", "no_choice")
    options = ["--preset", _preset(preset), "--budget", str(_within(budget, BUDGETS, "budget"))]
    if trigger.strip():
        options += ["--trigger", trigger.strip()]
    if with_class:
        options += ["--with-generated"]
    if photo_shape:
        options += ["--aspect", "photo"]
    if drawer == WEBUI:
        lora_folder.mkdir(parents=True, exist_ok=True)
        options += ["--host", "webui", "--url", url, "--lora-dir", str(lora_folder)]
    digest = _digest(photos, options)
    out = runs / f"pipeline-{digest}"
    return _harness("pipeline", *_folders(photos, runs, digest), "--out", str(out), *options, "--json"), out


def _folders(photos: Sequence[Path], runs: Path, digest: str) -> list[str]:
    """The photos as folders, which is what the trainer takes."""
    if any(photo.is_file() for photo in photos):
        return [str(_gathered(photos, runs / f"photos-{digest}"))]
    return [str(photo) for photo in photos]


def _gathered(files: Sequence[Path], folder: Path) -> Path:
    """Copies uploads, each of which lies in a folder of its own, into one folder.

    Their names stay, as they tell which photos show one garment (`SKU-front`, `SKU-back`); a second file of the same
    name gets a number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for place, file in enumerate(files):
        name = f"{place:04}-{file.name}" if file.name.lower() in taken else file.name
        taken.add(name.lower())
        shutil.copyfile(file, folder / name)
    return folder


def _harness(*words: str) -> list[str]:
    return [str(ROOT / "harness.py"), *words]


def _preset(name: str) -> str:
    if name not in PRESETS:
        raise BadForm("preset", "no_choice")
    return name


def _within(value: float, span: tuple[int, int], field: str) -> int:
    if not span[0] <= value <= span[1]:
        raise BadForm(field, "out_of_range")
    return int(value)


def _digest(photos: Sequence[Path], options: Sequence[str]) -> str:
    """10 hex digits that identify a run: photos by content, and options."""
    digest = hashlib.sha256("\0".join(options).encode())
    for photo in photos:
        digest.update(photo.read_bytes() if photo.is_file() else str(photo.resolve()).encode())
    return digest.hexdigest()[:10]
