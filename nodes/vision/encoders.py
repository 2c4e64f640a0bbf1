"""Who looks at pictures for the nodes: tagger and scorer by the encoder's name in a list, opened once."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...core.errors import InputError, MissingWeights
from ...core.weights import MARKERS, hub_cache, locate
from ...fashion.calibration import Calibration
from ...fashion.encoders.load import load_encoder
from ...fashion.encoders.settings import encoder_settings
from ...fashion.scorer import Scorer
from ...fashion.tagger import Tagger
from ...fashion.taxonomy import load_taxonomy
from ...models.presets import PRESETS
from ...models.vision import VisionModels, open_judge, open_tagger
from ..choices import AUTO, FASHION_CLIP, MINI
from ..missing_libraries import require

HUB_ID = PRESETS["sd15"].encoder
WANTED = "config.json, model.safetensors, preprocessor_config.json and the tokenizer's files"

opening = threading.Lock()  # the queue and a right click may look at the same time


@dataclass(frozen=True)
class Chosen:
    """An encoder by its name in the list, a vocabulary, and where encoders may lie."""

    encoder: str
    vocabulary: str
    device: str
    folders: tuple[Path, ...]


def open_eyes(chosen: Chosen) -> VisionModels:
    """Tagger, scorer and judge; MissingWeights names the files and the folder they belong in."""
    require("Reading pictures", "transformers")
    with opening:
        return _opened(chosen)


def forget_vision_models() -> None:
    """Lets the models go, so that a training has the memory."""
    _opened.cache_clear()


def vocabulary_of(encoder: str, asked: str = AUTO) -> str:
    """The name of the vocabulary that was asked for, or of the one that fits the encoder."""
    return asked if asked != AUTO else PRESETS["mini" if encoder == MINI else "sd15"].taxonomy


@lru_cache(maxsize=1)
def _opened(chosen: Chosen) -> VisionModels:
    taxonomy = load_taxonomy(chosen.vocabulary)
    if chosen.encoder == MINI:
        preset = PRESETS["mini"]
        tagger = open_tagger(preset, chosen.device)
        if taxonomy != tagger.taxonomy:
            tagger = Tagger(tagger.encoder, taxonomy, settings=tagger.settings)
        scorer = Scorer(tagger.encoder, Calibration.bundled(preset.calibration or "", "clip"))
        return VisionModels(taxonomy, tagger.encoder, tagger, scorer, open_judge(preset, chosen.device))
    known = HUB_ID if chosen.encoder == FASHION_CLIP else chosen.encoder
    encoder = load_encoder(str(find_encoder(chosen.encoder, chosen.folders)), device=chosen.device)
    scorer = Scorer(encoder, Calibration.generic(encoder.identity))
    tagger = Tagger(encoder, taxonomy, settings=encoder_settings(known))
    return VisionModels(taxonomy, encoder, tagger, scorer, open_judge(PRESETS["sd15"], chosen.device))


def encoder_folder(name: str, folders: tuple[Path, ...]) -> Path | None:
    """`models/fashion_clip/NAME`; for FashionCLIP also that folder itself, and the hub's cache. None: not here."""
    places = [folder / name for folder in folders]
    if name == FASHION_CLIP:
        places += folders
    found = next((one for one in places if any((one / marker).is_file() for marker in MARKERS)), None)
    return locate(HUB_ID) if found is None and name == FASHION_CLIP else found


def find_encoder(name: str, folders: tuple[Path, ...]) -> Path:
    """The encoder's folder; MissingWeights names the files and where they belong."""
    if Path(name).name != name:
        raise InputError(f"there is no encoder {name!r}", to_try="choose one of the list")
    found = encoder_folder(name, folders)
    if found is None:
        wanted = folders[0] / name
        hub = f", {hub_cache()}" if name == FASHION_CLIP else ""
        raise MissingWeights(
            f"the encoder {name} is not on this machine",
            where=f"looked in {wanted}{hub}",
            to_try=f"put {WANTED} of {HUB_ID} into {wanted} (`hf download {HUB_ID} --local-dir {wanted}`); or choose "
            f"the encoder {MINI}, which is embedded and knows drawn garments only",
        )
    return found
