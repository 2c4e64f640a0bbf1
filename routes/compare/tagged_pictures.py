"""A comparison's pictures, tagged again: which of the photo's labels each one shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...fashion.agreement import labels_of

if TYPE_CHECKING:
    import torch

    from ...fashion.tagger import Tagger
    from ...runs.journal import Score
    from ..evaluator import Picture
    from .pairs import JudgedPicture, PhotoPair


@dataclass(frozen=True)
class TaggedPicture:
    """A confirm picture by scorer, judge and tagger."""

    arm: str
    garment: str
    photo: int  # index of its pair
    picture: Picture
    judge: Score | None
    shows: dict[str, bool]  # group → whether it shows the photo's labels
    embed: torch.Tensor | None  # unit vector [D] of the tagger's encoder; None: the picture was unusable

    @property
    def adherence(self) -> float:
        """Share of the groups that it shows as the photo does."""
        return sum(self.shows.values()) / max(1, len(self.shows))

    def by(self, who: str, group: str | None = None) -> float:
        """Its score, 0 … 1, by `scorer`, `judge` or the tagger's `agreement`, of one group or of all."""
        if who == "agreement":
            return self.adherence if group is None else float(self.shows[group])
        score = self._score(who)
        return score.similarity if score else 0.0

    def unclipped(self, who: str, group: str | None = None) -> float:
        """The same before it is clipped to 0 … 1: what gains are made of."""
        if who == "agreement":
            return self.by(who, group)
        score = self._score(who)
        return score.unclipped if score else 0.0

    def _score(self, who: str) -> Score | None:
        return self.picture.score if who == "scorer" else self.judge


def tagged_pictures(index: int, pair: PhotoPair, tagger: Tagger) -> list[TaggedPicture]:
    """Every confirm picture of the photo `pair`, tagged again; `index` is the photo's place in the comparison."""
    return [picture for arm, judged in pair.arms.items() for picture in _tag_arm(index, pair, arm, judged, tagger)]


def _tag_arm(index: int, pair: PhotoPair, arm: str, judged: list[JudgedPicture], tagger: Tagger) -> list[TaggedPicture]:
    from PIL import Image

    groups = list(dict.fromkeys(tag.group for tag in pair.tags.tags))
    files = {item.picture.candidate.seed: item.picture.path for item in judged if item.picture.path is not None}
    observations = tagger.observe([Image.open(file).convert("RGB") for file in files.values()])
    tags = dict(zip(files, tagger.read(observations), strict=True))
    embeds = dict(zip(files, (observation.embed for observation in observations), strict=True))
    tagged = []
    for item in judged:
        seed = item.picture.candidate.seed
        shows = {
            group: seed in tags and labels_of(tags[seed], group) >= labels_of(pair.tags, group) for group in groups
        }
        tagged.append(TaggedPicture(arm, pair.garment, index, item.picture, item.judge, shows, embeds.get(seed)))
    return tagged
