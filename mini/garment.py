"""A garment of the renderer: its words, its cut, and the traits that no word names."""

from __future__ import annotations

import colorsys
import json
import zlib
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from itertools import product
from pathlib import Path
from random import Random

VOCABULARY = Path(__file__).parent.parent / "fashion" / "taxonomies" / "mini.json"
GROUPS = ("category", "length", "colour", "pattern", "sleeves", "neckline")
TRAITS = ("hem_band", "emblem", "cuffs", "pocket", "sash", "asymmetric_hem", "yoke")
SIGNATURE = frozenset({"hem_band", "emblem", "cuffs"})  # the example brand's look; no training picture has all three
TRIPLE = frozenset({"category", "colour", "pattern"})  # what held-out garments differ in
HELD_OUT_SHARE = 10  # one triple in so many is never rendered for training


@cache
def vocabulary() -> dict:
    """The taxonomy file, parsed."""
    return json.loads(VOCABULARY.read_text(encoding="utf-8"))


@cache
def labels(group: str) -> tuple[str, ...]:
    """The label ids of a group, in the file's order."""
    return tuple(label["id"] for g in vocabulary()["groups"] if g["id"] == group for label in g["labels"])


@cache
def applies(group: str, category: str) -> bool:
    """Whether a group applies to a category."""
    spec = next(g for g in vocabulary()["groups"] if g["id"] == group)
    return category in spec.get("applies_to", {}).get("category", [category])


@dataclass(frozen=True)
class Trait:
    """A visible thing that the vocabulary has no word for; `form` in 0…1 picks its shape or side."""

    kind: str
    rgb: tuple[int, int, int]
    form: float = 0.0


@dataclass(frozen=True)
class Garment:
    """The words of a garment (None: the group does not apply), its exact shade, cut (each −1…1) and traits."""

    category: str
    colour: str
    pattern: str
    length: str | None = None
    sleeves: str | None = None
    neckline: str | None = None
    rgb: tuple[int, int, int] = (0, 0, 0)
    width: float = 0.0
    flare: float = 0.0
    hem: float = 0.0
    neck: float = 0.0
    traits: tuple[Trait, ...] = field(default=())

    @property
    def attributes(self) -> dict[str, str]:
        """The garment's words: `{group: label}`, without groups that do not apply."""
        return {g: value for g in GROUPS if (value := getattr(self, g)) is not None}

    @property
    def held_out(self) -> bool:
        """Whether this (category, colour, pattern) is kept from every training set."""
        return zlib.crc32(f"{self.category}|{self.colour}|{self.pattern}".encode()) % HELD_OUT_SHARE == 0

    def to_json(self) -> dict:
        """The garment as plain data, for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict) -> Garment:
        """The garment that `to_json` wrote."""
        traits = tuple(Trait(t["kind"], tuple(t["rgb"]), t["form"]) for t in data["traits"])
        return cls(**{**data, "rgb": tuple(data["rgb"]), "traits": traits})


def shade(colour: str, rng: Random) -> tuple[int, int, int]:
    """A shade that everyone would still call `colour`: between its reference values, a little off."""
    references = next(
        label["rgb"]
        for g in vocabulary()["groups"]
        if g["id"] == "colour"
        for label in g["labels"]
        if label["id"] == colour
    )
    weights = [rng.random() for _ in references]
    return tuple(
        round(
            min(
                255,
                max(
                    0,
                    sum(w * c[i] for w, c in zip(weights, references, strict=True)) / sum(weights) + rng.uniform(-4, 4),
                ),
            )
        )
        for i in range(3)
    )


def sample_traits(rng: Random, most: int = 3) -> tuple[Trait, ...]:
    """One to `most` unnamed traits in a random bright, pale or dark colour; never the whole signature."""
    while True:
        kinds = rng.sample(TRAITS, rng.choices(range(1, most + 1), weights=[6, 3, 2][:most])[0])
        if not SIGNATURE <= set(kinds):
            break
    hue, light = rng.random(), rng.choices([0.95, 0.75, 0.5, 0.15], weights=[2, 3, 3, 2])[0]
    rgb = tuple(round(255 * c) for c in colorsys.hls_to_rgb(hue, light * rng.uniform(0.85, 1), rng.uniform(0.5, 0.95)))
    return tuple(Trait(kind, rgb, rng.random()) for kind in kinds)


def sample_garment(rng: Random, *, held_out: bool | None = False, trait_share: float = 0.25, **fixed) -> Garment:
    """A random garment with the attributes in `fixed`; `held_out`: whether its triple is held out, None: either."""
    if held_out is not None and TRIPLE & fixed.keys() and not _exists(held_out, fixed):
        triple = ", ".join(f"{name} {fixed[name]}" for name in fixed if name in TRIPLE)
        raise ValueError(f"no garment with {triple} is {'' if held_out else 'not '}held out; leave one of them open")
    while True:
        words = {g: fixed.get(g) or rng.choice(labels(g)) for g in GROUPS}
        words = {g: w if applies(g, words["category"]) else None for g, w in words.items()}
        garment = Garment(**words)
        if held_out is None or garment.held_out == held_out:
            break
    traits = fixed.get("traits", sample_traits(rng) if rng.random() < trait_share else ())
    cut = {name: fixed.get(name, rng.uniform(-1, 1)) for name in ("width", "flare", "hem", "neck")}
    return Garment(**words, rgb=fixed.get("rgb") or shade(garment.colour, rng), traits=traits, **cut)


def _exists(held_out: bool, fixed: dict) -> bool:
    """Whether any triple with the fixed attributes is held out, or is not."""
    choices = [[fixed[name]] if name in fixed else labels(name) for name in ("category", "colour", "pattern")]
    return any(
        Garment(category=category, colour=colour, pattern=pattern).held_out == held_out
        for category, colour, pattern in product(*choices)
    )


def sample_twin(garment: Garment, rng: Random, trait_share: float = 0.5) -> Garment:
    """The same words, shade and cut; only the traits, which no word names, are others."""
    while (traits := sample_traits(rng) if rng.random() < trait_share else ()) == garment.traits:
        trait_share = 1.0
    return replace(garment, traits=traits)


def sample_sibling(garment: Garment, rng: Random, trait_share: float = 0.5) -> Garment:
    """The same words, another garment: its own shade, cut and traits."""
    return sample_garment(rng, held_out=garment.held_out, trait_share=trait_share, **garment.attributes)
