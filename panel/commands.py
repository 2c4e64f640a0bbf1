"""The page's fields → a command line of harness.py in Modiste's own environment, and the run's folder."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ..install import ROOT
from . import environment

PRESETS = ("mini", "sd15", "sdxl")
# As search/strategies.py has them; this page can't import it.
STRATEGIES = (
    *("minimal", "all_tags", "high_confidence_only", "category_first", "weighted_by_confidence", "sentence"),
    *("tag_list", "colour_pattern_focus", "structure_focus", "style_focus", "contrastive", "sentence_negative"),
    *("sentence_view", "studio", "tags_negative"),
)
BUDGETS, STEPS, RANKS = (8, 120), (50, 5000), (4, 128)
WEBUI, OWN_MODEL = "webui", "local"  # the host that draws
LOOPBACK = ("localhost", "127.0.0.1", "::1")
WORD = re.compile(r"[\w-]{0,40}")


class BadForm(Exception):
    """A field that can't be used as it is: `field` names it, `why` is a key of texts.py."""

    def __init__(self, field: str, why: str):
        self.field, self.why = field, why
        super().__init__(f"{field}: {why}")


def photos_of(
    uploads: Sequence[object] | None, folder: str, folders_allowed: bool, sent: str | None = None
) -> list[Path]:
    """The uploaded files and the picture that was sent; or a folder where the host lets people name folders."""
    files = [Path(getattr(upload, "name", None) or str(upload)) for upload in uploads or ()]
    files += [Path(sent)] if sent else []
    if files:
        return files
    if not folder.strip() or not folders_allowed:
        raise BadForm("photos", "no_photos")
    path = Path(folder.strip().strip('"')).expanduser()
    if not path.is_dir():
        raise BadForm("folder", "no_folder")
    return [path]


def server_options(url: str, certificate: str | None = None) -> tuple[str, ...]:
    """The options that reach this machine's WebUI, also by its address on the network or with its own certificate."""
    host = urlsplit(url).hostname or ""
    options = ["--url", url]
    if host not in LOOPBACK:
        options += ["--allow-remote"]
    if certificate:
        options += ["--ca-file", certificate]
    return tuple(options)


def tag_command(photos: Sequence[Path], preset: str, encoder: str = "", any_photo: bool = False) -> list[str]:
    """`harness.py tag`; `encoder`: another one than the preset's. `any_photo`: also those without a garment."""
    return _harness("tag", *map(str, photos), *models_options(preset, encoder), *["--force"] * any_photo, "--json")


def score_command(preset: str, encoder: str, device: str) -> list[str]:
    """`harness.py score-lines`, which scores what is written to it."""
    return _harness("score-lines", *models_options(preset, encoder), "--device", device)


def prompt_command(
    photos: Sequence[Path],
    preset: str,
    drawer: str,
    server: Sequence[str],
    strategies: Sequence[str],
    budget: float,
    runs: Path,
    photo_shape: bool = False,
    encoder: str = "",
    edits: tuple[Sequence[str], Sequence[str]] = ((), ()),
    any_photo: bool = False,
) -> tuple[list[str], Path]:
    """`harness.py prompt` and the run's folder: the same form resumes the same run, also at another address.

    `server`: the options that reach this WebUI (`server_options`). `edits`: pinned tags, and those left out.
    `any_photo`: also photos in which no garment is found.
    """
    unknown = [name for name in strategies if name not in STRATEGIES]
    if unknown or drawer not in (WEBUI, OWN_MODEL):
        raise BadForm("strategies", "no_choice")
    options = [*models_options(preset, encoder), "--budget", str(_within(budget, BUDGETS, "budget"))]
    if strategies:
        options += ["--strategies", ",".join(strategies)]
    for option, tags in zip(("--pin", "--leave-out"), edits, strict=True):
        options += [word for tag in tags for word in (option, tag)]
    if photo_shape:
        options += ["--aspect", "photo"]
    if any_photo:
        options += ["--force"]
    if drawer == WEBUI:
        options += ["--host", "webui"]
    digest = digest_of(photos, options)
    options += server if drawer == WEBUI else []
    out = runs / f"prompt-{digest}"
    return _harness("prompt", *folders_of(photos, runs, digest), "--out", str(out), *options, "--json"), out


def finetune_command(
    photos: Sequence[Path],
    preset: str,
    checkpoint: str | None,
    trigger: str,
    steps: float,
    rank: float,
    runs: Path,
    lora: tuple[Path, str],
) -> tuple[list[str], Path]:
    """`harness.py finetune` and the run's folder; no checkpoint trains on the preset's own model.

    `lora`: the WebUI's LoRA folder and the file's name there, into which the training itself delivers.
    """
    if not WORD.fullmatch(trigger.strip()):
        raise BadForm("trigger", "one_word")
    options = ["--preset", _preset(preset), "--steps", str(_within(steps, STEPS, "steps"))]
    options += ["--rank", str(_within(rank, RANKS, "rank"))]
    if trigger.strip():
        options += ["--trigger", trigger.strip()]
    if checkpoint:
        options += ["--checkpoint", checkpoint]
    digest = digest_of(photos, options)
    out = runs / f"train-{digest}"
    options += ["--deliver-to", str(made(lora[0]))]
    if lora[1].strip():
        options += ["--deliver-as", lora[1].strip()]
    return _harness("finetune", *folders_of(photos, runs, digest), "--out", str(out), *options, "--json"), out


def pipeline_command(
    photos: Sequence[Path],
    preset: str,
    drawer: str,
    server: Sequence[str],
    lora_folder: Path,
    trigger: str,
    budget: float,
    with_class: bool,
    runs: Path,
    photo_shape: bool = False,
    encoder: str = "",
    any_photo: bool = False,
) -> tuple[list[str], Path]:
    """`harness.py pipeline` and its folder; the LoRA, where it pays, goes into the WebUI's own folder."""
    if not WORD.fullmatch(trigger.strip()):
        raise BadForm("trigger", "one_word")
    if drawer not in (WEBUI, OWN_MODEL):
        raise BadForm("drawer", "no_choice")
    options = [*models_options(preset, encoder), "--budget", str(_within(budget, BUDGETS, "budget"))]
    if trigger.strip():
        options += ["--trigger", trigger.strip()]
    if with_class:
        options += ["--with-generated"]
    if photo_shape:
        options += ["--aspect", "photo"]
    if any_photo:
        options += ["--force"]
    if drawer == WEBUI:
        options += ["--host", "webui", "--lora-dir", str(made(lora_folder))]
    digest = digest_of(photos, options)
    options += server if drawer == WEBUI else []
    options += ["--deliver-to", str(made(lora_folder))]
    out = runs / f"pipeline-{digest}"
    return _harness("pipeline", *folders_of(photos, runs, digest), "--out", str(out), *options, "--json"), out


def folders_of(photos: Sequence[Path], runs: Path, digest: str) -> list[str]:
    """The photos as folders, which is what the trainer takes; uploads are copied, as the WebUI may delete its own."""
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


def made(folder: Path) -> Path:
    """The folder, which exists now; BadForm where it can't be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        raise BadForm("lora", "no_lora_folder") from None
    return folder


def _harness(*words: str) -> list[str]:
    return [str(environment.environment_python()), str(ROOT / "harness.py"), *words]


def models_options(preset: str, encoder: str) -> list[str]:
    """The preset, and the encoder in place of its own; BadForm for a preset that there is not."""
    return ["--preset", _preset(preset), *(["--encoder", encoder.strip()] if encoder.strip() else [])]


def _preset(name: str) -> str:
    if name not in PRESETS:
        raise BadForm("preset", "no_choice")
    return name


def _within(value: float, span: tuple[int, int], field: str) -> int:
    if not span[0] <= value <= span[1]:
        raise BadForm(field, "out_of_range")
    return int(value)


def digest_of(photos: Sequence[Path], options: Sequence[str]) -> str:
    """10 hex digits that identify a run: photos by content, and options."""
    digest = hashlib.sha256("\0".join(options).encode())
    for photo in photos:
        digest.update(photo.read_bytes() if photo.is_file() else str(photo.resolve()).encode())
    return digest.hexdigest()[:10]
