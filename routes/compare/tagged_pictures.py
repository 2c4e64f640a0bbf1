"""A comparison's pictures, tagged again: which of the photo's labels each one shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...fashion.agreement import labels_of

if TYPE_CHECKING:
    import torch

    from ...fashion.tagger import Tagger
    from ..evaluator import Picture
    from .pairs import PhotoPair


@dataclass(frozen=True)
class Seen:
    """A picture as everybody sees it."""

    arm: str
    garment: str
    photo: int  # index of its pair
    picture: Picture
    judge: float | None
    shows: dict[str, bool]  # group → whether it shows the photo's labels
    embed: torch.Tensor | None  # None: the picture was unusable

    @property
    def adherence(self) -> float:
        """Share of the groups that it shows as the photo does."""
        return sum(self.shows.values()) / max(1, len(self.shows))

    def by(self, who: str, group: str | None = None) -> float:
        """Its score by the scorer, the judge or the tagger."""
        if who == "agreement":
            return self.adherence if group is None else float(self.shows[group])
        return self.picture.score.similarity if who == "scorer" else (self.judge or 0.0)


def _seen(index: int, pair: PhotoPair, tagger: Tagger) -> list[Seen]:
    """Every confirm picture of a photo, tagged again."""
    from PIL import Image

    groups, seen = list(dict.fromkeys(tag.group for tag in pair.tags.tags)), []
    for arm, witnessed in pair.arms.items():
        whole = [one for one in witnessed if one.picture.path is not None]
        looks = tagger.observe([Image.open(one.picture.path).convert("RGB") for one in whole])
        read = {
            one.picture.shot.seed: both
            for one, both in zip(whole, zip(looks, tagger.read(looks), strict=True), strict=True)
        }
        for one in witnessed:
            look, tags = read.get(one.picture.shot.seed, (None, None))
            shows = {g: tags is not None and labels_of(tags, g) >= labels_of(pair.tags, g) for g in groups}
            embed = None if look is None else look.embed
            seen.append(Seen(arm, pair.garment, index, one.picture, one.judge, shows, embed))
    return seen
