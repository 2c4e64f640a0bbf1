"""Ways to draw the same garment that today's renderer does not know: outlines, paint, figures, grounds, cameras.

A style is a family of random settings. Encoders are trained on some families and measured on others that they never
saw; UNTOUCHED is kept even from choosing between trained encoders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from .photo import RenderedPhoto

Ground = Literal["paper", "white", "gradient", "wood", "linen", "tiles", "scene"]
Figure = Literal["none", "hanger", "mannequin", "person"]
Medium = Literal["photo", "painted", "poster", "pencil"]


@dataclass(frozen=True)
class Style:
    """How one picture is drawn; lengths in units of 1/64 of a picture, angles in radians."""

    print_scale: float = 1.0  # of the print's period
    print_angle: float = 0.0
    loose: float = 0.0  # 0: a regular print, 1: every motif has its own place and size
    petals: int = 5  # of a blossom
    print_seed: int = 0  # of loose motifs
    line: float = 0.6  # width of outlines; 0: none
    darkness: float = 0.42  # of outlines: 0 the cloth's colour, 1 black
    soft: bool = False  # round corners
    wide: float = 1.0  # the garment's width
    tall: float = 1.0  # and height
    wobble: float = 0.0  # how far outlines wander
    turn: float = 0.0  # of the whole garment
    roundness: float = 0.0  # how much darker the sides are, as of a body
    folds: float = 0.05  # contrast of folds
    weave: float = 0.0  # contrast of the cloth's texture
    ground: Ground = "gradient"
    figure: Figure = "none"
    medium: Medium = "photo"
    blur: float = 0.0  # standard deviation
    noise: float = 1.2  # of 255
    jpeg: int = 0  # quality; 0: never compressed
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)  # of red, green and blue
    vignette: float = 0.0  # how much darker the corners are
    seed: int = 0  # of everything that is not named here


def _worn(rng: Random) -> dict:
    return {
        "wide": rng.uniform(0.88, 1.08),
        "tall": rng.uniform(0.94, 1.0),
        "wobble": rng.uniform(0, 0.5),
        "turn": rng.uniform(-0.06, 0.06),
        "roundness": rng.uniform(0.1, 0.45),
        "folds": rng.uniform(0.05, 0.2),
        "weave": rng.uniform(0, 0.05),
    }


def _camera(rng: Random) -> dict:
    return {
        "blur": rng.uniform(0, 0.55),
        "noise": rng.uniform(1, 7),
        "jpeg": rng.choice((0, 40, 60, 75, 90)),
        "cast": tuple(rng.uniform(0.95, 1.05) for _ in range(3)),
        "vignette": rng.uniform(0, 0.25),
    }


def _print(rng: Random) -> dict:
    return {
        "print_scale": rng.uniform(0.7, 1.4),
        "print_angle": rng.uniform(-0.12, 0.12),
        "loose": rng.choice((0.0, rng.random())),
        "petals": rng.randint(4, 8),
        "print_seed": rng.getrandbits(31),
    }


def outline(rng: Random) -> Style:
    """A coloured technical drawing: heavy contours, flat fills, white or pale paper."""
    line, darkness = rng.uniform(0.8, 1.8), rng.uniform(0.7, 1)
    return Style(
        **_print(rng),
        line=line,
        darkness=darkness,
        soft=rng.random() < 0.5,
        wide=rng.uniform(0.85, 1.1),
        wobble=rng.uniform(0, 0.7),
        folds=0,
        ground=rng.choice(("white", "white", "paper")),
        noise=0,
        jpeg=rng.choice((0, 50, 80)),
        seed=rng.getrandbits(31),
    )


def painted(rng: Random) -> Style:
    """A gouache: no contours, soft corners, visible strokes."""
    return Style(
        **_print(rng),
        line=rng.choice((0.0, 0.3)),
        soft=True,
        wide=rng.uniform(0.88, 1.1),
        wobble=rng.uniform(0.3, 1.1),
        roundness=rng.uniform(0, 0.3),
        folds=rng.uniform(0.03, 0.2),
        ground=rng.choice(("paper", "gradient")),
        medium="painted",
        noise=rng.uniform(0, 4),
        seed=rng.getrandbits(31),
    )


def on_mannequin(rng: Random) -> Style:
    """A studio photo of a garment on a mannequin."""
    return Style(
        **_print(rng),
        **_worn(rng),
        **_camera(rng),
        line=rng.choice((0.0, 0.4)),
        soft=rng.random() < 0.6,
        ground=rng.choice(("white", "gradient")),
        figure="mannequin",
        seed=rng.getrandbits(31),
    )


def on_hanger(rng: Random) -> Style:
    """A photo of a garment on a hanger, before a wall or a wardrobe."""
    return Style(
        **_print(rng),
        **_camera(rng),
        line=rng.choice((0.0, 0.5)),
        soft=rng.random() < 0.4,
        wide=rng.uniform(0.85, 1.05),
        tall=rng.uniform(0.93, 0.99),
        turn=rng.uniform(-0.08, 0.08),
        folds=rng.uniform(0.08, 0.25),
        weave=rng.uniform(0, 0.06),
        ground=rng.choice(("wood", "gradient", "tiles")),
        figure="hanger",
        seed=rng.getrandbits(31),
    )


def flat_lay(rng: Random) -> Style:
    """A photo from above of a garment on a table or a floor."""
    return Style(
        **_print(rng),
        **_camera(rng),
        line=rng.choice((0.0, 0.4)),
        soft=rng.random() < 0.4,
        wide=rng.uniform(0.88, 1.12),
        tall=rng.uniform(0.9, 1.0),
        wobble=rng.uniform(0.2, 1),
        turn=rng.uniform(-0.3, 0.3),
        folds=rng.uniform(0.06, 0.25),
        weave=rng.uniform(0, 0.07),
        ground=rng.choice(("wood", "linen", "tiles")),
        seed=rng.getrandbits(31),
    )


def street(rng: Random) -> Style:
    """A photo of somebody who wears it, before things that are out of focus."""
    return Style(
        **_print(rng),
        **_worn(rng),
        **_camera(rng),
        line=0.0,
        soft=True,
        ground="scene",
        figure="person",
        seed=rng.getrandbits(31),
    )


def poster(rng: Random) -> Style:
    """A print of few colours: cut-out shapes with a pale border on a bright ground."""
    return Style(
        **_print(rng),
        line=rng.uniform(0.4, 1.2),
        darkness=rng.uniform(0.5, 1),
        soft=True,
        wide=rng.uniform(0.85, 1.1),
        wobble=rng.uniform(0, 0.8),
        folds=rng.uniform(0, 0.12),
        ground="gradient",
        medium="poster",
        noise=0,
        jpeg=rng.choice((0, 60)),
        seed=rng.getrandbits(31),
    )


def studio(rng: Random) -> Style:
    """A catalogue photo of a model before a plain wall."""
    return Style(
        **_print(rng),
        **_worn(rng),
        **_camera(rng),
        line=rng.choice((0.0, 0.4)),
        soft=True,
        ground=rng.choice(("white", "gradient", "paper")),
        figure="person",
        seed=rng.getrandbits(31),
    )


def pencil(rng: Random) -> Style:
    """A sketch in coloured pencil: hatched, the paper shines through."""
    return Style(
        **_print(rng),
        line=rng.uniform(0.5, 1.1),
        darkness=rng.uniform(0.6, 1),
        soft=rng.random() < 0.5,
        wide=rng.uniform(0.85, 1.1),
        wobble=rng.uniform(0.3, 1),
        turn=rng.uniform(-0.1, 0.1),
        roundness=rng.uniform(0, 0.2),
        folds=rng.uniform(0, 0.1),
        ground="paper",
        medium="pencil",
        noise=rng.uniform(0, 3),
        seed=rng.getrandbits(31),
    )


def placed(photo: RenderedPhoto, style: Style, rng: Random) -> RenderedPhoto:
    """The photo as the style takes it: a figure needs room for its head and feet."""
    if style.figure == "person":
        return replace(photo, scale=rng.uniform(0.62, 0.8), dy=rng.uniform(2, 6))
    if style.figure == "mannequin":
        return replace(photo, scale=rng.uniform(0.75, 0.95))
    return replace(photo, scale=rng.uniform(0.8, 1.0)) if style.turn else photo


def again(style: Style, family: str, rng: Random) -> Style:
    """Another picture of the same garment by the same family: the print stays, all else is drawn anew."""
    kept = {name: getattr(style, name) for name in ("print_scale", "loose", "petals", "print_seed")}
    return replace(STYLES[family](rng), **kept)


TRAINED: dict[str, Callable[[Random], Style]] = {
    draw.__name__: draw for draw in (outline, painted, on_mannequin, on_hanger, flat_lay, street)
}
DRAWN = (*TRAINED, "street", "street")  # how often encoders see each: a garment is smallest on somebody in a street
HELD_OUT: dict[str, Callable[[Random], Style]] = {draw.__name__: draw for draw in (poster, studio)}
UNTOUCHED: dict[str, Callable[[Random], Style]] = {"pencil": pencil}
STYLES = {**TRAINED, **HELD_OUT, **UNTOUCHED}
