"""The models of a preset, opened once: who reads photos, who scores, who judges, who draws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError, MissingWeights
from .fashion.calibration import Calibration, load_temperatures
from .fashion.encoder_settings import encoder_settings
from .fashion.encoders import load_encoder, load_image_encoder
from .fashion.scorer import Scorer
from .fashion.tagger import Tagger
from .fashion.taxonomy import Taxonomy, load_taxonomy
from .presets import PRESETS, require_weights

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
    lora_dir: Path | None = None  # the LoRA folder of a server that draws


def open_eyes(preset: Preset, device: str = "auto") -> Eyes:
    """Tagger, scorer and judge of a preset; MissingWeights names what is not on this machine."""
    tagger = open_tagger(preset, device)
    scorer = scorer_of(preset, tagger)
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


@dataclass(frozen=True)
class HostChoice:
    """Who draws: local | webui | comfy, and for the latter two at which addresses."""

    kind: str = "local"
    urls: tuple[str, ...] = ()
    allow_remote: bool = False
    workflow: Path | None = None  # ComfyUI's, in place of the plain one
    lora_dir: Path | None = None  # the server's own LoRA folder, for files that are trained here


USUAL_URL = {"webui": "http://127.0.0.1:7860", "comfy": "http://127.0.0.1:8188"}


def open_host(preset: Preset, choice: HostChoice | str = "local", device: str = "auto") -> Host:
    """Who draws; several addresses are one host that shares the work out. Nothing is connected yet.

    A server draws with what it has loaded, unless the preset's checkpoint was replaced by a name that it knows.
    """
    chosen = HostChoice(choice) if isinstance(choice, str) else choice
    if chosen.kind == "local":
        if chosen.urls or chosen.workflow:
            raise InputError("--url and --workflow are a server's", to_try="--host webui or --host comfy")
        if chosen.lora_dir:
            raise InputError("--lora-dir is a server's: the local host opens the file", to_try="leave it out")
        from .hosts.local import LocalHost

        return LocalHost(preset.checkpoint, revision=preset.revisions.get(preset.checkpoint), device=device)
    if chosen.kind not in USUAL_URL:
        raise InputError(f"there is no host {chosen.kind!r}", to_try="--host local, webui or comfy")
    own = PRESETS[preset.name].checkpoint if preset.name in PRESETS else None
    checkpoint = preset.checkpoint if preset.checkpoint != own else None
    urls = chosen.urls or (USUAL_URL[chosen.kind],)
    hosts = [_open_server(chosen, url, checkpoint) for url in urls]
    if len(hosts) == 1:
        return hosts[0]
    from .hosts.fleet import Fleet

    return Fleet(hosts, [host.url for host in hosts])


def _open_server(choice: HostChoice, url: str, checkpoint: str | None) -> Any:
    if choice.kind == "comfy":
        from .hosts.comfy.host import ComfyHost

        return ComfyHost(url, checkpoint, allow_remote=choice.allow_remote, workflow=choice.workflow)
    if choice.workflow:
        raise InputError("--workflow is a ComfyUI graph", to_try="--host comfy")
    from .hosts.webui.host import WebuiHost

    return WebuiHost(url, checkpoint=checkpoint, allow_remote=choice.allow_remote)


def open_studio(preset: Preset, host: HostChoice | str = "local", device: str = "auto") -> Studio:
    """The whole studio; missing weights are named, all at once, before anything is loaded."""
    choice = HostChoice(host) if isinstance(host, str) else host
    require_weights(preset, *(["checkpoint"] if choice.kind == "local" else []), "encoder")
    drawing = open_host(preset, choice, device)
    return Studio(preset, open_eyes(preset, device), drawing, choice.lora_dir)


def scorer_of(preset: Preset, tagger: Tagger) -> Scorer:
    """The scorer that looks with the tagger's encoder, which is opened already."""
    return _scorer(preset, tagger.encoder, "clip")


def _scorer(preset: Preset, encoder: Encoder, role: str) -> Scorer:
    if preset.calibration is None or (role == "clip" and not preset.measured):
        return Scorer(encoder, Calibration.generic(encoder.identity, role))
    return Scorer(encoder, Calibration.bundled(preset.calibration, role))
