"""Garment + photo → picture: vector shapes, drawn four times too large and reduced."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from .canvas import Canvas
from .colours import RGB, edge_colour
from .cut import Pattern, collar_flaps, cut
from .details import draw_details, draw_traits, hood
from .garment import Garment
from .photo import RenderedPhoto
from .shapes import UNITS, Point, box

SUPERSAMPLE = 4


def cut_from_cloth(canvas: Canvas, garment: Garment, pattern: Pattern) -> None:
    """The garment's outline, with the hole of its neckline and the flaps of its collar."""
    for outline in silhouette(garment, pattern):
        canvas.cut_out(outline)
    if pattern.hole:
        canvas.cut_out(pattern.hole, 0)
    if garment.neckline == "collar":
        for flap in collar_flaps(pattern):
            canvas.cut_out(flap)


def render(garment: Garment, photo: RenderedPhoto | None = None, size: int = 64) -> Image.Image:
    """The picture, RGB, `size` × `size` (64 for the models, about 384 for people)."""
    photo = photo or RenderedPhoto()
    unit = max(1, round(SUPERSAMPLE * size / UNITS)) if size <= 128 else max(2, round(2 * size / UNITS))
    canvas, pattern = Canvas(garment, photo, unit), cut(garment)
    edge = edge_colour(garment.rgb)
    cut_from_cloth(canvas, garment, pattern)
    draw_traits(canvas, garment, pattern)
    for sleeve in pattern.sleeves:
        canvas.line([*sleeve, sleeve[0]], edge, 0.9)
    if pattern.hole and garment.neckline != "collar":
        seam = [*pattern.hole[1:], pattern.hole[0]] if garment.neckline == "v" else pattern.hole[2:]
        canvas.line(seam, edge, 1.3)
    draw_details(canvas, garment, pattern)
    rim = ImageChops.subtract(canvas.mask, shrunk(canvas.mask, unit))
    canvas.sheet.paste(edge, mask=rim.point(lambda v: v * 7 // 10))
    return develop(canvas, garment, photo, size)


def silhouette(garment: Garment, pattern: Pattern) -> list[list[Point]]:
    """Sleeves, body, and what stands above the shoulders."""
    outlines = [*pattern.sleeves, pattern.body]
    if garment.category == "hoodie":
        outlines.append(hood(pattern))
    elif garment.neckline == "high":
        outlines.append(box(27, pattern.shoulder_y - 7, 37, pattern.shoulder_y))
    return outlines


def shrunk(mask: Image.Image, unit: int) -> Image.Image:
    """The mask without its outermost 0.6 unit: shifted copies are many times faster than a minimum filter."""
    step, inner = max(1, round(0.6 * unit)), mask
    for dx, dy in ((step, 0), (-step, 0), (0, step), (0, -step)):
        inner = ImageChops.darker(inner, ImageChops.offset(mask, dx, dy))
    return inner


def develop(canvas: Canvas, garment: Garment, photo: RenderedPhoto, size: int) -> Image.Image:
    """Light, folds, backdrop, shadow, grain; and the reduction to `size`."""
    cloth = np.asarray(canvas.sheet.resize((size, size), Image.Resampling.BOX), np.float32)
    alpha_image = canvas.mask.resize((size, size), Image.Resampling.BOX)
    alpha = np.asarray(alpha_image, np.float32)[..., None] / 255
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
    light = photo.exposure * (1 + photo.light * (x * math.cos(photo.light_angle) + y * math.sin(photo.light_angle)))
    drape = np.sin(2 * math.pi * (3.1 * x + 0.35 * np.sin(5 * y)) + photo.fold) * (0.35 + y + 0.5)
    cloth = cloth * (light * (1 + 0.045 * drape))[..., None] + 3 * drape[..., None]
    share = (x * math.cos(photo.backdrop_angle) + y * math.sin(photo.backdrop_angle) + 0.7)[..., None] / 1.4
    first, second = (np.array(c, np.float32) for c in photo.backdrop)
    backdrop = (first + (second - first) * share) * light[..., None]
    u = size / UNITS
    shadow = ImageChops.offset(alpha_image, round(1.2 * u), round(2 * u)).filter(ImageFilter.GaussianBlur(1.6 * u))
    backdrop *= 1 - 0.26 * np.asarray(shadow, np.float32)[..., None] / 255
    picture = backdrop + (cloth - backdrop) * alpha
    grain = np.random.default_rng(photo.noise).normal(0, 1.2, (size, size, 1)).astype(np.float32)
    return Image.fromarray(np.clip(picture + grain + 0.5, 0, 255).astype(np.uint8))


def grid(pictures: list[Image.Image], columns: int, gap: int = 2, paper: RGB = (255, 255, 255)) -> Image.Image:
    """A contact sheet, row by row."""
    w, h = pictures[0].size
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (w + gap) + gap, rows * (h + gap) + gap), paper)
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (gap + i % columns * (w + gap), gap + i // columns * (h + gap)))
    return sheet
