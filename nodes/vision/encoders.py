"""Tagger, scorer and judge for the nodes, by the encoder's name in their list; opened once."""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...core.errors import InputError, MissingWeights
from ...core.weights import MARKERS, hub_cache, locate
from ...models.presets import PRESETS, ROOT
from ...models.vision import VisionModels, open_vision_models
from ..choices import AUTO, FASHION_CLIP, MINI
from ..missing_libraries import require

HUB_ID = PRESETS["sd15"].encoder
ENCODER_FILES = "config.json, model.safetensors, preprocessor_config.json and the tokenizer's files"

opening = threading.Lock()  # the queue and the page's right click may ask at the same time


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder by its name in the list, a vocabulary, and where encoders may lie."""

    encoder: str
    vocabulary: str
    device: str
    folders: tuple[Path, ...]


def vision_models(choice: EncoderChoice) -> VisionModels:
    """Tagger, scorer and judge; MissingWeights names the files and the folder they belong in."""
    require("Reading pictures", "transformers")
    with opening:
        return _open(choice)


def forget_vision_models() -> None:
    """Releases the models, so that a training has the memory."""
    _open.cache_clear()


def vocabulary_of(encoder: str, vocabulary: str = AUTO) -> str:
    """The vocabulary's own name, or for AUTO the name of the one that fits the encoder."""
    return vocabulary if vocabulary != AUTO else PRESETS["mini" if encoder == MINI else "sd15"].taxonomy


def chosen_encoder(encoder: str, folders: tuple[Path, ...]) -> str:
    """The encoder itself; for AUTO FashionCLIP, or MINI where its weights are not on this machine."""
    if encoder != AUTO:
        return encoder
    return FASHION_CLIP if encoder_folder(FASHION_CLIP, folders) else MINI


def fallback_notice(encoder: str, folders: tuple[Path, ...]) -> str:
    """What to tell the user where AUTO is MINI on this machine; else ""."""
    if encoder != AUTO or chosen_encoder(encoder, folders) != MINI:
        return ""
    return (
        f"{FASHION_CLIP} is not on this machine: the embedded encoder {MINI} reads the pictures, which knows drawn "
        f"garments only. For photos: `{get_command(folders[0])}`, in a terminal"
    )


def get_command(folder: Path) -> str:
    """The command that fetches FashionCLIP, whole: neither `modiste` nor this host's Python need be on the path."""
    words = [sys.executable, str(ROOT / "harness.py"), "get", FASHION_CLIP, "--to", str(folder)]
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


@lru_cache(maxsize=1)
def _open(choice: EncoderChoice) -> VisionModels:
    if choice.encoder == MINI:
        return open_vision_models(PRESETS["mini"].replaced(taxonomy=choice.vocabulary), choice.device)
    folder = find_encoder(choice.encoder, choice.folders)
    preset = PRESETS["sd15"].replaced(encoder=str(folder), taxonomy=choice.vocabulary)
    known_as = HUB_ID if choice.encoder == FASHION_CLIP else choice.encoder
    return open_vision_models(preset, choice.device, known_as)


def encoder_folder(name: str, folders: tuple[Path, ...]) -> Path | None:
    """`models/fashion_clip/NAME`; for FashionCLIP also that folder itself, and the hub's cache. None: not here."""
    places = [folder / name for folder in folders]
    if name == FASHION_CLIP:
        places += folders
    path = next((place for place in places if any((place / marker).is_file() for marker in MARKERS)), None)
    return locate(HUB_ID) if path is None and name == FASHION_CLIP else path


def find_encoder(name: str, folders: tuple[Path, ...]) -> Path:
    """The encoder's folder; MissingWeights names the files and where they belong."""
    if Path(name).name != name:
        raise InputError(f"there is no encoder {name!r}", to_try="choose one of the list")
    folder = encoder_folder(name, folders)
    if folder is None:
        target = folders[0] / name
        hub = f", {hub_cache()}" if name == FASHION_CLIP else ""
        raise MissingWeights(
            f"the encoder {name} is not on this machine",
            where=f"looked in {target}{hub}",
            to_try=f"put {ENCODER_FILES} of {HUB_ID} there, or run `{get_command(folders[0])}`; "
            f"or choose the encoder {MINI}, embedded, which knows drawn garments only",
        )
    return folder
