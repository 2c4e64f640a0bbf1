"""Modiste from Python: the one surface that stays as it is. Everything else of the package may move.

    from modiste import api

    session = api.open_session("mini")
    report = api.optimise_prompts(["my-photos"], "run/prompt", session)

Photos are paths of files or folders. Every run leaves its files in `out`, and goes on there when it is started again
with the same arguments. Importing this module loads no library; each function imports what it needs.

Errors are ModisteError (modiste.core.errors): InputError for what can't be used, MissingWeights for models that are not
on this machine, Stopped for a run that kept its state and can go on. Each says what happened, where, and what to try.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.progress import ProgressCallback, silent

if TYPE_CHECKING:
    from PIL import Image

    from ..fashion.photos import Gathered
    from ..fashion.scorer import Similarity
    from ..fashion.tags import PhotoTags
    from ..models.session import Session
    from ..reports.comparison import ComparisonReport, PipelineReport
    from ..reports.prompt import BestStrategies, PromptReport
    from ..trainer.results import TrainResult

__all__ = [
    "compare_models",
    "finetune",
    "open_session",
    "optimise_prompts",
    "run_pipeline",
    "score_images",
    "tag_photos",
    "write_training_data",
]

StrPath = str | Path


def open_session(
    preset: str | None = None,
    *,
    host: str = "local",
    urls: Sequence[str] = (),
    allow_remote: bool = False,
    lora_dir: StrPath | None = None,
    device: str = "auto",
    models: Mapping[str, str] | None = None,
) -> Session:
    """Opens tagger, scorer, judge and the host that draws; hand the session to the other functions.

    `preset`: mini, sd15 or sdxl; None takes sd15 where its weights are on this machine, else mini. `host`: local, webui
    or comfy, the latter two at `urls` (loopback unless `allow_remote`) with their LoRA folder in `lora_dir`. `device`:
    auto, cpu, cuda or mps. `models` replaces fields of the preset: checkpoint, encoder, taxonomy, framing.
    """
    from ..models.drawing_host import HostChoice
    from ..models.presets import default_preset
    from ..models.presets import preset as named_preset
    from ..models.session import open_session as open_models

    needed = ("checkpoint", "encoder") if host == "local" else ("encoder",)
    chosen = default_preset(needed) if preset is None else named_preset(preset)
    folder = None if lora_dir is None else Path(lora_dir)
    choice = HostChoice(host, tuple(urls), allow_remote, None, folder)
    return open_models(chosen.replaced(**(models or {})), choice, device)


def tag_photos(photos: Sequence[StrPath], session: Session) -> dict[Path, PhotoTags]:
    """Each usable photo's tags, with calibrated confidences 0 … 1, by its path in the order of the files.

    Photos that can't be used are left out; InputError where none can. For a catalogue that does not fit into memory:
    the command `modiste tag`.
    """
    gathered = _gathered(photos)
    tags = session.vision.tagger.tag([photo.image for photo in gathered.photos])
    return {photo.path: seen for photo, seen in zip(gathered.photos, tags, strict=True)}


def score_images(
    images: Sequence[StrPath | Image.Image], reference: StrPath | Image.Image, session: Session
) -> list[Similarity]:
    """How like the reference each image is: 0 another garment of its kind, 1 a second photo of the same one.

    `similarity_score` is calibrated and clipped to 0 … 1, `raw_cosine` is the encoder's own, −1 … 1.
    """
    return session.vision.scorer.score([_image(image) for image in images], _image(reference))


def optimise_prompts(
    photos: Sequence[StrPath],
    out: StrPath,
    session: Session,
    *,
    budget: int = 40,
    seed: int = 0,
    words: str | None = None,
    progress: ProgressCallback = silent,
    **settings: Any,
) -> PromptReport:
    """Finds the prompt that makes the model draw each photo's garment again, and proves it on seeds it never searched.

    `budget`: pictures a photo, confirmation included, 8 or more. `words`: your own for the photos, which compete and
    are measured against; None: the .txt beside each photo, '': none. `settings`: further fields of PromptSettings, such
    as `strategies`, `steps`, `cfg_scale`, `sampler`, `learn`. The weights of the model never change.
    """
    from ..routes.given_words import words_for
    from ..routes.prompt.optimise import optimise_prompts as optimise
    from ..routes.prompt.settings import PromptSettings

    gathered = _gathered(photos)
    given = words_for(gathered, words)
    wanted = PromptSettings.for_session(session, budget=budget, seed=seed, words=given, **settings)
    return optimise(gathered, session, wanted, Path(out), progress)


def write_training_data(
    photos: Sequence[StrPath],
    best: BestStrategies,
    out: StrPath,
    session: Session,
    *,
    trigger: str = "",
    bound: Sequence[str] | None = None,
) -> Path:
    """Writes photos and captions as a training reads them, and returns the folder of the photos.

    Captions have the form that won the search. What belongs to the brand is left to the `trigger` word: the groups of
    the vocabulary in `bound`, by default those that it binds. A caption that stands beside a photo already is kept.
    """
    from ..routes.dataset_folder import captions_of, lay_out

    gathered = _gathered(photos)
    tags = session.vision.tagger.tag([photo.image for photo in gathered.photos])
    strategy = best.optimal_prompt_format["strategy"]
    captions = captions_of(gathered.photos, tags, strategy, session.vision.taxonomy, trigger, bound)
    return Path(lay_out(gathered.photos, captions, {}, Path(out))["folders"][0])


def finetune(
    folders: Sequence[StrPath],
    out: StrPath,
    session: Session,
    *,
    trigger: str = "",
    steps: int | None = None,
    config: Mapping[str, Any] | None = None,
    progress: ProgressCallback = silent,
) -> TrainResult:
    """Trains a LoRA on folders of photos, or with `config={"method": "full"}` the whole UNet; `.file` is the result.

    Photos without a caption get the tagger's. `steps`: optimizer updates. `config`: fields of TrainConfig, nested, in
    place of the preset's defaults. Trains on the preset's checkpoint, whoever draws in the session.
    """
    from ..routes.finetune.finetune import config_for
    from ..routes.finetune.finetune import finetune as train

    asked = {"steps": steps, "data": {"trigger": trigger}}
    wanted = config_for(session.preset, [Path(folder) for folder in folders], dict(config or {}), asked)
    return train(wanted, Path(out), session.preset, progress)


def compare_models(
    photos: Sequence[StrPath],
    tuned: StrPath,
    out: StrPath,
    session: Session,
    *,
    progress: ProgressCallback = silent,
    **settings: Any,
) -> ComparisonReport:
    """Draws photos that the tuned model has not seen with it and with its base, on the same seeds, and says which won.

    `tuned`: a LoRA as .safetensors, or the folder of a whole model. `settings`: further fields of CompareSettings, such
    as `strategy` (the form of its captions), `bound`, `confirm_seeds`, `seed`. InputError where it has been trained on
    every photo.
    """
    from ..reports.comparison_page import write_verdict
    from ..routes.compare.compare import compare
    from ..routes.compare.settings import CompareSettings
    from ..routes.compare.tuned import open_tuned, proof_photos

    gathered, model = _gathered(photos), open_tuned(Path(tuned))
    proof, training = proof_photos(gathered.photos, model)
    wanted = CompareSettings.for_session(session, model, **settings)
    report = compare(proof, training, session, model, wanted, Path(out), progress, gathered.skipped)
    write_verdict(report, Path(out), taxonomy=session.vision.taxonomy)
    return report


def run_pipeline(
    photos: Sequence[StrPath],
    out: StrPath,
    session: Session,
    *,
    trigger: str,
    budget: int = 16,
    seed: int = 0,
    progress: ProgressCallback = silent,
    **settings: Any,
) -> PipelineReport:
    """From photos of one brand to a verdict: searches prompts, trains on what they taught, compares base and tuned.

    Eight photos or more, of which a part is kept for the verdict alone. `settings`: further fields of
    PipelineSettings, such as `train` (fields of TrainConfig), `searched`, `bound`, `compare`.
    """
    from ..routes.pipeline.pipeline import PipelineSettings
    from ..routes.pipeline.pipeline import run_pipeline as run
    from ..routes.prompt.settings import PromptSettings

    search = PromptSettings.for_session(session, budget=budget, seed=seed)
    wanted = PipelineSettings(prompt=search, trigger=trigger, **settings)
    report = run(_gathered(photos), session, wanted, Path(out), None, progress)
    assert report is not None  # all stages were asked for
    return report


def _gathered(photos: Sequence[StrPath]) -> Gathered:
    from ..fashion.photos import gather_photos

    return gather_photos([Path(photo) for photo in photos])


def _image(image: StrPath | Image.Image) -> Image.Image:
    from ..fashion.photos import read_photo

    return read_photo(Path(image)).image if isinstance(image, (str, Path)) else image
