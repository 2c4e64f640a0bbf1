"""What a candidate's pictures show of their photos: each group of tags, the colours, the right garment of a catalogue.

    attributes   share of the pictures that show the photo's labels of a group, by the tagger
    colour       mean ΔE2000 between the palettes of picture and photo
    retrieval    R@1: share of the pictures whose nearest photo of the catalogue, by cosine alone, shows their garment

None of the three needs a calibration; each change over the base model is paired over garments.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from ...fashion.agreement import labels_of, palette, palettes_apart
from ...fashion.photos import garment_of
from ...reports.judging import JudgedCatalogue, JudgedTraits, RetrievalGain
from ...search.confirmation import mean_gain
from ..report_parts import interval_of, rounded_mean

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from ...fashion.photos import Photo
    from ...fashion.scorer import Scorer
    from ...reports.prompt import Interval
    from ...search.confirmation import PairedGain
    from ..compare.pairs import JudgedPicture
    from .run import JudgeRun

Block = tuple[int, int]  # (photo, seed)


@dataclass(frozen=True)
class PictureTraits:
    """One picture's: `colour` None where no garment was found in it, `hit` and `judge_hit` None without a catalogue."""

    garment: str
    shows: dict[str, bool]
    colour: float | None
    hit: bool | None
    judge_hit: bool | None


class TraitReader:
    """Reads the traits of a judgement's pictures; the photos are looked at once."""

    def __init__(self, run: JudgeRun, catalogue: Sequence[Photo] = ()):
        self.run, vision = run, run.session.vision
        observations = vision.tagger.observe([pair.photo.image for pair in run.pairs])
        self._palettes = [palette(seen.pixels) if len(seen.pixels) else None for seen in observations]
        photos = {photo.sha256: photo for photo in (*(pair.photo for pair in run.pairs), *catalogue)}
        self._garments = [garment_of(photo.path) for photo in photos.values()]
        self.garments = len(set(self._garments))
        images = [photo.image for photo in photos.values()] if self.garments > 1 else []
        self._shelf = {who: _embeds(who, images) for who in (vision.scorer, vision.judge) if who and images}

    @property
    def photos(self) -> int:
        """How many photos the catalogue has."""
        return len(self._garments)

    def of(self, blocks: Sequence[Block], shots: Sequence[JudgedPicture]) -> list[PictureTraits]:
        """Of each picture that is usable, in the order of the blocks."""
        from PIL import Image

        vision = self.run.session.vision
        usable = [(block, shot) for block, shot in zip(blocks, shots, strict=True) if shot.picture.path is not None]
        if not usable:
            return []
        images = [Image.open(shot.picture.path).convert("RGB") for _, shot in usable if shot.picture.path]
        observations = vision.tagger.observe(images)
        tags = vision.tagger.read(observations)
        hits, judge_hits = (self._hits(who, [photo for (photo, _), _ in usable], images) for who in self._witnesses())
        traits = []
        for place, ((photo, _), _) in enumerate(usable):
            pair, seen, known = self.run.pairs[photo], observations[place], self._palettes[photo]
            groups = dict.fromkeys(tag.group for tag in pair.tags.tags)
            shows = {group: labels_of(tags[place], group) >= labels_of(pair.tags, group) for group in groups}
            colour = palettes_apart(known, palette(seen.pixels)) if known is not None and len(seen.pixels) else None
            traits.append(PictureTraits(pair.garment, shows, colour, hits[place], judge_hits[place]))
        return traits

    def catalogue(self, best: Sequence[PictureTraits], base: Sequence[PictureTraits]) -> JudgedCatalogue | None:
        """R@1 of the best one's pictures beside the base model's, by each encoder; None for a single garment."""
        vision = self.run.session.vision
        named = {"scorer": (vision.scorer, _hit), "judge": (vision.judge, _judge_hit)}
        gains = [
            RetrievalGain(
                by=by,
                encoder=scorer.encoder.identity.key,
                best=_mean_of(best, of) or 0.0,
                base=_mean_of(base, of) or 0.0,
                change=_change(best, base, of),
            )
            for by, (scorer, of) in named.items()
            if scorer in self._shelf and scorer is not None
        ]
        if not gains:
            return None
        chance = fmean(self._garments.count(pair.garment) / len(self._garments) for pair in self.run.pairs)
        return JudgedCatalogue(photos=self.photos, garments=self.garments, chance=round(chance, 6), retrieval=gains)

    def _witnesses(self) -> tuple[Scorer | None, Scorer | None]:
        return self.run.session.vision.scorer, self.run.session.vision.judge

    def _hits(self, who: Scorer | None, photos: Sequence[int], images: Sequence[Image]) -> list[bool | None]:
        if who is None or who not in self._shelf:
            return [None] * len(images)
        nearest = (_embeds(who, images) @ self._shelf[who].T).argmax(1).tolist()
        return [
            self._garments[place] == self.run.pairs[photo].garment for place, photo in zip(nearest, photos, strict=True)
        ]


def traits_of(ours: Sequence[PictureTraits], base: Sequence[PictureTraits] | None) -> JudgedTraits | None:
    """The means, and their changes over `base` (None: these are the base's); None without a picture."""
    if not ours:
        return None
    changes: dict[str, Interval] = {}
    groups = dict.fromkeys(group for picture in ours for group in picture.shows)
    for group in groups:
        change = _change(ours, base, lambda picture, group=group: _shows(picture, group)) if base else None
        if change is not None:
            changes[group] = change
    return JudgedTraits(
        pictures=len(ours),
        attributes={group: rounded_mean([float(p.shows[group]) for p in ours if group in p.shows]) for group in groups},
        attribute_changes=changes,
        colour_delta_e=_mean_of(ours, _colour),
        colour_change=_change(ours, base, _colour) if base else None,
        retrieval=_mean_of(ours, _hit),
        retrieval_change=_change(ours, base, _hit) if base else None,
    )


def _change(
    ours: Sequence[PictureTraits], base: Sequence[PictureTraits], of: Callable[[PictureTraits], float | None]
) -> Interval | None:
    """The mean over garments of what `ours` has over `base`; None below two garments that both have."""
    mine, theirs = _by_garment(ours, of), _by_garment(base, of)
    both = [garment for garment in mine if garment in theirs]
    gains = [mine[garment] - theirs[garment] for garment in both]
    return interval_of(_gain(gains, both)) if len(both) > 1 else None


def _gain(gains: Sequence[float], garments: Sequence[str]) -> PairedGain:
    from ..compare.rule import gain_over_garments

    return gain_over_garments(gains, [0.0] * len(gains), garments) if not any(gains) else mean_gain(gains, garments)


def _by_garment(pictures: Sequence[PictureTraits], of: Callable[[PictureTraits], float | None]) -> dict[str, float]:
    values: dict[str, list[float]] = defaultdict(list)
    for picture in pictures:
        value = of(picture)
        if value is not None:
            values[picture.garment].append(value)
    return {garment: fmean(known) for garment, known in values.items()}


def _mean_of(pictures: Sequence[PictureTraits], of: Callable[[PictureTraits], float | None]) -> float | None:
    known = [value for picture in pictures if (value := of(picture)) is not None]
    return rounded_mean(known) if known else None


def _shows(picture: PictureTraits, group: str) -> float | None:
    return float(picture.shows[group]) if group in picture.shows else None


def _colour(picture: PictureTraits) -> float | None:
    return picture.colour


def _hit(picture: PictureTraits) -> float | None:
    return None if picture.hit is None else float(picture.hit)


def _judge_hit(picture: PictureTraits) -> float | None:
    return None if picture.judge_hit is None else float(picture.judge_hit)


def _embeds(who: Scorer, images: Sequence[Image]) -> torch.Tensor:
    """Unit vectors [N, D]."""
    return who.encoder.embed_images(images)
