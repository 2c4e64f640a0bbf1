"""Base model against tuned model on photos that neither search nor training has seen: the page that decides.

photo → tags → the same prompts → the same seeds → base | tuned at each strength → scorer, judge, tags → verdict

The strength is chosen on one set of seeds and the verdict falls on another, as in the prompt route.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from .bridge import branded, garment_of, plain
from .easel import Easel, Reference, Shot
from .errors import InputError
from .fashion.renderers import render
from .hosts.request import GenerationRequest
from .lora_delivery import deliver
from .progress import Pace, ProgressCallback, silent
from .prompt_route import label_shares
from .search.seeds import seed_plan
from .search.strategies import Context, distinct_strategies, refuse_unknown_strategies
from .trainer.results import RECORD

if TYPE_CHECKING:
    from .easel import Picture
    from .fashion.photos import Photo, Skip
    from .fashion.renderers import Rendered
    from .fashion.scorer import Scorer
    from .fashion.tags import PhotoTags
    from .hosts.request import Host, LoraRef
    from .runs.verdict import Comparison
    from .studio import Studio

STRENGTHS = (0.4, 0.6, 0.8, 1.0, 1.2)
CHOOSING_SEEDS, CONFIRM_SEEDS = 2, 4  # pictures a photo and strength, and a photo and arm
# Arm → whether the tuned model draws it; what they are says runs/verdict.py.
ARMS = {"name": False, "words": False, "base": False, "tuned": True, "tuned_words": True}


# ── what is compared ──


@dataclass(frozen=True)
class Tuned:
    """A LoRA or a whole model, and what is known of its making. `trained_on`: sha256 of photos, None: nobody knows."""

    file: Path
    kind: str  # lora | model
    identity: str
    trigger: str = ""
    record: dict[str, Any] | None = None  # train.json
    trained_on: frozenset[str] | None = None


def open_tuned(file: Path, trigger: str | None = None) -> Tuned:
    """A file or folder with the train.json beside it, where there is one; InputError for anything else."""
    kind, identity, said = _kind_of(file)
    record = file.parent / RECORD
    made = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else None
    config = made["config"] if made else {"data": {"trigger": said, "folders": []}}
    known = _contents(map(Path, config["data"]["folders"])) if made else {}
    held_out = {str(Path(path)) for path in made["photos"]["held_out"]} if made else set()
    trained_on = frozenset(sha256 for path, sha256 in known.items() if path not in held_out)
    word = config["data"]["trigger"] if trigger is None else trigger
    return Tuned(file, kind, identity, word, made, trained_on if known else None)


def _kind_of(file: Path) -> tuple[str, str, str]:
    """Kind, digest of the weights, and the trigger that the metadata names."""
    if (file / "model_index.json").is_file():
        from .hosts.local import LocalHost

        return "model", LocalHost(str(file), device="cpu").checkpoint_hash, ""
    if file.is_file() and file.suffix == ".safetensors":
        from .trainer.lora_file import model_hash_of, read_lora

        said = read_lora(file).metadata.get("modelspec.trigger_phrase", "")
        return "lora", model_hash_of(file.read_bytes())[:16], said
    raise InputError(
        "a tuned model is a LoRA as .safetensors or a diffusers folder with a model_index.json",
        where=str(file),
        to_try="what `finetune` left: fashion_lora_weights.safetensors or fashion_sd_model/",
    )


def _contents(folders: Any) -> dict[str, str]:
    """Path → sha256 of the photos in `folders` that are still there."""
    import hashlib

    from .fashion.photos import find_photos

    files = find_photos([folder for folder in folders if folder.is_dir()])[0]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


# ── settings ──


class CompareSettings(BaseModel):
    """Everything that decides what a comparison draws; its folder belongs to one of these."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str
    host: str
    checkpoint: str
    checkpoint_hash: str | None = None
    tuned: str  # digest of its weights
    trigger: str
    strategy: str = "sentence"  # the form of prompts and captions
    bound: tuple[str, ...] | None = None  # groups left to the trigger; None: those that the vocabulary binds
    seed: int = 0
    strengths: tuple[float, ...] = STRENGTHS
    choosing_seeds: int = CHOOSING_SEEDS
    confirm_seeds: int = CONFIRM_SEEDS
    steps: int
    cfg_scale: float
    sampler: str
    width: int  # pixels
    height: int

    @classmethod
    def for_studio(cls, studio: Studio, tuned: Tuned, **asked: Any) -> CompareSettings:
        """The preset's drawing defaults, overridden by what was asked; None means the default."""
        preset, host = studio.preset, studio.host.describe()
        defaults = {name: getattr(preset, name) for name in ("steps", "cfg_scale", "sampler", "width", "height")}
        given = {name: value for name, value in asked.items() if value is not None}
        drawer = dict(host=host.kind, checkpoint=host.checkpoint, checkpoint_hash=host.checkpoint_hash)
        if tuned.kind == "model":
            given["strengths"] = ()  # a whole model has none
        return cls(preset=preset.name, **drawer, tuned=tuned.identity, trigger=tuned.trigger, **{**defaults, **given})

    @property
    def drawing(self) -> dict[str, Any]:
        """What every request of the run has in common."""
        return self.model_dump(include={"steps", "cfg_scale", "sampler", "width", "height"})


# ── the comparison ──


@dataclass(frozen=True)
class Witnessed:
    """A picture with the scorer's similarity, and the judge's, where there is one."""

    picture: Picture
    judge: float | None


@dataclass
class PhotoPair:
    """One photo's pictures: arm → one a confirm seed, strength → one a choosing seed."""

    photo: Photo
    tags: PhotoTags
    prompts: dict[str, Rendered]
    arms: dict[str, list[Witnessed]] = field(default_factory=dict)
    strengths: dict[float, list[Witnessed]] = field(default_factory=dict)

    @property
    def reference(self) -> Reference:
        """What its pictures are compared with."""
        return Reference(self.photo.image, self.photo.sha256)

    @property
    def garment(self) -> str:
        """Pictures of one garment are one witness."""
        return garment_of(self.photo.path)


def proof_photos(photos: Sequence[Photo], tuned: Tuned) -> tuple[list[Photo], list[Photo]]:
    """(those that the tuned model has not trained on, those that it has); InputError where none is left."""
    trained_on = tuned.trained_on or frozenset()
    fresh = [photo for photo in photos if photo.sha256 not in trained_on]
    if not fresh:
        raise InputError(
            f"the tuned model was trained on all {len(photos)} photos: drawing them again proves nothing",
            where=str(tuned.file),
            to_try="photos of garments of the same look that it has not seen",
        )
    return fresh, [photo for photo in photos if photo.sha256 in trained_on]


def compare(
    proof: Sequence[Photo],
    training: Sequence[Photo],
    studio: Studio,
    tuned: Tuned,
    settings: CompareSettings,
    out: Path,
    progress: ProgressCallback = silent,
    skipped: Sequence[Skip] = (),
) -> Comparison:
    """Draws and judges; leaves journal and pictures in `out`, and returns the report.

    Killed at any instant and started again with the same settings, it draws nothing twice and reports the same.
    """
    from .comparison_report import report_of
    from .runs.journal import Journal

    refuse_unknown_strategies([settings.strategy])
    # the same prompts
    pairs = prompts_of(proof, studio, settings)
    seeds = seed_plan(settings.seed, settings.choosing_seeds * len(pairs), settings.confirm_seeds * len(pairs))
    sweep, judge = (0.0, *settings.strengths), studio.eyes.judge
    total = len(ARMS) * len(seeds.confirm) + (len(sweep) * len(seeds.search) if settings.strengths else 0)
    with Journal.open(out, settings.model_dump(mode="json")) as journal:
        pace = Pace("compare", total, progress)
        asked = GenerationRequest(prompt=pairs[0].prompts["tuned"].positive, seed=seeds.confirm[0], **settings.drawing)
        lora = deliver(tuned, studio, asked, out) if tuned.kind == "lora" else None
        wear = cache(partial(_easel, studio, tuned, lora, settings, journal, pace))  # a model is opened once
        tuned_easel = wear(1.0)
        tuned_easel.host.check(GenerationRequest(prompt="", seed=0, **tuned_easel.drawing))

        # which strength
        strength = 1.0
        if settings.strengths:
            for worn in sweep:
                drawn = draw(pairs, wear(worn), judge, f"strength {worn:g}", "tuned", seeds.search)
                for pair, pictures in zip(pairs, drawn, strict=True):
                    pair.strengths[worn] = pictures
            strength = best_strength(pairs, settings.strengths)

        # the same seeds, which have chosen nothing
        for arm, uses_tuned in ARMS.items():
            drawn = draw(pairs, wear(strength if uses_tuned else 0.0), judge, arm, arm, seeds.confirm)
            for pair, pictures in zip(pairs, drawn, strict=True):
                pair.arms[arm] = pictures
        pace.reach(total)
        lora_strength = strength if settings.strengths else None
        return report_of(pairs, training, studio, tuned, settings, seeds, lora_strength, journal, skipped)


def prompts_of(photos: Sequence[Photo], studio: Studio, settings: CompareSettings) -> list[PhotoPair]:
    """Each photo's prompts: the bare name, the best words, and those of the captions with their trigger."""
    taxonomy = studio.eyes.taxonomy
    write = partial(render, dialect=studio.host.dialect, count=studio.host.count_tokens)
    tags = studio.eyes.tagger.tag([photo.image for photo in photos])
    context, pairs = Context(share=label_shares(tags)), []
    for photo, seen in zip(photos, tags, strict=True):
        name = distinct_strategies(["minimal"], seen, taxonomy, context, write)["minimal"]
        words = write(plain(settings.strategy, seen, taxonomy, context))
        own = write(branded(settings.strategy, seen, taxonomy, context, settings.trigger, settings.bound))
        prompts = {"name": name, "words": words, "base": own, "tuned": own, "tuned_words": words}
        pairs.append(PhotoPair(photo, seen, prompts))
    return pairs


def draw(
    pairs: Sequence[PhotoPair], easel: Easel, judge: Scorer | None, name: str, arm: str, seeds: Sequence[int]
) -> list[list[Witnessed]]:
    """Each photo's prompt of `arm` on its own share of `seeds`, known to the journal as `name`, and judged.

    Common seeds would make the garments one witness: what a seed does to a prompt it does to its neighbour too.
    """
    wanted = []
    for index, pair in enumerate(pairs):
        shots = [Shot(name, pair.prompts[arm], seed) for seed in seeds[index :: len(pairs)]]
        wanted.append((pair.reference, shots))
    easel.prepare(wanted)
    found = []
    for reference, shots in wanted:
        pictures = easel.paint(reference, shots)
        scores = easel.judge(reference, pictures, judge) if judge else []
        seen = [score.similarity for score in scores] or [None] * len(pictures)
        found.append([Witnessed(picture, second) for picture, second in zip(pictures, seen, strict=True)])
    return found


def best_strength(pairs: Sequence[PhotoPair], strengths: Sequence[float]) -> float:
    """The weakest strength that is no more than one standard error below the best on the choosing seeds.

    What changes the model less keeps more of it: the one-standard-error rule of Breiman et al., "Classification and
    Regression Trees" (1984), §3.4.3, paired over photos.
    """
    scores = {
        strength: [fmean(seen.picture.score.similarity for seen in pair.strengths[strength]) for pair in pairs]
        for strength in strengths
    }
    best = max(strengths, key=lambda strength: fmean(scores[strength]))

    def is_as_good(strength: float) -> bool:
        lost = [ours - theirs for ours, theirs in zip(scores[best], scores[strength], strict=True)]
        return fmean(lost) <= (stdev(lost) / len(lost) ** 0.5 if len(lost) > 1 else 0.0)

    return min(filter(is_as_good, strengths))


def _easel(
    studio: Studio,
    tuned: Tuned,
    lora: LoraRef | None,
    settings: CompareSettings,
    journal: Any,
    pace: Pace,
    strength: float,
) -> Easel:
    """The base model at strength 0, else the tuned one."""
    host, drawing = studio.host, dict(settings.drawing)
    if strength and lora is not None:
        drawing["loras"] = (lora.model_copy(update={"strength": strength}),)
    elif strength:
        host, drawing = _model_host(studio.host, tuned, drawing)
    return Easel(host, journal, studio.eyes.scorer, drawing, pace.step)


def _model_host(host: Host, tuned: Tuned, drawing: dict[str, Any]) -> tuple[Host, dict[str, Any]]:
    """A local host opens the folder; any other has the model under its name."""
    if host.describe().kind != "local":
        return host, {**drawing, "checkpoint": tuned.file.name}
    from .hosts.local import LocalHost

    return LocalHost(str(tuned.file)), drawing
