"""`modiste score`: how like a reference a picture is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choices import choose_preset
from .exit_codes import EXIT_OK
from .options import AsJson, Device, Encoder, Framing, PresetName
from .terminal import print_json, say


def score(
    image: Annotated[Path, typer.Argument(help="The picture to judge.", show_default=False)],
    reference: Annotated[Path, typer.Argument(help="The photo that it should be like.", show_default=False)],
    preset: PresetName = None,
    encoder: Encoder = None,
    framing: Framing = None,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """How like the reference a picture is: 0 another garment of its kind, 100 a second photo of the same one."""
    from ..fashion.photos import read_photo
    from ..models.vision import open_vision_models

    pictures = [read_photo(path).image for path in (image, reference)]
    vision = open_vision_models(choose_preset(preset, encoder=encoder, framing=framing), device)
    scorer = vision.scorer
    similarity, anchors = scorer.score(pictures[:1], pictures[1])[0], scorer.calibration
    shown = vision.tagger.shows_garment(vision.tagger.observe(pictures))
    without_garment = [str(path) for path, there in zip((image, reference), shown, strict=True) if not there]
    for path in without_garment:
        say(f"{path} shows no garment that the encoder knows: the score is a demonstration")
    if json:
        print_json(
            {
                "similarity_score": similarity.similarity_score,
                "raw_cosine": similarity.raw_cosine,
                "without_garment": without_garment,
                "calibration": {
                    "kind": anchors.kind,
                    "encoder": scorer.encoder.identity.key,
                    "zero": anchors.zero,
                    "hundred": anchors.hundred,
                    "raw_zero": anchors.raw_zero,
                    "raw_hundred": anchors.raw_hundred,
                    "note": anchors.note,
                },
            }
        )
    else:
        print(f"similarity {100 * similarity.similarity_score:.0f} of 100, raw cosine {similarity.raw_cosine:.3f}")
        print(f"    0 is another garment of its kind: {anchors.raw_zero:.3f}")
        print(f"  100 is the same garment again:      {anchors.raw_hundred:.3f}")
        print(f"  anchors: {anchors.kind}{f' ({anchors.note})' if anchors.note else ''}")
    return EXIT_OK
