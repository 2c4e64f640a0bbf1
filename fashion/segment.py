"""Where the garment is, on photos with a plain background: no model, no library beyond numpy.

A product photo's border is background. A plane fitted to it in Lab follows its gradient; what differs from the plane
and hangs together with the middle is the garment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


SIDE = 64  # pixels; colours need no more
BORDER = 0.05  # of a side
LEAST_DIFFERENCE = 7.0  # ΔE (CIE76) between garment and background: white on light gray is 12
NOISE_FACTOR = 3.0
LEAST_AREA = 0.03
FITS = 3


def small(image: Image.Image) -> Image.Image:
    """The picture as the mask sees it: at most SIDE pixels a side."""
    from PIL import Image

    share = SIDE / max(image.size)
    size = tuple(max(8, round(side * share)) for side in image.size)
    return image if share >= 1 else image.resize(size, Image.Resampling.BOX)


def garment_mask(image: Image.Image) -> np.ndarray:
    """bool [H, W] of `small(image)`: the garment without its edge; never empty (an oval where nothing stands out)."""
    mask = _standing_out(image)
    inside = mask & _shifted_all(mask)
    if inside.mean() >= LEAST_AREA:
        return inside
    return mask if mask.mean() >= LEAST_AREA else _oval(*mask.shape)


def garment_box(image: Image.Image) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom of the garment in pixels of `image`; None where nothing stands out."""
    import numpy as np

    mask = _standing_out(image)
    if mask.mean() < LEAST_AREA:
        return None
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    across, down = image.width / mask.shape[1], image.height / mask.shape[0]
    return columns[0] * across, rows[0] * down, (columns[-1] + 1) * across, (rows[-1] + 1) * down


def _standing_out(image: Image.Image) -> np.ndarray:
    """bool [H, W] of `small(image)`: what differs from the background and hangs together with the middle."""
    import numpy as np

    from .colour import srgb_to_lab

    lab = srgb_to_lab(np.asarray(small(image)))
    difference = np.linalg.norm(lab - _background(lab), axis=-1)
    border = _border(*difference.shape)
    threshold = max(LEAST_DIFFERENCE, NOISE_FACTOR * float(np.median(difference[border])))
    return _hanging_together(difference > threshold)


def _background(lab: np.ndarray) -> np.ndarray:
    """The plane through the border's colours, fitted again without the pixels that lie far from it."""
    import numpy as np

    height, width, _ = lab.shape
    y, x = np.mgrid[0:height, 0:width]
    terms = np.stack([np.ones_like(x), x / width - 0.5, y / height - 0.5], -1).astype(float)
    chosen = _border(height, width)
    for _ in range(FITS):
        plane, *_ = np.linalg.lstsq(terms[chosen], lab[chosen], rcond=None)
        distance = np.linalg.norm(lab - terms @ plane, axis=-1)
        chosen = _border(height, width) & (distance <= 2.5 * np.median(distance[chosen]) + 1)
    return terms @ plane


def _border(height: int, width: int) -> np.ndarray:
    import numpy as np

    border = np.ones((height, width), bool)
    y, x = max(1, round(height * BORDER)), max(1, round(width * BORDER))
    border[y:-y, x:-x] = False
    return border


def _hanging_together(mask: np.ndarray) -> np.ndarray:
    """What can be reached through `mask` from the middle of the picture."""
    import numpy as np

    reached = mask & _oval(*mask.shape)
    while True:
        grown = mask & (reached | _any_neighbour(reached))
        if np.array_equal(grown, reached):
            return reached
        reached = grown


def _neighbours(mask: np.ndarray) -> list[np.ndarray]:
    import numpy as np

    padded = np.pad(mask, 1)
    return [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]


def _any_neighbour(mask: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.logical_or.reduce(_neighbours(mask))


def _shifted_all(mask: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.logical_and.reduce(_neighbours(mask))


def _oval(height: int, width: int) -> np.ndarray:
    import numpy as np

    y, x = np.mgrid[0:height, 0:width]
    oval = ((y / height - 0.5) / 0.25) ** 2 + ((x / width - 0.5) / 0.18) ** 2 <= 1
    return oval if oval.any() else ~oval  # of one to three pixels a side, no pixel may lie inside


MOST_PIXELS = 1024  # of a garment: shares within a percent or two, three kilobytes to keep


def garment_pixels(image: Image.Image) -> np.ndarray:
    """At most MOST_PIXELS of the garment's pixels, sRGB uint8 [K, 3], told from a plain background."""
    import numpy as np

    pixels = np.asarray(small(image))[garment_mask(image)]
    return np.ascontiguousarray(pixels[:: -(-len(pixels) // MOST_PIXELS)])
