"""Searching and comparing with the graph's own model: hosts from links, and where a search keeps what it drew."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...fashion.photos import Gathered
from ...models.presets import PRESETS
from ...models.session import Session
from ...routes.prompt.optimise import optimise_prompts
from ...routes.prompt.settings import PromptSettings
from ..vision.batches import observe, photo_in_memory, reading_notices, similarities
from .folders import runs_root
from .graph import checkpoint_of, digest_of
from .graph_host import ComfyGraphHost
from .model_management import NodeProgress, refuse_if_cancelled
from .patches import refuse_unchanged, refuse_unfit_lora

if TYPE_CHECKING:
    from PIL import Image

    from ...models.vision import VisionModels
    from ...reports.prompt import PhotoReport

ID_DIGITS = 12
UNKNOWN_CHECKPOINT = "model of the graph"
FULL_STRENGTH = 1.0  # the strength of a model that is tuned already


def host_of(model: Any, clip: Any, vae: Any, scheduler: str, prompt: Mapping[str, Any], node: str) -> ComfyGraphHost:
    """A host that draws with the graph's model, named by its checkpoint and by a digest of all nodes before it."""
    try:
        name = checkpoint_of(prompt, node).ckpt_name
    except InputError:  # another loader's model has no checkpoint name, and draws all the same
        name = UNKNOWN_CHECKPOINT
    digest = digest_of(prompt, node, ("model", "clip", "vae"))
    return ComfyGraphHost(model, clip, vae, scheduler, name, digest, refuse_if_cancelled)


def tuned_hosts(
    base: ComfyGraphHost, lora: Any, tuned: Any, strengths: Sequence[float]
) -> list[tuple[float, ComfyGraphHost]]:
    """(strength, host) of each tuned model.

    InputError unless there is a LoRA or a tuned model, and not both, and it changes something in the base.
    """
    import comfy.sd

    if (lora is None) == (tuned is None):
        problem = "both a lora and a tuned model are" if lora is not None else "neither a lora nor a tuned model is"
        raise InputError(f"{problem} connected", to_try="connect one of the two")
    if tuned is not None:
        refuse_unchanged(base.model, tuned)
        models = [(FULL_STRENGTH, tuned, base.clip)]
    else:
        refuse_unfit_lora(base.model, base.clip, lora)
        models = [
            (strength, *comfy.sd.load_lora_for_models(base.model, base.clip, lora, strength, strength))
            for strength in strengths
        ]
    return [(strength, _tuned_host(base, model, clip, strength)) for strength, model, clip in models]


def _tuned_host(base: ComfyGraphHost, model: Any, clip: Any, strength: float) -> ComfyGraphHost:
    """The base's host with another model and text encoder."""
    digest = f"{base.digest}+{strength:g}"
    return ComfyGraphHost(model, clip, base.vae, base.scheduler, base.name, digest, base.check_cancelled)


@dataclass(frozen=True)
class SearchResult:
    """The report on one photo, its best picture, and the run's folder."""

    photo: PhotoReport
    picture: Image.Image
    folder: Path
    notices: str = ""  # how the photo was read, where that is worth a sentence

    def row(self) -> dict[str, Any]:
        """The result as the page's widget reads it."""
        gain = self.photo.confidence_interval
        return {
            "strategy": self.photo.strategy,
            "prompt": self.photo.optimized_prompt,
            "similarity": round(self.photo.similarity_score, 4),
            "baseline": round(self.photo.baseline_score, 4),
            "interval": [round(gain.low, 4), round(gain.high, 4)],
            "improved": self.photo.improved,
        }

    def report(self) -> str:
        """The result as lines of text: the verdict, the prompt, the figures, each trial."""
        tried = [f"   {trial.score:.3f} {trial.strategy}: {trial.prompt}" for trial in self.photo.tried]
        return "\n".join(
            [
                *filter(None, [self.notices]),
                self.photo.verdict,
                f"{self.photo.strategy}: {self.photo.optimized_prompt}",
                f"similarity {self.photo.similarity_score:.3f}, plain tag list {self.photo.baseline_score:.3f}, "
                f"bare name {self.photo.minimal_score:.3f}; {self.photo.generations} pictures",
                "tried:",
                *tried,
                f"all of it: {self.folder / 'report.html'}",
            ]
        )


def search(
    host: ComfyGraphHost, vision: VisionModels, references: Sequence[Image.Image], options: dict[str, Any]
) -> SearchResult:
    """Runs the prompt route on one photo; pictures drawn before a Cancel are not drawn again."""
    from PIL import Image

    if len(references) != 1:
        raise InputError(
            f"{len(references)} references: a search is for one photo",
            to_try="the list of Load Fashion Photos, which is searched one by one",
        )
    image = references[0]
    searched = photo_in_memory("reference.png", image)
    session = Session(PRESETS["sd15"], vision, host)
    settings = PromptSettings.for_session(session, **options)
    inputs = [settings.model_dump(mode="json"), host.scheduler, vision.scorer.key, vision.taxonomy.id, searched.sha256]
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:ID_DIGITS]
    folder = runs_root() / f"search-{digest}"
    gathered = Gathered(photos=[searched])
    report = optimise_prompts(gathered, session, settings, folder, NodeProgress(options["budget"]).follow)
    photo = report.images[0]
    pictures = [Image.open(folder / path).convert("RGB") for path in photo.pictures["winner"]]
    *observations, reference = observe(vision.tagger, [*pictures, image], lambda done, total: None)
    notices = reading_notices(vision.tagger.read([reference]))
    scores = [path.unclipped for path in similarities(vision.scorer, observations, [reference])]
    return SearchResult(photo, pictures[scores.index(max(scores))], folder, notices)
