"""Signs that a tuned model has learned the photos instead of the look, from pictures of it and of its base model.

memorised  a picture's nearest training photo, beside that of a real photo which the model has not seen
colour     CIEDE2000 from the garment that was photographed to the one that was drawn
leakage    how much nearer to the collection pictures come without the trigger, beside those with it

What becomes a warning is proven over photos by its interval, not seen in one picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...fashion.colour import delta_e_2000, srgb_to_lab
from ...fashion.garment_finder import PLAIN_GROUND, GarmentFinder
from ...fashion.photos import read_photo
from ...search.confirmation import PairedGain, mean_gain
from ..nearest_photo import nearest_photo, similarities
from ..report_parts import rounded_mean

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

    from ...fashion.scorer import Scorer
    from ...trainer.loop.samples import Gallery

# Generic: no study gives these. The first is a tenth of the way from another garment to the same one; the second is
# what an eye can just tell; the third leaves hardly anything to the trigger.
NEARER_THAN_PHOTOS = 0.1  # of the similarity scale
NOTICEABLE = 1.0  # ΔE2000
DIGITS = 4  # of the figures in train.json
LEAKS = 0.9  # of what pictures gain with the trigger


class MemorisationCritic:
    """The trainer's critic by one scorer, opened for the first picture; each photo is looked at once."""

    def __init__(
        self,
        open_scorer: Callable[[], Scorer],
        open_finder: Callable[[], GarmentFinder] = lambda: PLAIN_GROUND,
        open_judge: Callable[[], Scorer | None] = lambda: None,
    ):
        self.open_scorer, self.open_finder, self.open_judge = open_scorer, open_finder, open_judge
        self._judged: dict[Path, torch.Tensor] = {}
        self._photos: dict[Path, tuple[torch.Tensor, np.ndarray]] = {}

    def look(
        self, pictures: Sequence[Image.Image], photos: Sequence[Path], training: Sequence[Path]
    ) -> list[dict[str, float]]:
        """Each picture's figures: `similarity` with its photo, 0 … 1, the same `unclipped`, `nearest_training` on that
        scale, `colour_delta_e` of the garments, and `judge`, unclipped, where there is one."""
        embeds = self._embeds(pictures)
        nearest = nearest_photo(self.scorer, embeds, self._table(training))[0].tolist()
        opinions = self._opinions(pictures, photos)
        rows = []
        for index, (picture, photo) in enumerate(zip(pictures, photos, strict=True)):
            known, colour = self._known(photo)
            alike = self.scorer.compare(embeds[index : index + 1], known)[0]
            row = {
                "similarity": alike.similarity_score,
                "unclipped": alike.unclipped,
                "nearest_training": nearest[index],
            }
            row["colour_delta_e"] = float(delta_e_2000(garment_colour(picture, self.finder), colour))
            rows.append(row | ({"judge": opinions[index]} if opinions else {}))
        return rows

    def _opinions(self, pictures: Sequence[Image.Image], photos: Sequence[Path]) -> list[float]:
        """The judge's similarities, unclipped; empty without one."""
        if self.judge is None:
            return []
        encoder = self.judge.encoder
        for photo in photos:
            if photo not in self._judged:
                self._judged[photo] = encoder.embed_images([read_photo(photo).image])[0]
        return [
            self.judge.compare(embed[None], self._judged[photo])[0].unclipped
            for embed, photo in zip(encoder.embed_images(pictures), photos, strict=True)
        ]

    def signs(self, gallery: Gallery) -> dict[str, Any]:
        """`nearest_training`, `colour_delta_e`, `leakage` (None without a trigger), and `warnings` in words."""
        signs = {
            "pictures": len(gallery.tuned),
            "nearest_training": self._nearest(gallery),
            "colour_delta_e": self._colour(gallery),
            "leakage": self._leakage(gallery),
        }
        return {**signs, "warnings": warnings(signs)}

    def _nearest(self, gallery: Gallery) -> dict[str, Any]:
        known = self._table(gallery.training)

        def nearest(embeds: torch.Tensor) -> list[float]:
            return nearest_photo(self.scorer, embeds, known)[0].tolist()

        tuned, base = (nearest(self._embeds(pictures)) for pictures in (gallery.tuned, gallery.base))
        photos = [self._nearest_other(photo, gallery.training) for photo in gallery.photos]
        return {
            "base": rounded_mean(base, DIGITS),
            "tuned": rounded_mean(tuned, DIGITS),
            "photos": rounded_mean(photos, DIGITS),
            "over_photos": _excess(tuned, photos, gallery),
            "over_base": _excess(tuned, base, gallery),
        }

    def _nearest_other(self, photo: Path, training: Sequence[Path]) -> float:
        """Where a photo was trained on, among the others."""
        others = [other for other in training if other != photo] or list(training)
        return float(nearest_photo(self.scorer, self._known(photo)[0][None], self._table(others))[0])

    def _colour(self, gallery: Gallery) -> dict[str, Any]:
        photographed = [self._known(photo)[1] for photo in gallery.photos]
        tuned, base = (
            [
                float(delta_e_2000(garment_colour(p, self.finder), colour))
                for p, colour in zip(pictures, photographed, strict=True)
            ]
            for pictures in (gallery.tuned, gallery.base)
        )
        return {
            "base": rounded_mean(base, DIGITS),
            "tuned": rounded_mean(tuned, DIGITS),
            "over_base": _excess(tuned, base, gallery),
        }

    def _leakage(self, gallery: Gallery) -> dict[str, Any] | None:
        if not gallery.tuned_plain:
            return None
        known = self._table(gallery.training)

        def gained(tuned: Sequence[Image.Image], base: Sequence[Image.Image]) -> list[float]:
            after, before = (similarities(self.scorer, self._embeds(drawn), known).mean(1) for drawn in (tuned, base))
            return (after - before).tolist()

        triggered = gained(gallery.tuned, gallery.base)
        plain = gained(gallery.tuned_plain, gallery.base_plain)
        return {
            "with_trigger": _as_json(_over(triggered, gallery)),
            "without_trigger": _as_json(_over(plain, gallery)),
            "share": round(rounded_mean(plain, DIGITS) / rounded_mean(triggered, DIGITS), 3)
            if rounded_mean(triggered, DIGITS) > 0
            else None,
        }

    # ── embeddings ──

    @cached_property
    def scorer(self) -> Scorer:
        """The scorer, opened when it is first asked."""
        return self.open_scorer()

    @property
    def key(self) -> str:
        """The names of encoder and calibration: figures with the same key are comparable."""
        return self.scorer.key

    @cached_property
    def judge(self) -> Scorer | None:
        """The judge, opened when it is first asked; None where there is none."""
        return self.open_judge()

    @cached_property
    def finder(self) -> GarmentFinder:
        """Who finds the garment, opened when it is first asked."""
        return self.open_finder()

    def _embeds(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        return self.scorer.encoder.embed_images(pictures)

    def _known(self, photo: Path) -> tuple[torch.Tensor, np.ndarray]:
        """The photo's embedding and its garment's colour."""
        if photo not in self._photos:
            image = read_photo(photo).image
            self._photos[photo] = (self._embeds([image])[0], garment_colour(image, self.finder))
        return self._photos[photo]

    def _table(self, photos: Sequence[Path]) -> torch.Tensor:
        import torch

        return torch.stack([self._known(photo)[0] for photo in photos])


def garment_colour(image: Image.Image, finder: GarmentFinder = PLAIN_GROUND) -> np.ndarray:
    """CIE Lab [3], the median of the garment's pixels: a print's ground rather than a mixture with its figures.

    Where those are not known, of what stands out: the same is done with each picture that it is compared with.
    """
    import numpy as np

    pixels = finder.pixels(image)
    return np.median(srgb_to_lab(pixels if len(pixels) else PLAIN_GROUND.pixels(image)), axis=0)


def warnings(signs: dict[str, Any]) -> list[str]:
    """What the signs say, with what to try; empty where nothing is proven."""
    near, colour, leak = signs["nearest_training"], signs["colour_delta_e"], signs["leakage"]
    sentences = []
    if near["over_photos"]["low"] > NEARER_THAN_PHOTOS and near["tuned"] > near["base"]:
        sentences.append(
            f"pictures copy training photos: the nearest one is {100 * near['tuned']:.0f} of 100 like them, and only "
            f"{100 * near['photos']:.0f} like a photo it is not; try more photos, fewer steps or a smaller rank"
        )
    if colour["over_base"]["low"] > NOTICEABLE:
        sentences.append(
            f"the garment's colour drifts: ΔE {colour['tuned']:.1f} from the photographed one, {colour['base']:.1f} by "
            "the base model; try captions that name the colour, or fewer steps"
        )
    if leak and min(leak[kind]["low"] for kind in ("with_trigger", "without_trigger")) > 0 and leak["share"] > LEAKS:
        sentences.append(
            f"the look leaks into prompts without its trigger: {100 * leak['share']:.0f} % of it comes unasked; try a "
            "prior_folder of ordinary garments, captions that name what is not the brand's, or fewer steps"
        )
    return sentences


def _excess(ours: Sequence[float], theirs: Sequence[float], gallery: Gallery) -> dict[str, Any]:
    return _as_json(_over([a - b for a, b in zip(ours, theirs, strict=True)], gallery))


def _over(differences: Sequence[float], gallery: Gallery) -> PairedGain:
    """Pictures of one photo's caption are no independent witnesses: they are averaged first."""
    return mean_gain(differences, clusters=gallery.photos)


def _as_json(gain: PairedGain) -> dict[str, Any]:
    return {**{name: round(getattr(gain, name), DIGITS) for name in ("mean", "low", "high")}, "photos": gain.n}
