"""`modiste score`: how like a reference a picture is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .choices import choose_preset
from .exit_codes import EXIT_OK
from .options import AsJson, Device, Encoder, Framing, PresetName
from .terminal import print_json, say

if TYPE_CHECKING:
    from ..models.vision import VisionModels


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


def score_lines(
    preset: PresetName = None, encoder: Encoder = None, framing: Framing = None, device: Device = "auto"
) -> int:
    """Scores of pairs, for programs that ask often: the models are opened once.

    stdin: lines of JSON {"images": [paths], "reference": path}; stdout: for each a line {"scores": [0 … 1],
    "without_garment": [paths]} or {"error": text}. Ends with stdin.
    """
    import json

    from ..core.errors import ModisteError
    from ..models.vision import open_vision_models

    vision = open_vision_models(choose_preset(preset, encoder=encoder, framing=framing), device)
    for line in sys.stdin:
        try:
            pair = json.loads(line)
            answer = _scores([Path(image) for image in pair["images"]], Path(pair["reference"]), vision)
        except ModisteError as error:
            answer = {"error": " ".join(str(error).split())}
        except (ValueError, KeyError, TypeError) as error:
            answer = {"error": f"the line is no {{images, reference}}: {error}"}
        print(json.dumps(answer, ensure_ascii=False), flush=True)
    return EXIT_OK


def _scores(images: list[Path], reference: Path, vision: VisionModels) -> dict[str, Any]:
    from ..fashion.photos import read_photo

    paths = [*images, reference]
    pictures = [read_photo(path).image for path in paths]
    similarities = vision.scorer.score(pictures[:-1], pictures[-1])
    shown = vision.tagger.shows_garment(vision.tagger.observe(pictures))
    return {
        "scores": [similarity.similarity_score for similarity in similarities],
        "without_garment": [str(path) for path, there in zip(paths, shown, strict=True) if not there],
    }
