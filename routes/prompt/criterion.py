"""What a photo's search compares: similarity by the encoder, and how near the garment's colours are.

Encoders are forgiving about shades, people who sell garments are not. Over 30 garments of the embedded world, choosing
among six arms by three pictures each brings +1.4 ± 0.6 points by similarity alone, the judge −0.1 ± 1.3; with two
points for a unit of ΔE +1.2 ± 0.6, the judge +0.4 ± 1.3, and the colours are 0.1 ± 0.1 ΔE nearer (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...fashion.agreement import Palette, palette, palettes_apart
from ...fashion.garment_finder import PLAIN_GROUND, GarmentFinder
from ...search.confirmation import mean_gain

if TYPE_CHECKING:
    from PIL import Image

    from ...search.confirmation import PairedGain
    from ..evaluator import Picture

DELTA_E_SCALE = 100.0  # black to white: no difference is larger
COLOUR_WEIGHT = 0.02  # of similarity 0 … 1, for a unit of CIEDE2000


@dataclass(frozen=True)
class Criterion:
    """What a picture is worth to the search. `colours`: those of the photo's garment; None where it does not stand out
    from its background, so that they are not known and similarity alone counts."""

    colours: Palette | None
    weight: float
    finder: GarmentFinder = PLAIN_GROUND

    @classmethod
    def of_photo(
        cls, image: Image.Image, weight: float = COLOUR_WEIGHT, finder: GarmentFinder = PLAIN_GROUND
    ) -> Criterion:
        """The criterion of a photo; with a weight of 0 similarity alone."""
        known = weight > 0 and finder.box(image) is not None
        pixels = finder.pixels(image) if known else ()
        return cls(palette(pixels) if len(pixels) else None, weight, finder)

    def worth(self, pictures: Sequence[Picture]) -> list[float]:
        """Each picture's unclipped similarity, less `weight` for every unit of ΔE; 0 for an unusable picture."""
        return [picture.score.unclipped - self._cost(picture) for picture in pictures]

    def delta_e(self, picture: Picture) -> float | None:
        """CIEDE2000 between the palettes of photo and picture; None where one can't be used or has none known."""
        from PIL import Image

        if self.colours is None or picture.path is None:
            return None
        with Image.open(picture.path) as image:
            pixels = self.finder.pixels(image.convert("RGB"))
        return palettes_apart(self.colours, palette(pixels)) if len(pixels) else None

    def change(self, winner: Sequence[Picture], baseline: Sequence[Picture]) -> PairedGain | None:
        """The ΔE of winner − baseline, picture by picture; None where the colours are not known."""
        ours, theirs = ([self.delta_e(picture) for picture in pictures] for pictures in (winner, baseline))
        return colour_change(ours, theirs)

    def _cost(self, picture: Picture) -> float:
        difference = self.delta_e(picture)
        return 0.0 if difference is None else round(self.weight * difference, 6)


def colour_change(winner: Sequence[float | None], baseline: Sequence[float | None]) -> PairedGain | None:
    """ΔE of winner − baseline over pairs of pictures on one seed, in CIEDE2000 units: below 0 the winner is nearer.

    None where no pair has both.
    """
    pairs = zip(winner, baseline, strict=True)
    changes = [ours - theirs for ours, theirs in pairs if ours is not None and theirs is not None]
    return scaled(mean_gain([change / DELTA_E_SCALE for change in changes]), DELTA_E_SCALE) if changes else None


def scaled(gain: PairedGain, factor: float) -> PairedGain:
    """The same gain in another unit."""
    return replace(gain, mean=factor * gain.mean, low=factor * gain.low, high=factor * gain.high)
