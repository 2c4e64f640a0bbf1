"""What the prompt route found → what the training route learns from; and one split that all three stages obey.

photos         → proof (the verdict's alone) | validation (which checkpoint?) | training (search, gradient)
winning format → captions, in which what belongs to the brand is left to the trigger word
best samples   → pictures of the class, with those that class_pictures.py draws, where they are asked for
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from .errors import InputError
from .fashion.grammar import article
from .fashion.prompt import Phrase, Prompt
from .fashion.renderers import render
from .files import make_folder, write_whole
from .hosts.attention import read_weights
from .search.strategies import REFINED, STRATEGIES, Context, Wardrobe, sentence
from .trainer.captions import own_caption
from .trainer.dataset import MASK, uniform

if TYPE_CHECKING:
    from .fashion.photos import Photo
    from .fashion.tags import PhotoTags
    from .fashion.taxonomy import Taxonomy

PROOF_SHARE, VALIDATION_SHARE = 0.3, 0.1
MOST_PROOF, MOST_VALIDATION = 16, 24  # photos: more prove little more, and each costs pictures
LEAST_PROOF, LEAST_VALIDATION = 3, 2
LEAST_PHOTOS = LEAST_PROOF + LEAST_VALIDATION + 3
PHOTOS, GENERATED = "photos", "generated"  # folders of a dataset
VIEW = re.compile(r"[-_ ](front|back|side|left|right|detail|close|model|flat|ghost|look)[-_ ]?\d*$", re.IGNORECASE)


# ── the split ──


class SplitPhoto(BaseModel):
    """A photo and the garment that it shows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    sha256: str
    garment: str


class Split(BaseModel):
    """Which photo is for what; recorded beside the run, and the same for the same photos."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    training: tuple[SplitPhoto, ...]  # the search's too
    validation: tuple[SplitPhoto, ...]  # chooses the checkpoint
    proof: tuple[SplitPhoto, ...]  # seen by the verdict alone

    def of(self, part: Sequence[SplitPhoto], photos: Iterable[Photo]) -> list[Photo]:
        """The photos of a part, in the part's order."""
        by_content = {photo.sha256: photo for photo in photos}
        return [by_content[one.sha256] for one in part]


def garment_of(path: Path) -> str:
    """Photos of one garment by their names: `SKU-front.jpg` and `SKU_back 2.jpg` in one folder are both `SKU`."""
    return (path.parent / VIEW.sub("", path.stem)).as_posix()


def split_photos(photos: Sequence[Photo]) -> Split:
    """By content, so that a photo stays on its side whatever comes or goes beside it; proof takes whole garments.

    Validation has the smallest hashes of the rest: those that the trainer holds out (trainer/dataset.py).
    """
    garments: dict[str, list[Photo]] = {}
    for photo in photos:
        garments.setdefault(garment_of(photo.path), []).append(photo)
    if len(photos) < LEAST_PHOTOS or len(garments) <= LEAST_PROOF:
        raise InputError(
            f"{len(photos)} photos of {len(garments)} garments are too few to keep some for the proof",
            to_try=f"{LEAST_PHOTOS} photos of {LEAST_PROOF + 1} garments are the least, 20 photos are a collection",
        )
    last_first = sorted(garments.values(), key=lambda one: max(uniform(photo.sha256) for photo in one), reverse=True)
    wanted = _count(len(photos), PROOF_SHARE, LEAST_PROOF, MOST_PROOF)
    proof: list[Photo] = []
    for index, garment in enumerate(last_first):
        if index >= LEAST_PROOF and len(proof) + len(garment) > wanted:
            break
        proof += garment
    rest = sorted((photo for photo in photos if photo not in proof), key=lambda photo: uniform(photo.sha256))
    held = min(_count(len(photos), VALIDATION_SHARE, LEAST_VALIDATION, MOST_VALIDATION), len(rest) - 1)
    if held < 1:
        raise InputError("the photos of the proof leave nothing to train on", to_try="photos of more garments")
    return Split(training=_named(rest[held:]), validation=_named(rest[:held]), proof=_named(proof))


def _count(photos: int, share: float, least: int, most: int) -> int:
    return min(most, max(least, round(share * photos)))


def _named(photos: Sequence[Photo]) -> tuple[SplitPhoto, ...]:
    return tuple(
        SplitPhoto(path=str(photo.path), sha256=photo.sha256, garment=garment_of(photo.path)) for photo in photos
    )


# ── the format ──


def plain(strategy: str, tags: PhotoTags, taxonomy: Taxonomy, context: Context) -> Prompt:
    """The strategy's own prompt of a photo; the sentence where it has none."""
    wardrobe = Wardrobe(tags, taxonomy, context)
    prompt = STRATEGIES[strategy.removesuffix(REFINED)].write(wardrobe) or sentence(wardrobe)
    assert prompt is not None  # a sentence can always be written
    return prompt


def branded(
    strategy: str, tags: PhotoTags, taxonomy: Taxonomy, context: Context, trigger: str, bound: Sequence[str] | None
) -> Prompt:
    """The same as captions say it: the trigger before the garment's words, nothing of the `bound` groups, no weights.

    `bound` None: the groups that the vocabulary binds. What is not of the garment, such as light, is left out.
    """
    if trigger and bound is None:
        bound = [group.id for group in taxonomy.groups if group.binds]
    unsaid = set(bound or ()) if trigger else set()
    kept = tuple(tag for tag in tags.tags if tag.group not in unsaid)
    prompt = plain(strategy, tags.model_copy(update={"tags": kept}), taxonomy, context)
    first, *rest = prompt.positive
    clauses = [first, *(clause for clause in rest if any(phrase.group for phrase in clause.phrases))]
    clauses = [
        replace(clause, phrases=tuple(replace(phrase, weight=1.0) for phrase in clause.phrases)) for clause in clauses
    ]
    if trigger:
        clauses[0] = replace(clauses[0], phrases=_with_trigger(clauses[0].phrases, trigger))
    return replace(prompt, positive=tuple(clauses))


def _with_trigger(phrases: tuple[Phrase, ...], trigger: str) -> tuple[Phrase, ...]:
    """`a photo of an | orange | dress` → `a photo of a | vesper | orange | dress`."""
    at = next((index for index, phrase in enumerate(phrases) if phrase.group), len(phrases) - 1)
    before, after = list(phrases[:at]), phrases[at:]
    if before:
        right = article(f"{trigger} dress").partition(" ")[0]
        before[-1] = replace(before[-1], text=re.sub(r"\ban?$", right, before[-1].text))
    return (*before, Phrase(trigger), *after)


def caption_in(
    strategy: str, tags: PhotoTags, taxonomy: Taxonomy, context: Context, trigger: str, bound: Sequence[str] | None
) -> str:
    """A photo's caption in a format."""
    return render(branded(strategy, tags, taxonomy, context, trigger, bound), "plain").positive


# ── the data ──


def lay_out(
    photos: Sequence[Photo],
    captions: Mapping[str, str],
    generated: Mapping[Path, str],
    dataset: Path,
) -> dict[str, Any]:
    """The trainer's folders: photos with their captions (sha256 → text), and `generated` pictures (file → prompt).

    A caption that somebody wrote beside a photo stays. Returns what of DataConfig follows from it. Done twice it is
    the same, so that a run that was stopped here goes on.
    """
    for photo in photos:
        file = dataset / PHOTOS / f"{photo.sha256[:12]}-{photo.path.name}"
        _take(photo.path, file)
        mask = photo.path.with_name(f"{photo.path.stem}{MASK}.png")
        if mask.is_file():
            _take(mask, file.with_name(f"{file.stem}{MASK}.png"))
        written = own_caption(photo.path)
        _write(file.with_suffix(".txt"), captions[photo.sha256] if written is None else written)
    for picture, prompt in generated.items():
        file = dataset / GENERATED / picture.name
        _take(picture, file)
        _write(file.with_suffix(".txt"), "".join(run.text or " " for run in read_weights(prompt)))
    return {"folders": [dataset / PHOTOS], "prior_folder": dataset / GENERATED if generated else None}


def _take(source: Path, file: Path) -> None:
    """The same file under another name; a copy where the disk has no such links."""
    if file.exists():
        return
    make_folder(file.parent)
    try:
        os.link(source.resolve(), file)
    except OSError:
        temporary = file.with_name(f"{file.name}.part")
        shutil.copyfile(source, temporary)
        temporary.replace(file)


def _write(file: Path, text: str) -> None:
    make_folder(file.parent)
    write_whole(file, f"{text}\n".encode())
