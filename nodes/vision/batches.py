"""Pictures through the eyes, some at a time, so that a bar moves and Cancel works in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...fashion.scorer import Similarity
from ...fashion.tagger import Tagger
from .tag_edits import chosen_tags

if TYPE_CHECKING:
    from PIL import Image

    from ...fashion.scorer import Scorer
    from ...fashion.tagger import Observation
    from ...fashion.tags import PhotoTags
    from ...models.vision import VisionModels
    from .tag_edits import Choice

AT_ONCE = 8  # pictures

Shown = Callable[[int, int], Any]  # done, total


def observe(tagger: Tagger, pictures: Sequence[Image.Image], shown: Shown) -> list[Observation]:
    """The expensive half of tagging."""
    found: list[Observation] = []
    for start in range(0, len(pictures), AT_ONCE):
        found += tagger.observe(pictures[start : start + AT_ONCE])
        shown(len(found), len(pictures))
    return found


def tag(
    vision: VisionModels,
    pictures: Sequence[Image.Image],
    shown: Shown,
    threshold: float = 0.0,
    pin: Sequence[Choice] = (),
    exclude: Sequence[Choice] = (),
    groups: Sequence[str] = (),
) -> list[PhotoTags]:
    """The tags of each picture, after what a person knows better; `groups`: which to ask, empty for the usual."""
    tagger = vision.tagger
    if groups:
        wanted = [*groups, *(group for group, _ in pin)]
        tagger = Tagger(vision.encoder, vision.taxonomy, tagger.temperatures, wanted, tagger.settings)
    seen = tagger.read(observe(tagger, pictures, shown))
    return [chosen_tags(one, vision.taxonomy, threshold, pin, exclude) for one in seen]


def similarities(
    scorer: Scorer, pictures: Sequence[Observation], references: Sequence[Observation]
) -> list[Similarity]:
    """One a picture: the mean over the references, photos of one garment; all seen by the scorer's own encoder."""
    import torch

    drawn = torch.stack([one.embed for one in pictures])
    by_reference = [scorer.compare(drawn, one.embed) for one in references]
    return [
        Similarity(*(sum(values) / len(values) for values in zip(*(vars(one).values() for one in each), strict=True)))
        for each in zip(*by_reference, strict=True)
    ]


def differences(reference: PhotoTags, picture: PhotoTags) -> list[dict[str, str]]:
    """Groups of which the picture shows another label than the reference, in words; "" where it shows none."""
    found = []
    for group in dict.fromkeys(tag.group for tag in reference.tags):
        there, here = ([tag.text for tag in one.tags if tag.group == group] for one in (reference, picture))
        if set(there) != set(here):
            found.append({"group": group, "reference": ", ".join(there), "image": ", ".join(here)})
    return found


def one_or_each(values: Sequence[Any], count: int, what: str) -> list[Any]:
    """`count` values from one for all, or one each; InputError for another number."""
    if len(values) not in (1, count):
        raise InputError(f"{len(values)} {what} for {count} pictures", to_try=f"one for all, or {count}")
    return list(values) * count if len(values) == 1 else list(values)
