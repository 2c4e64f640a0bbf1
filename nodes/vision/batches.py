"""Pictures through tagger and scorer in small batches, so that the bar moves and Cancel works in between."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...fashion.photos import Photo
from ...fashion.scorer import Similarity
from ...fashion.tag_edits import chosen_tags
from ...fashion.tagger import Tagger

if TYPE_CHECKING:
    from PIL import Image

    from ...fashion.scorer import Scorer
    from ...fashion.tag_edits import Choice
    from ...fashion.tagger import Observation
    from ...fashion.tags import PhotoTags
    from ...models.vision import VisionModels

BATCH_SIZE = 8  # pictures

ShowProgress = Callable[[int, int], Any]  # done, total


def photo_in_memory(name: str, picture: Image.Image) -> Photo:
    """A picture without a file as a photo, known by its pixels."""
    return Photo(Path(name), picture, hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest())


def observe(tagger: Tagger, pictures: Sequence[Image.Image], show_progress: ShowProgress) -> list[Observation]:
    """An observation (embedding [D], garment pixels [K, 3]) of each picture."""
    observations: list[Observation] = []
    for start in range(0, len(pictures), BATCH_SIZE):
        observations += tagger.observe(pictures[start : start + BATCH_SIZE])
        show_progress(len(observations), len(pictures))
    return observations


def tag(
    vision: VisionModels,
    pictures: Sequence[Image.Image],
    show_progress: ShowProgress,
    threshold: float = 0.0,
    pin: Sequence[Choice] = (),
    exclude: Sequence[Choice] = (),
    groups: Sequence[str] = (),
) -> list[PhotoTags]:
    """The tags of each picture, edited by `pin` and `exclude`; no `groups` means those that the vocabulary enables."""
    tagger = vision.tagger
    if groups:
        group_ids = [*groups, *(group for group, _ in pin)]
        tagger = tagger.of_groups(group_ids)
    tags = tagger.read(observe(tagger, pictures, show_progress))
    return [chosen_tags(photo_tags, vision.taxonomy, threshold, pin, exclude) for photo_tags in tags]


def similarities(
    scorer: Scorer, pictures: Sequence[Observation], references: Sequence[Observation]
) -> list[Similarity]:
    """The similarity of each picture: its mean over the references, which are photos of one garment.

    Embeddings [D] of both come from the scorer's own encoder.
    """
    import torch

    embeds = torch.stack([observation.embed for observation in pictures])
    by_reference = [scorer.compare(embeds, observation.embed) for observation in references]
    return [_mean_similarity(scores) for scores in zip(*by_reference, strict=True)]


def _mean_similarity(scores: Sequence[Similarity]) -> Similarity:
    """The mean of each field."""
    fields = zip(*(vars(score).values() for score in scores), strict=True)
    return Similarity(*(sum(values) / len(values) for values in fields))


def differences(reference: PhotoTags, picture: PhotoTags) -> list[dict[str, str]]:
    """Groups of which the picture shows another label than the reference, in words; "" where it shows none."""
    rows = []
    for group in dict.fromkeys(tag.group for tag in reference.tags):
        reference_texts = [tag.text for tag in reference.tags if tag.group == group]
        picture_texts = [tag.text for tag in picture.tags if tag.group == group]
        if set(reference_texts) != set(picture_texts):
            rows.append({"group": group, "reference": ", ".join(reference_texts), "image": ", ".join(picture_texts)})
    return rows


NO_GARMENT = "NO_GARMENT, no garment that the encoder knows was found; the figures are a demonstration"


def reading_notices(tags: Sequence[PhotoTags]) -> str:
    """What a user has to know of how pictures were read, a line each; "" where there is nothing."""
    return "\n".join(
        filter(
            None,
            [
                numbered([index for index, each in enumerate(tags) if not each.garment], NO_GARMENT),
                *(
                    numbered([index for index, each in enumerate(tags) if note in each.notes], note)
                    for note in dict.fromkeys(note for each in tags for note in each.notes)
                ),
            ],
        )
    )


def numbered(indices: Sequence[int], what: str, kind: str = "picture") -> str:
    """`picture 1, 3: what`, counted from 1; "" for no picture."""
    return f"{kind} {', '.join(str(index + 1) for index in indices)}: {what}" if indices else ""


def one_or_each(values: Sequence[Any], count: int, what: str) -> list[Any]:
    """`count` values from one for all, or one each; InputError for another number."""
    if len(values) not in (1, count):
        raise InputError(f"{len(values)} {what} for {count} pictures", to_try=f"one for all, or {count}")
    return list(values) * count if len(values) == 1 else list(values)
