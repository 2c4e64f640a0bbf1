"""Aspect-ratio buckets: pictures of many shapes in a few sizes of about one area, and the cut that takes each there.

As in NovelAI's "Aspect Ratio Bucketing" (2022) and SDXL (Podell et al., arXiv 2307.01952, §2.3 and appendix I): sides
are multiples of a step, no bucket has more pixels than the square, and a picture takes the bucket whose log aspect is
nearest.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from .config import DataConfig

MOST_LOST = 0.25  # of a picture's area, for the sake of a fuller bucket: a phone's 9:16 stays whole beside 7:9

Size = tuple[int, int]  # width, height


@dataclass(frozen=True, order=True)
class Bucket:
    """A size in pixels."""

    width: int
    height: int

    @property
    def log_aspect(self) -> float:
        """ln(width / height)."""
        return math.log(self.width / self.height)

    def __str__(self) -> str:
        return f"{self.width}×{self.height}"


def make_buckets(resolution: int, step: int, max_aspect: float) -> tuple[Bucket, ...]:
    """Every width with the largest height that keeps to resolution² pixels, and the same turned by 90°."""
    buckets = {Bucket(resolution, resolution)}
    for long in range(resolution, int(resolution * max_aspect) + 1, step):
        short = resolution * resolution // long // step * step
        if short and long <= max_aspect * short:
            buckets |= {Bucket(long, short), Bucket(short, long)}
    return tuple(sorted(buckets))


def buckets_of(config: DataConfig) -> tuple[Bucket, ...]:
    """Those of a run; one square where it wants no buckets."""
    if not config.buckets:
        return (Bucket(config.resolution, config.resolution),)
    return make_buckets(config.resolution, config.bucket_step, config.max_aspect)


def nearest(size: Size, buckets: Iterable[Bucket]) -> Bucket:
    """The bucket of the nearest log aspect; of two that are as near, the one nearer to a square."""
    aspect = math.log(size[0] / size[1])
    return min(buckets, key=lambda bucket: (round(abs(bucket.log_aspect - aspect), 9), abs(bucket.log_aspect), bucket))


def assign(sizes: Sequence[Size], buckets: Iterable[Bucket], least: int = 1) -> list[Bucket]:
    """A bucket for each picture.

    A bucket that has fewer than `least` is given up, emptiest first, and its pictures go to the nearest others in use,
    so that a small collection is no row of batches of one; it stays where that would cut more than MOST_LOST off one of
    them.
    """
    buckets = tuple(buckets)
    chosen = [nearest(size, buckets) for size in sizes]
    counts = Counter(chosen)
    for bucket in sorted(counts, key=lambda bucket: (counts[bucket], bucket)):
        others = [other for other in counts if other != bucket]
        if counts[bucket] >= least or not others:
            continue
        moved = {i: nearest(sizes[i], others) for i, current in enumerate(chosen) if current == bucket}
        if all(cut(sizes[i], other).lost <= MOST_LOST for i, other in moved.items()):
            chosen = [moved.get(i, current) for i, current in enumerate(chosen)]
            counts = Counter(chosen)
    return chosen


@dataclass(frozen=True)
class Crop:
    """Resize `source` to `resized`, then keep `width` × `height` from (`left`, `top`); all in pixels."""

    source: Size
    resized: Size
    left: int
    top: int
    width: int
    height: int

    @property
    def scale(self) -> float:
        """How much larger the picture becomes; below 1 it shrinks."""
        return max(self.resized[0] / self.source[0], self.resized[1] / self.source[1])

    @property
    def lost(self) -> float:
        """Share of the picture's area that is cut off, 0 … 1."""
        return 1 - self.width * self.height / (self.resized[0] * self.resized[1])

    def apply(self, image: Image.Image) -> Image.Image:
        """The cut of a photo."""
        from PIL import Image

        return self._keep(image.resize(self.resized, Image.Resampling.LANCZOS))

    def apply_to_mask(self, mask: Image.Image) -> Image.Image:
        """The same cut of its mask, of any size of the same aspect, by a filter that does not overshoot."""
        from PIL import Image

        return self._keep(mask.resize(self.resized, Image.Resampling.BILINEAR))

    def sees(self, box: tuple[float, float, float, float]) -> bool:
        """Whether anything of `box` (left, top, right, bottom, as shares of the picture) is kept."""
        width, height = self.resized
        across = min(box[2] * width, self.left + self.width) - max(box[0] * width, self.left)
        down = min(box[3] * height, self.top + self.height) - max(box[1] * height, self.top)
        return across > 0 and down > 0

    def _keep(self, image: Image.Image) -> Image.Image:
        return image.crop((self.left, self.top, self.left + self.width, self.top + self.height))


def cut(size: Size, bucket: Bucket) -> Crop:
    """As small as covers the bucket, then its centre."""
    scale = max(bucket.width / size[0], bucket.height / size[1])
    width, height = max(bucket.width, round(size[0] * scale)), max(bucket.height, round(size[1] * scale))
    left, top = (width - bucket.width) // 2, (height - bucket.height) // 2
    return Crop((size[0], size[1]), (width, height), left, top, bucket.width, bucket.height)
