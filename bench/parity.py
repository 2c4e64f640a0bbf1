"""`python -m modiste.bench.parity [--json] [--photos N] [--dtype NAME]`: may photos be encoded in half precision?

The embedded encoder tags drawn garments in float32 and in half precision, on one device in one process. Half precision
would be good enough where every cosine is at least .999 and not one photo of 1,000 has another tag.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from ..fashion.tagger import Observation
from ..models.presets import preset
from ..models.vision import open_tagger

if TYPE_CHECKING:
    from PIL import Image

LEAST_COSINE = 0.999
AT_ONCE = 32


@dataclass(frozen=True)
class Parity:
    """What half precision changes, and the processor seconds of encoding alone."""

    dtype: str
    photos: int
    least_cosine: float
    changed_photos: int  # with another tag in any group
    seconds: float
    seconds_float32: float

    @property
    def passed(self) -> bool:
        """Whether it is good enough for those photos."""
        return self.least_cosine >= LEAST_COSINE and self.changed_photos == 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Encodes twice, prints the verdict."""
    parser = argparse.ArgumentParser(prog="python -m modiste.bench.parity", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float16"])
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args(arguments)
    row = measured(chosen.photos, chosen.dtype, chosen.device)
    print(json.dumps({**asdict(row), "passed": row.passed}) if chosen.json else as_text(row))


def measured(photos: int, dtype: str, device: str) -> Parity:
    """Both encoders over the same photos; colours come from the same pixels, words from each one's own vectors."""
    import torch

    tagger, half = (open_tagger(preset("mini"), device) for _ in range(2))
    model: Any = half.encoder.encoder.model  # type: ignore[attr-defined]
    model.to(getattr(torch, dtype))
    least, changed, seconds = 1.0, 0, {"whole": 0.0, "half": 0.0}
    for images in drawn(photos):
        with spending(seconds, "whole"):
            embeds = tagger.encoder.embed_images(images)
        with spending(seconds, "half"):
            half_embeds = half.encoder.embed_images(images).float()
        least = min(least, float((embeds * half_embeds).sum(-1).min()))
        pixels = [tagger.finder.pixels(image) for image in images]
        read = [
            tagger.read([Observation(embed, found) for embed, found in zip(vectors, pixels, strict=True)])
            for vectors in (embeds, half_embeds)
        ]
        labels = [[[(tag.group, tag.label) for tag in tags.tags] for tags in each] for each in read]
        changed += sum(whole != other for whole, other in zip(*labels, strict=True))
    return Parity(dtype, photos, round(least, 6), changed, round(seconds["half"], 2), round(seconds["whole"], 2))


def drawn(count: int) -> Iterator[list[Image.Image]]:
    """Garments of the embedded renderer, a batch at a time."""
    from ..mini.garment import sample_garment
    from ..mini.renderer import render

    for start in range(0, count, AT_ONCE):
        yield [
            render(sample_garment(Random(10**6 + index)), size=96)
            for index in range(start, min(count, start + AT_ONCE))
        ]


@contextmanager
def spending(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Adds the processor seconds inside `with`."""
    began = time.process_time()
    yield
    seconds[name] += time.process_time() - began


def as_text(row: Parity) -> str:
    """For people."""
    verdict = "good enough" if row.passed else "not good enough: float32 stays"
    return (
        f"{row.dtype} over {row.photos} photos: least cosine {row.least_cosine:.5f}, {row.changed_photos} photos with "
        f"another tag; {row.seconds:.1f} s of encoding, float32 {row.seconds_float32:.1f} s; {verdict}"
    )


if __name__ == "__main__":
    main()
