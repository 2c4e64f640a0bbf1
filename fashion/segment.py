"""Finds the garment on a photo with a plain background, with numpy alone.

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
PLAIN_SHARE = 0.75  # of the border; a garment or legs may be cut off by the rest
FITS = 3
MOST_PIXELS = 1024  # of a garment: colour shares within a percent or two, three kilobytes to keep


def small(image: Image.Image) -> Image.Image:
    """The picture reduced to at most SIDE pixels a side, the size of the mask."""
    from PIL import Image

    share = SIDE / max(image.size)
    size = max(8, round(image.width * share)), max(8, round(image.height * share))
    return image if share >= 1 else image.resize(size, Image.Resampling.BOX)


def garment_mask(image: Image.Image) -> np.ndarray:
    """The garment without its edge, bool [H, W] of `small(image)`; an oval where nothing stands out."""
    mask = foreground(image)
    inside = without_edge(mask)
    if inside.mean() >= LEAST_AREA:
        return inside
    return mask if mask.mean() >= LEAST_AREA else _oval(*mask.shape)


def without_edge(mask: np.ndarray) -> np.ndarray:
    """The mask's pixels whose four neighbours are in it too, bool [H, W]: those on the edge are mixed with others."""
    inside: np.ndarray = mask & _all_neighbours(mask)
    return inside


def garment_box(image: Image.Image) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom of the garment in pixels of `image`; None where nothing stands out."""
    mask = foreground(image)
    return mask_box(image, mask) if mask.mean() >= LEAST_AREA else None


def on_plain_ground(image: Image.Image) -> bool:
    """Whether the picture's border is one surface, as a product photo's is: most of it lies near a plane of colour."""
    import numpy as np

    from .colour import srgb_to_lab

    lab = srgb_to_lab(np.asarray(small(image)))
    difference = np.linalg.norm(lab - _background(lab), axis=-1)[_border(*lab.shape[:2])]
    return bool((difference <= LEAST_DIFFERENCE).mean() >= PLAIN_SHARE)


def mask_box(image: Image.Image, mask: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right, bottom, in pixels of `image`, of a mask of it, bool [H, W] of any size."""
    import numpy as np

    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    across, down = image.width / mask.shape[1], image.height / mask.shape[0]
    return columns[0] * across, rows[0] * down, (columns[-1] + 1) * across, (rows[-1] + 1) * down


def foreground(image: Image.Image) -> np.ndarray:
    """What differs from the background and is connected to the middle, bool [H, W] of `small(image)`."""
    import numpy as np

    from .colour import srgb_to_lab

    lab = srgb_to_lab(np.asarray(small(image)))
    difference = np.linalg.norm(lab - _background(lab), axis=-1)
    border = _border(*difference.shape)
    threshold = max(LEAST_DIFFERENCE, NOISE_FACTOR * float(np.median(difference[border])))
    return _connected_to_middle(difference > threshold)


def _background(lab: np.ndarray) -> np.ndarray:
    """The background's colours, Lab [H, W, 3]: a plane through the border's, fitted again without outliers."""
    import numpy as np

    height, width, _ = lab.shape
    y, x = np.mgrid[0:height, 0:width]
    terms = np.stack([np.ones_like(x), x / width - 0.5, y / height - 0.5], -1).astype(float)
    chosen = _border(height, width)
    for _ in range(FITS):
        plane, *_ = np.linalg.lstsq(terms[chosen], lab[chosen], rcond=None)
        distance = np.linalg.norm(lab - terms @ plane, axis=-1)
        chosen = _border(height, width) & (distance <= 2.5 * np.median(distance[chosen]) + 1)
    background: np.ndarray = terms @ plane
    return background


def _border(height: int, width: int) -> np.ndarray:
    """The outermost BORDER of each side, bool [H, W]."""
    import numpy as np

    border = np.ones((height, width), bool)
    y, x = max(1, round(height * BORDER)), max(1, round(width * BORDER))
    border[y:-y, x:-x] = False
    return border


def _connected_to_middle(mask: np.ndarray) -> np.ndarray:
    """The part of `mask`, bool [H, W], that is connected to the middle of the picture."""
    import numpy as np

    height, width = mask.shape
    reached: np.ndarray = mask & _oval(height, width)
    while True:
        grown = mask & (reached | _any_neighbour(reached))
        if np.array_equal(grown, reached):
            return reached
        reached = grown


def _neighbours(mask: np.ndarray) -> list[np.ndarray]:
    """The mask [H, W] as seen from each of a pixel's four sides."""
    import numpy as np

    padded = np.pad(mask, 1)
    return [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]


def _any_neighbour(mask: np.ndarray) -> np.ndarray:
    """Where at least one neighbour is in the mask, bool [H, W]."""
    above, below, left, right = _neighbours(mask)
    either: np.ndarray = above | below | left | right
    return either


def _all_neighbours(mask: np.ndarray) -> np.ndarray:
    """Where all four neighbours are in the mask, bool [H, W]."""
    above, below, left, right = _neighbours(mask)
    all_four: np.ndarray = above & below & left & right
    return all_four


def _oval(height: int, width: int) -> np.ndarray:
    """An upright oval in the middle, bool [H, W]."""
    import numpy as np

    y, x = np.mgrid[0:height, 0:width]
    oval: np.ndarray = ((y / height - 0.5) / 0.25) ** 2 + ((x / width - 0.5) / 0.18) ** 2 <= 1
    return oval if oval.any() else ~oval  # of one to three pixels a side, no pixel may lie inside


def garment_pixels(image: Image.Image) -> np.ndarray:
    """At most MOST_PIXELS of the garment's pixels, sRGB uint8 [K, 3]."""
    import numpy as np

    return least_of(np.asarray(small(image))[garment_mask(image)])


def least_of(pixels: np.ndarray) -> np.ndarray:
    """At most MOST_PIXELS of pixels [K, 3], evenly taken."""
    import numpy as np

    return np.ascontiguousarray(pixels[:: -(-len(pixels) // MOST_PIXELS)])
