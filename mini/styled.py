"""Garment + photo + style → picture: the renderer's cuts and details, drawn in other hands and before other grounds."""

from __future__ import annotations

import io
import math
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from .canvas import Canvas
from .colours import RGB, edge_colour, mix
from .cut import cut
from .details import draw_details, draw_traits
from .garment import Garment
from .loose_prints import loose_fabric
from .photo import RenderedPhoto
from .renderer import SUPERSAMPLE, cut_from_cloth
from .scenery import figure, ground
from .shapes import UNITS, Point
from .style import Style

EDGE_UNITS = 3.0  # the longest piece of an outline that bends as a whole
CORNER = 0.14  # share of an edge that a round corner takes


class StyledCanvas(Canvas):
    """A canvas whose outlines are stretched, turned and wander, with what carries the garment on a sheet behind."""

    def __init__(self, garment: Garment, photo: RenderedPhoto, style: Style, unit: int) -> None:
        super().__init__(garment, photo, unit)
        self.style = style
        self.sheet = loose_fabric(garment, style, unit)
        self.draw = ImageDraw.Draw(self.sheet)
        self.behind = Image.new("RGB", self.sheet.size)
        self.behind_mask = Image.new("L", self.sheet.size, 0)
        rng = Random(f"wobble-{style.seed}")
        self.waves = [(rng.uniform(0.1, 0.3), rng.uniform(0, 6.3)) for _ in range(2)]

    def place(self, points: list[Point]) -> list[Point]:
        """Units → pixels of the sheet, as style and photo have it; long edges in pieces, so that they can bend."""
        return super().place([self._bent(x, y) for x, y in pieces(points)])

    def _bent(self, x: float, y: float) -> Point:
        style, ((f, p), (g, q)) = self.style, self.waves
        x, y = (x - 32) * style.wide, (y - 33) * style.tall
        x, y = x + style.wobble * math.sin(f * y + p), y + 0.6 * style.wobble * math.sin(g * x + q)
        cos, sin = math.cos(style.turn), math.sin(style.turn)
        return 32 + x * cos - y * sin, 33 + x * sin + y * cos

    def cut_out(self, points: list[Point], fill: int = 255) -> None:
        """Add to the silhouette, or with `fill=0` take away."""
        super().cut_out(rounded(points) if self.style.soft else points, fill)

    def put_behind(self, points: list[Point], fill: RGB) -> None:
        """A filled polygon on the sheet behind the garment."""
        placed = self.place(points)
        ImageDraw.Draw(self.behind).polygon(placed, fill=fill)
        ImageDraw.Draw(self.behind_mask).polygon(placed, fill=255)


def pieces(points: list[Point]) -> list[Point]:
    """The line with points at most EDGE_UNITS apart."""
    dense = list(points[:1])
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        count = max(1, math.ceil(math.hypot(x1 - x0, y1 - y0) / EDGE_UNITS))
        dense += [(x0 + (x1 - x0) * k / count, y0 + (y1 - y0) * k / count) for k in range(1, count + 1)]
    return dense


def rounded(points: list[Point]) -> list[Point]:
    """The closed outline with its corners cut twice (Chaikin, "An algorithm for high-speed curve generation", 1974)."""
    for share in (CORNER, 0.25):
        cut_points = []
        for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
            cut_points += [
                (x0 + share * (x1 - x0), y0 + share * (y1 - y0)),
                (x1 - share * (x1 - x0), y1 - share * (y1 - y0)),
            ]
        points = cut_points
    return points


def render_styled(garment: Garment, photo: RenderedPhoto, style: Style, size: int = 64) -> Image.Image:
    """The picture, RGB, `size` × `size`."""
    unit = max(1, round(SUPERSAMPLE * size / UNITS)) if size <= 128 else max(2, round(2 * size / UNITS))
    canvas, pattern = StyledCanvas(garment, photo, style, unit), cut(garment)
    for outline, colour in figure(style, garment, pattern):
        canvas.put_behind(outline, colour)
    cut_from_cloth(canvas, garment, pattern)
    edge = mix(garment.rgb, (8, 6, 12), style.darkness) if sum(garment.rgb) > 170 else edge_colour(garment.rgb)
    draw_traits(canvas, garment, pattern)
    if style.line:
        for sleeve in pattern.sleeves:
            canvas.line([*sleeve, sleeve[0]], edge, style.line)
        if pattern.hole and garment.neckline != "collar":
            canvas.line([*pattern.hole[1:], pattern.hole[0]], edge, 1.2 * style.line)
    else:  # without a line a sleeve of the body's colour would not be told from it
        for sleeve in pattern.sleeves:
            canvas.line([*sleeve, sleeve[0]], mix(garment.rgb, edge, 0.5), 0.5)
    draw_details(canvas, garment, pattern)
    if style.line:
        rim = ImageChops.subtract(canvas.mask, _eroded(canvas.mask, max(1, round(style.line * unit))))
        canvas.sheet.paste(edge, mask=rim)
    return developed(canvas, style, size)


def _eroded(mask: Image.Image, step: int) -> Image.Image:
    inner = mask
    for dx, dy in ((step, 0), (-step, 0), (0, step), (0, -step)):
        inner = ImageChops.darker(inner, ImageChops.offset(mask, dx, dy))
    return inner


def developed(canvas: StyledCanvas, style: Style, size: int) -> Image.Image:
    """Light, folds, ground, shadow; then the medium, and the camera."""

    def small(image: Image.Image) -> np.ndarray:
        return np.asarray(image.resize((size, size), Image.Resampling.BOX), np.float32)

    alpha = small(canvas.mask)[..., None] / 255
    cloth = small(canvas.sheet) * shading(alpha[..., 0], style, size)[..., None]
    picture, noise = ground(style, size), np.random.default_rng(style.seed)
    behind = small(canvas.behind_mask)[..., None] / 255
    if behind.any():
        colour = small(canvas.behind) / np.maximum(behind, 1e-3)
        picture = picture + (np.clip(colour, 0, 255) - picture) * behind
    if style.medium == "photo":
        shape = Image.fromarray((alpha[..., 0] * 255).astype(np.uint8))
        step = max(1, round(1.5 * size / UNITS))
        shadow = ImageChops.offset(shape, step, step).filter(ImageFilter.GaussianBlur(1.8 * size / UNITS))
        picture = picture * (1 - 0.25 * np.asarray(shadow, np.float32)[..., None] / 255)
    if style.medium == "poster":
        border = Image.fromarray((alpha[..., 0] * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(5))
        picture = picture + (250 - picture) * np.asarray(border, np.float32)[..., None] / 255
    if style.medium == "pencil":
        y, x = np.mgrid[0:size, 0:size] * (UNITS / size)
        strokes = 0.5 + 0.5 * np.sin(2.1 * (x + y) + noise.normal(0, 0.5, (size, size)))
        alpha = alpha * (0.95 - 0.5 * strokes[..., None] * (cloth.mean(-1, keepdims=True) > 60))
    picture = picture + (cloth - picture) * alpha
    return photographed(with_medium(_image(picture), style), style)


def shading(alpha: np.ndarray, style: Style, size: int) -> np.ndarray:
    """Light on the cloth, about 1, float32 [size, size]: sides of a body, folds, weave."""
    noise = np.random.default_rng(style.seed ^ 0x5F01D)
    light = np.ones((size, size), np.float32)
    if style.roundness:
        inside = alpha > 0.5
        x = np.arange(size, dtype=np.float32)[None]
        left = np.where(inside.any(1), inside.argmax(1), 0)[:, None]
        right = np.where(inside.any(1), size - 1 - inside[:, ::-1].argmax(1), size - 1)[:, None]
        across = (x - (left + right) / 2) / np.maximum((right - left) / 2, 1)
        light -= style.roundness * np.clip(across, -1, 1) ** 2
    if style.folds:
        rough = noise.normal(0, 1, (4, 13)).astype(np.float32)
        folds = Image.fromarray(rough).resize((size, size), Image.Resampling.BICUBIC)
        light += style.folds * np.asarray(folds, np.float32)
    if style.weave:
        light += style.weave * noise.normal(0, 1, (size, size)).astype(np.float32)
    return np.clip(light, 0.3, 1.35)


def with_medium(picture: Image.Image, style: Style) -> Image.Image:
    """The picture in strokes, or in few colours."""
    noise = np.random.default_rng(style.seed ^ 0x3ED1)
    size = picture.width
    if style.medium == "painted":
        rough = noise.normal(0, 1, (3, 9, 9)).astype(np.float32)
        layers = [Image.fromarray(layer).resize((size, size), Image.Resampling.BICUBIC) for layer in rough]
        tint = np.stack([np.asarray(layer) for layer in layers], -1)
        strokes = picture.filter(ImageFilter.MedianFilter(3 if size <= 96 else 5))
        return _image(np.asarray(strokes, np.float32) + 5 * tint)
    if style.medium == "poster":
        return picture.quantize(int(noise.integers(6, 12)), dither=Image.Dither.NONE).convert("RGB")
    return picture


def photographed(picture: Image.Image, style: Style) -> Image.Image:
    """Lens, sensor and file."""
    size, noise = picture.width, np.random.default_rng(style.seed ^ 0xCA3E)
    if style.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(style.blur * size / UNITS))
    pixels = np.asarray(picture, np.float32) * np.array(style.cast, np.float32)
    if style.vignette:
        y, x = np.mgrid[0:size, 0:size] / (size / 2) - 1
        pixels = pixels * (1 - style.vignette * (x**2 + y**2)[..., None] / 2)
    if style.noise:
        pixels = pixels + noise.normal(0, style.noise, pixels.shape)
    picture = _image(pixels)
    if style.jpeg:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=style.jpeg)
        picture = Image.open(file).convert("RGB")
    return picture


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))
