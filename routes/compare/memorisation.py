"""Does the tuned model copy its training photos, and how different are its pictures from one another?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...reports.comparison import Memorisation
from ..nearest_photo import nearest_photo
from ..report_parts import copy_photo, rounded_mean

if TYPE_CHECKING:
    import torch

    from ...fashion.photos import Photo
    from ...fashion.scorer import Scorer
    from .pairs import PhotoPair
    from .tagged_pictures import TaggedPicture


COPY = 1.0  # similarity: as like as a second photo of the same garment


def diversity_of(pictures: Sequence[TaggedPicture], scorer: Scorer) -> float:
    """Mean of 1 − similarity over the pairs of pictures that were drawn of one photo's prompt."""
    import torch

    embeds_of: dict[int, list[torch.Tensor]] = {}
    for picture in pictures:
        if picture.embed is not None:
            embeds_of.setdefault(picture.photo, []).append(picture.embed)
    distances = [
        1 - likeness.similarity_score
        for embeds in embeds_of.values()
        for index, embed in enumerate(embeds[:-1])
        for likeness in scorer.compare(torch.stack(embeds[index + 1 :]), embed)
    ]
    return rounded_mean(distances) if distances else 0.0


def memorisation_of(
    pictures: Sequence[TaggedPicture],
    pairs: Sequence[PhotoPair],
    training: Sequence[Photo],
    scorer: Scorer,
    folder: Path,
) -> Memorisation:
    """How near the pictures come to the photos that were trained on; copies the nearest photo into `folder`."""
    import torch

    known = scorer.encoder.embed_images([photo.image for photo in training])
    proof = scorer.encoder.embed_images([pair.photo.image for pair in pairs])

    def nearest(embeds: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Similarity [N] to the nearest training photo, and its index [N], of embeddings [N, D]."""
        return nearest_photo(scorer, embeds, known)

    def usable(arm: str) -> list[TaggedPicture]:
        return [picture for picture in pictures if picture.arm == arm and picture.embed is not None]

    def embeds(arm: str) -> torch.Tensor:
        """Unit vectors [N, D] of an arm's usable pictures."""
        return torch.stack([picture.embed for picture in usable(arm) if picture.embed is not None])

    tuned = usable("tuned")
    similarity, photo_index = nearest(embeds("tuned"))
    closest = int(similarity.argmax())
    copies = [
        float(value) >= COPY and float(value) > picture.picture.score.unclipped
        for value, picture in zip(similarity, tuned, strict=True)
    ]
    closest_file = tuned[closest].picture.path
    assert closest_file is not None  # it has an embedding
    return Memorisation(
        training_photos=len(training),
        tuned=rounded_mean(similarity.tolist()),
        base=rounded_mean(nearest(embeds("base"))[0].tolist()),
        photos=rounded_mean(nearest(proof)[0].tolist()),
        copies=rounded_mean(copies),
        nearest=round(float(similarity[closest]), 6),
        picture=closest_file.relative_to(folder).as_posix(),
        photo_copy=copy_photo(training[int(photo_index[closest])], folder),
    )
