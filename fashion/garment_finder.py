"""Which pixels of a photo are the garment's: the one place that colour, framing and training masks ask.

clothes parser   each garment by its class, so that skin and hair are never among them
plain ground     what differs from the border (segment.py), where there is no parser, or no person for it to see
neither          not known: colours come from the encoder's words
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .segment import foreground, garment_box, garment_pixels, least_of, mask_box, on_plain_ground, small, without_edge

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from .clothes_parser import ClothesParser, ParsedPhoto

# Skin in YCbCr. Chai & Ngan, "Face Segmentation Using Skin-Color Map in Videophone Applications" (IEEE TCSVT 9, 1999).
SKIN_CB, SKIN_CR = (77, 127), (133, 173)
WORN_SHARE = (0.04, 0.6)  # of what stands out: less is a print, more is a garment of that colour


@dataclass(frozen=True)
class GarmentFinder:
    """Finds the garment by a clothes parser, else by a plain ground.

    `cautious`: without a parser, photos of people and of busy places have no known garment pixels. The embedded preset
    is not: its pictures are of one garment on a plain ground by construction.
    """

    parser: ClothesParser | None = None
    cautious: bool = False

    @property
    def key(self) -> str:
        """What caches of its results are keyed by; empty for the plain ground alone."""
        return self.parser.identity if self.parser else "cautious" if self.cautious else ""

    def pixels(self, image: Image.Image) -> np.ndarray:
        """At most MOST_PIXELS of the main garment's pixels, sRGB uint8 [K, 3]; none where they are not known."""
        import numpy as np

        reduced = small(image)
        parsed = self._parsed(image, reduced.size)
        if parsed is not None and parsed.garments:
            largest = next(iter(parsed.garments.values()))
            inside = without_edge(largest)
            return least_of(np.asarray(reduced)[inside if inside.any() else largest])
        return garment_pixels(image) if self._by_ground(image, parsed) else np.empty((0, 3), np.uint8)

    def box(self, image: Image.Image) -> tuple[float, float, float, float] | None:
        """Left, top, right, bottom of the garments in pixels of `image`; None where they are not known."""
        parsed = self._parsed(image, small(image).size)
        if parsed is not None and parsed.garments:
            return mask_box(image, _union(parsed))
        return garment_box(image) if self._by_ground(image, parsed) else None

    def mask(self, image: Image.Image) -> np.ndarray | None:
        """Where the garments are, bool [H, W] of `image` itself; None where that is not known."""
        import numpy as np
        from PIL import Image

        parsed = self._parsed(image, image.size)
        if parsed is not None and parsed.garments:
            return _union(parsed)
        if not self._by_ground(image, parsed) or garment_box(image) is None:
            return None
        coarse = Image.fromarray(np.uint8(255) * foreground(image))
        at_size: np.ndarray = np.asarray(coarse.resize(image.size, Image.Resampling.BILINEAR)) > 127
        return at_size

    def _parsed(self, image: Image.Image, size: tuple[int, int]) -> ParsedPhoto | None:
        return self.parser.parse(image, size) if self.parser else None

    def _by_ground(self, image: Image.Image, parsed: ParsedPhoto | None) -> bool:
        """Whether what differs from the border can be taken for the garment, where the parser saw none."""
        if not self.cautious:
            return True
        if not on_plain_ground(image):
            return False
        if parsed is not None:
            return not parsed.shows_person
        return not WORN_SHARE[0] <= skin_share(garment_pixels(image)) <= WORN_SHARE[1]


PLAIN_GROUND = GarmentFinder()


def _union(parsed: ParsedPhoto) -> np.ndarray:
    """All garments of a photo that has some, bool [H, W]."""
    import numpy as np

    union: np.ndarray = np.logical_or.reduce(list(parsed.garments.values()))
    return union


def skin_share(pixels: np.ndarray) -> float:
    """The share of pixels (sRGB uint8 [K, 3]) that have the colour of skin."""
    import numpy as np
    from PIL import Image

    _, cb, cr = np.asarray(Image.fromarray(pixels[None]).convert("YCbCr"))[0].T
    skin = (SKIN_CB[0] <= cb) & (cb <= SKIN_CB[1]) & (SKIN_CR[0] <= cr) & (cr <= SKIN_CR[1])
    return float(skin.mean())
