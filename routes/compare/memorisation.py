"""Does the tuned model copy its training photos, and how different are its pictures from one another?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...reports.comparison import (
    Memorisation,
)
from ..report_parts import _mean, copy_photo
from .tagged_pictures import Seen

if TYPE_CHECKING:
    import torch

    from ...fashion.photos import Photo
    from ...fashion.scorer import Scorer
    from .pairs import PhotoPair


COPY = 1.0  # similarity: as like as a second photo of the same garment


def _diversity(seen: Sequence[Seen], scorer: Scorer) -> float:
    """Over the pairs of pictures of one photo's prompt."""
    import torch

    photos: dict[int, list[torch.Tensor]] = {}
    for one in seen:
        if one.embed is not None:
            photos.setdefault(one.photo, []).append(one.embed)
    apart = [
        1 - like.similarity_score
        for embeds in photos.values()
        for index, embed in enumerate(embeds[:-1])
        for like in scorer.compare(torch.stack(embeds[index + 1 :]), embed)
    ]
    return _mean(apart) if apart else 0.0


def _memorisation(
    seen: Sequence[Seen], pairs: Sequence[PhotoPair], training: Sequence[Photo], scorer: Scorer, folder: Path
) -> Memorisation:
    import torch

    known = scorer.encoder.embed_images([photo.image for photo in training])
    proof = scorer.encoder.embed_images([pair.photo.image for pair in pairs])

    def nearest(embeds: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """How like the nearest training photo each is, and which it is."""
        likes = [[like.unclipped for like in scorer.compare(embeds, one)] for one in known]
        return torch.tensor(likes).max(0)

    def of(arm: str) -> list[Seen]:
        return [one for one in seen if one.arm == arm and one.embed is not None]

    tuned, base = of("tuned"), of("base")
    likes, which = nearest(torch.stack([one.embed for one in tuned]))
    closest = int(likes.argmax())
    copies = [
        float(like) >= COPY and float(like) > one.picture.score.unclipped
        for like, one in zip(likes, tuned, strict=True)
    ]
    return Memorisation(
        training_photos=len(training),
        tuned=_mean(likes.tolist()),
        base=_mean(nearest(torch.stack([one.embed for one in base]))[0].tolist()),
        photos=_mean(nearest(proof)[0].tolist()),
        copies=_mean(copies),
        nearest=round(float(likes[closest]), 6),
        picture=tuned[closest].picture.path.relative_to(folder).as_posix(),
        photo_copy=copy_photo(training[int(which[closest])], folder),
    )
