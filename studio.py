"""The models of a preset, opened once: who reads photos, who scores, who judges, who draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import InputError, MissingWeights
from .fashion.calibration import Calibration, load_temperatures
from .fashion.encoder_settings import encoder_settings
from .fashion.encoders import load_encoder, load_image_encoder
from .fashion.scorer import Scorer
from .fashion.tagger import Tagger
from .fashion.taxonomy import Taxonomy, load_taxonomy
from .presets import require_weights

if TYPE_CHECKING:
    from .fashion.encoder import Encoder
    from .hosts.request import Host
    from .presets import Preset


@dataclass(frozen=True)
class Eyes:
    """What looks at pictures. `judge` never steers the search; None where its weights are missing."""

    taxonomy: Taxonomy
    encoder: Encoder
    tagger: Tagger
    scorer: Scorer
    judge: Scorer | None


@dataclass(frozen=True)
class Studio:
    """Everything that a run needs, opened."""

    preset: Preset
    eyes: Eyes
    host: Host


def open_eyes(preset: Preset, device: str = "auto") -> Eyes:
    """Tagger, scorer and judge of a preset; MissingWeights names what is not on this machine."""
    tagger = open_tagger(preset, device)
    scorer = _scorer(preset, tagger.encoder, "clip")
    return Eyes(tagger.taxonomy, tagger.encoder, tagger, scorer, open_judge(preset, device))


def open_tagger(preset: Preset, device: str = "auto") -> Tagger:
    """The tagger alone: what a catalogue's tags need."""
    require_weights(preset, "encoder")
    revision = preset.revisions.get(preset.encoder)
    encoder = load_encoder(preset.encoder, revision=revision, device=device, framing=preset.framing)
    measured = load_temperatures(preset.calibration if preset.measured else None)
    return Tagger(encoder, load_taxonomy(preset.taxonomy), measured, settings=encoder_settings(preset.encoder))


def open_judge(preset: Preset, device: str = "auto") -> Scorer | None:
    """The second opinion, where this machine has it."""
    try:
        encoder = load_image_encoder(preset.judge, revision=preset.revisions.get(preset.judge), device=device)
    except MissingWeights:
        return None
    return _scorer(preset, encoder, "judge")


def open_host(preset: Preset, kind: str = "local", device: str = "auto") -> Host:
    """Who draws."""
    if kind != "local":
        raise InputError(f"there is no host {kind!r}", to_try="--host local")
    from .hosts.local import LocalHost

    return LocalHost(preset.checkpoint, revision=preset.revisions.get(preset.checkpoint), device=device)


def open_studio(preset: Preset, host: str = "local", device: str = "auto") -> Studio:
    """The whole studio; missing weights are named, all at once, before anything is loaded."""
    require_weights(preset, "checkpoint", "encoder")
    drawing = open_host(preset, host, device)
    return Studio(preset, open_eyes(preset, device), drawing)


def _scorer(preset: Preset, encoder: Encoder, role: str) -> Scorer:
    if preset.calibration is None or (role == "clip" and not preset.measured):
        return Scorer(encoder, Calibration.generic(encoder.identity, role))
    return Scorer(encoder, Calibration.bundled(preset.calibration, role))
