"""The models of a preset that read and score pictures: tagger, scorer, judge. The one place that opens them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.errors import MissingWeights
from ..core.weights import locate
from ..fashion.calibration import Calibration, Role, load_temperatures
from ..fashion.encoder_cache import KeepingTexts
from ..fashion.encoders.load import load_encoder, load_image_encoder
from ..fashion.encoders.settings import encoder_settings
from ..fashion.familiarity import Familiarity
from ..fashion.framing import Framer
from ..fashion.garment_finder import PLAIN_GROUND, GarmentFinder
from ..fashion.scorer import Scorer
from ..fashion.tagger import Tagger
from ..fashion.taxonomy import Taxonomy, load_taxonomy
from ..fashion.user_calibration import user_calibration
from .presets import require_weights

if TYPE_CHECKING:
    from ..fashion.encoders.protocol import Encoder
    from .presets import Preset


@dataclass(frozen=True)
class VisionModels:
    """Tagger, scorer and judge. The judge never steers the search; it is None where its weights are missing."""

    taxonomy: Taxonomy
    encoder: Encoder
    tagger: Tagger
    scorer: Scorer
    judge: Scorer | None


def open_vision_models(preset: Preset, device: str = "auto", known_as: str | None = None) -> VisionModels:
    """The vision models of a preset; raises MissingWeights if the encoder is not on this machine."""
    tagger = open_tagger(preset, device, known_as)
    scorer = scorer_of(preset, tagger)
    return VisionModels(tagger.taxonomy, tagger.encoder, tagger, scorer, open_judge(preset, device))


def open_tagger(preset: Preset, device: str = "auto", known_as: str | None = None, *, cpu_batch: int = 1) -> Tagger:
    """The tagger alone: what a catalogue's tags need.

    `known_as` names the encoder in encoders.json where `preset.encoder` is a folder; None takes `preset.encoder`.
    `cpu_batch`: photos that a CPU encodes at once; a catalogue's are CATALOGUE_BATCH (fashion/batch_tagging.py).
    """
    require_weights(preset, "encoder")
    revision, finder = preset.revisions.get(preset.encoder), open_finder(preset, device)
    framer = Framer(preset.framing, finder)
    encoder = load_encoder(preset.encoder, revision=revision, device=device, framer=framer, cpu_batch=cpu_batch)
    temperatures = load_temperatures(preset.calibration if preset.measured else None)
    own = user_calibration(encoder.identity, "clip")
    temperatures |= own.temperatures if own else {}
    settings = encoder_settings(known_as or preset.encoder)
    familiarity = Familiarity.load(preset.calibration if preset.measured else None)
    taxonomy = load_taxonomy(preset.taxonomy)
    tagger = Tagger(encoder, taxonomy, temperatures, settings=settings, familiarity=familiarity, finder=finder)
    tagger.encoder = KeepingTexts(encoder, tagger.key)
    return tagger


def open_finder(preset: Preset, device: str = "auto") -> GarmentFinder:
    """Who finds the garment on photos of this preset: the clothes parser where its weights are on this machine."""
    if preset.parser is None:
        return PLAIN_GROUND
    from ..fashion.clothes_parser import ClothesParser

    folder = locate(preset.parser, preset.revisions.get(preset.parser))
    if folder is None:
        return GarmentFinder(cautious=True)
    return GarmentFinder(ClothesParser(folder, f"{preset.parser}@{folder.name}", device), cautious=True)


def open_judge(preset: Preset, device: str = "auto") -> Scorer | None:
    """The judge of a preset; None where its weights are not on this machine."""
    try:
        encoder = load_image_encoder(preset.judge, revision=preset.revisions.get(preset.judge), device=device)
    except MissingWeights:
        return None
    return _scorer(preset, encoder, "judge")


def scorer_of(preset: Preset, tagger: Tagger) -> Scorer:
    """The scorer of a preset, with the tagger's encoder."""
    return _scorer(preset, tagger.encoder, "clip")


def _scorer(preset: Preset, encoder: Encoder, role: Role) -> Scorer:
    """By the user's own anchors where `modiste calibrate` measured them, else the preset's, else generic ones."""
    own = user_calibration(encoder.identity, role)
    if own is not None:
        return Scorer(encoder, own.as_calibration())
    if preset.calibration is None or (role == "clip" and not preset.measured):
        return Scorer(encoder, Calibration.generic(encoder.identity, role))
    return Scorer(encoder, Calibration.bundled(preset.calibration, role))
