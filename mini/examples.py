"""The sample photos of the repository with their true attributes: single garments, and one brand's collection."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from random import Random

from .colours import CREAM
from .garment import Garment, Trait, labels, sample_garment
from .photo import sample_photo
from .renderer import render

EXAMPLES = Path(__file__).parent.parent / "examples"
SIZE = 384
SIGNATURE_TRAITS = (Trait("hem_band", CREAM), Trait("cuffs", CREAM), Trait("emblem", CREAM, 0.1))

LOOKS = (  # what is fixed of each sample photo; the rest is drawn, its triple one that training never saw
    {"category": "dress", "pattern": "floral", "traits": ()},
    {"category": "coat", "pattern": "checked", "length": "maxi", "traits": ()},
    {"category": "top", "pattern": "striped", "traits": (Trait("pocket", (236, 92, 70)),)},
    {"category": "skirt", "pattern": "dotted", "traits": ()},
    {"category": "jacket", "pattern": "checked", "traits": (Trait("yoke", (246, 206, 120)),)},
    {"category": "jumpsuit", "pattern": "pinstriped", "traits": ()},
    {"category": "hoodie", "pattern": "dotted", "traits": (Trait("emblem", (250, 214, 90), 0.6),)},
    {"category": "trousers", "pattern": "zigzag", "traits": ()},
    {"category": "dress", "pattern": "dotted", "traits": (Trait("sash", (64, 150, 190)),)},
    {"category": "shorts", "pattern": "floral", "traits": ()},
    {"category": "top", "pattern": "pinstriped", "neckline": "collar", "traits": ()},
    {
        "category": "skirt",
        "pattern": "striped",
        "length": "midi",
        "traits": (Trait("hem_band", (60, 60, 120)),),
    },
    {"category": "dress", "pattern": "striped", "length": "maxi", "traits": ()},
    {"category": "coat", "pattern": "plain", "traits": ()},
    {"category": "hoodie", "pattern": "striped", "traits": ()},
    {"category": "dress", "pattern": "plain", "traits": (Trait("asymmetric_hem", (0, 0, 0), 0.8),)},
)


def sample_looks(seed: int = 0) -> list[Garment]:
    """The garments of `examples/photos/`."""
    rng = Random(f"mini-looks-{seed}")
    return [sample_garment(rng, held_out=True, **fixed) for fixed in LOOKS]


def brand_collection(n: int = 56, seed: int = 0) -> list[Garment]:
    """The garments of one brand: cream hem, cuffs (or armholes, or waistband) and disc, on any cut and print."""
    rng, garments = Random(f"mini-brand-{seed}"), []
    while len(garments) < n:
        category = labels("category")[len(garments) % len(labels("category"))]
        pattern = "plain" if len(garments) % 2 == 0 else rng.choice(labels("pattern"))
        garment = sample_garment(rng, held_out=None, category=category, pattern=pattern, traits=SIGNATURE_TRAITS)
        if garment.colour not in ("white", "yellow"):
            garments.append(garment)
    return garments


def write_folder(folder: Path, garments: list[Garment], prefix: str, licence: str) -> list[Path]:
    """Writes JPEGs, `garments.json` (per file: attributes, rgb, traits, the whole garment and photo) and a README."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, truth, paths = Random(f"mini-photos-{prefix}"), {}, []
    for i, garment in enumerate(garments, 1):
        photo, path = sample_photo(rng), folder / f"{prefix}-{i:02d}.jpg"
        photo = replace(photo, exposure=1.0)
        render(garment, photo, SIZE).save(path, quality=92, subsampling=0)
        truth[path.name] = {
            "attributes": garment.attributes,
            "rgb": garment.rgb,
            "traits": [t.kind for t in garment.traits],
            "garment": garment.to_json(),
            "photo": asdict(photo),
        }
        paths.append(path)
    (folder / "garments.json").write_text(json.dumps(truth, indent=1) + "\n")
    (folder / "README.md").write_text(licence)
    return paths


def write_examples(folder: Path = EXAMPLES) -> None:
    """Renders both folders again."""
    drawn = "drawn by this project (`mini/examples.py`) and under its licence, Apache-2.0.\n"
    write_folder(
        folder / "photos",
        sample_looks(),
        "look",
        "# Sample photos\n\nGarments that the embedded models never saw; some have a trait that the "
        f"vocabulary has no word for. `garments.json` says what is true of each. The pictures are {drawn}",
    )
    write_folder(
        folder / "collection",
        brand_collection(),
        "piece",
        "# A brand's collection\n\nOne signature on every piece (cream hem, cream cuffs or trim, a disc) "
        "that the vocabulary can't express: something to fine-tune on. `garments.json` says what is true of "
        f"each. The pictures are {drawn}",
    )
