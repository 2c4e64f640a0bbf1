"""Masked img2img as A1111 does it: what is white in the mask is drawn anew, the rest stays the client's picture.

mask → inverted → blurred → the part around it at the size to draw → drawn → put back → under the unmasked picture

Of A1111's four contents for the masked part there are *fill* (its surroundings, blurred) and *original*; noise and
zeros are made in the latents, where the pipeline that is there does not reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING

from .errors import NOT_HONOURED, Refusal
from .pictures import FILL, LONGEST, bytes_of, decode, fitted
from .requests import GRID

if TYPE_CHECKING:
    from PIL import Image

    from ..hosts.local import LocalHost
    from ..hosts.request import GenerationRequest, GenerationResult
    from .fields import StableDiffusionProcessingImg2Img

    Region = tuple[int, int, int, int]  # left, top, right, bottom

FILLED, ORIGINAL = 0, 1  # inpainting_fill
OPAQUE = 128  # an alpha above it is masked
# The masked part's surroundings over it, blurred less and less: radius in pixels, how often. A1111's masking.fill.
BLURS = ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1))


@dataclass(frozen=True)
class Inpainting:
    """How a mask is understood."""

    mask: str  # base64
    blur: tuple[int, int]  # pixels across and down
    filled: bool
    inverted: bool
    only_masked: bool
    padding: int  # pixels around the masked part, of the client's picture
    resize_mode: int

    @classmethod
    def of(cls, body: StableDiffusionProcessingImg2Img) -> Inpainting | None:
        """What the body asks for; None without a mask."""
        if not body.mask:
            return None
        if body.inpainting_fill not in (FILLED, ORIGINAL):
            refused = f"inpainting_fill can't be {body.inpainting_fill} here; 0 (fill) or 1 (original)"
            raise Refusal(NOT_HONOURED, refused)
        if not body.mask_round:
            raise Refusal(NOT_HONOURED, "mask_round can't be False here; leave it out, or True")
        blur = (body.mask_blur_x, body.mask_blur_y) if body.mask_blur is None else (body.mask_blur, body.mask_blur)
        if min(*blur, body.inpaint_full_res_padding) < 0:
            raise Refusal(NOT_HONOURED, "mask_blur and inpaint_full_res_padding are pixels, 0 or more")
        return cls(
            body.mask,
            blur,
            body.inpainting_fill == FILLED,
            bool(body.inpainting_mask_invert),
            body.inpaint_full_res,
            body.inpaint_full_res_padding,
            body.resize_mode,
        )

    def draw(
        self, host: LocalHost, images: Sequence[str], strength: float, requests: Sequence[GenerationRequest]
    ) -> Iterator[GenerationResult]:
        """One picture (base64) a request; *only masked* gives it back at its own size."""
        for encoded, request in zip(images, requests, strict=True):
            original, size = _whole(encoded), (request.width, request.height)
            mask = self.blurred(original.size)
            if self.only_masked:
                region = region_of(mask, self.padding, size)
                start, part = (fitted(each.crop(region), size, FILL) for each in (original, mask.convert("RGB")))
                kept = mask
            else:
                region = (0, 0, *size)
                original = start = fitted(original, size, self.resize_mode)
                part = fitted(mask.convert("RGB"), size, self.resize_mode)
                kept = part.convert("L").point([min(2 * level, 255) for level in range(256)])
            part = part.convert("L")
            if self.filled:
                start = surroundings(start, part)
            for result in host.redraw(start, strength, [request], on_grid(part)):
                yield replace(result, image=_put_back(result.image, original, region, kept))

    def blurred(self, size: tuple[int, int]) -> Image.Image:
        """The mask, L, at the size of the client's picture; Refusal where it has nothing to draw."""
        from PIL import ImageFilter, ImageOps

        mask = _levels(self.mask).resize(size)
        mask = ImageOps.invert(mask) if self.inverted else mask
        if mask.getbbox() is None:
            raise Refusal(NOT_HONOURED, "the mask leaves nothing to draw: white is drawn, black stays")
        return mask.filter(ImageFilter.GaussianBlur(self.blur))

    @property
    def infotext(self) -> str:
        """As A1111 adds it to a picture's text."""
        texts = ["Mask mode: Inpaint not masked"] if self.inverted else []
        if max(self.blur) > 0:
            texts.append(f"Mask blur: {self.blur[0] if len(set(self.blur)) == 1 else None}")
        if self.only_masked:
            texts += ["Inpaint area: Only masked", f"Masked area padding: {self.padding}"]
        if self.filled:
            texts.append("Masked content: fill")
        return "".join(f", {text}" for text in texts)


def region_of(mask: Image.Image, padding: int, size: tuple[int, int]) -> Region:
    """The box around what is masked, with its padding, in the shape of `size` as far as the picture reaches."""
    left, top, right, bottom = mask.getbbox() or (0, 0, *mask.size)
    left, top = max(left - padding, 0), max(top - padding, 0)
    right, bottom = min(right + padding, mask.width), min(bottom + padding, mask.height)
    width, height = right - left, bottom - top
    if width / height > size[0] / size[1]:
        top, bottom = _grown(top, bottom, int(width * size[1] / size[0]), mask.height)
    else:
        left, right = _grown(left, right, int(height * size[0] / size[1]), mask.width)
    return left, top, right, bottom


def _grown(start: int, end: int, length: int, limit: int) -> tuple[int, int]:
    """A stretch of `length` around the middle of another, moved into 0 … limit."""
    length = min(max(length, end - start), limit)
    first = min(max(start - (length - (end - start)) // 2, 0), limit - length)
    return first, first + length


def surroundings(image: Image.Image, mask: Image.Image) -> Image.Image:
    """The picture, the masked part of it replaced by the colours around it."""
    from PIL import Image, ImageFilter, ImageOps

    unmasked = Image.new("RGBa", image.size)
    unmasked.paste(image.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask))
    filled = Image.new("RGBA", image.size)
    for radius, times in BLURS:
        blurred = unmasked.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(times):
            filled.alpha_composite(blurred)
    return filled.convert("RGB")


def on_grid(mask: Image.Image) -> Image.Image:
    """The mask as the latents have it: each of their points drawn or not."""
    from PIL import Image

    points = mask.resize((mask.width // GRID, mask.height // GRID))
    return points.point([0] * OPAQUE + [255] * (256 - OPAQUE)).resize(mask.size, Image.Resampling.NEAREST)


def _levels(encoded: str) -> Image.Image:
    """A client's mask, L: its transparency where it has any, else its brightness."""
    from PIL import Image

    image = decode(encoded, LONGEST)  # refuses what is no picture, or too large a one
    file = Image.open(BytesIO(bytes_of(encoded)))
    if "A" in file.getbands() and file.getchannel("A").getextrema() != (255, 255):
        return file.getchannel("A").point([0] * (OPAQUE + 1) + [255] * (255 - OPAQUE))
    return image.convert("L")


def _whole(encoded: str) -> Image.Image:
    """A client's picture, RGB; Refusal where it would have to be made smaller, as what stays is given back."""
    from PIL import Image

    image, size = decode(encoded, LONGEST), Image.open(BytesIO(bytes_of(encoded))).size
    if max(size) > LONGEST:
        raise Refusal(NOT_HONOURED, f"a picture with a mask has at most {LONGEST} pixels a side here, not {max(size)}")
    return image


def _put_back(drawn: Image.Image, original: Image.Image, region: Region, kept: Image.Image) -> Image.Image:
    """The client's picture with what was drawn in its region, as far as the mask is white."""
    from PIL import Image, ImageOps

    whole = original.copy()
    left, top, right, bottom = region
    whole.paste(ImageOps.fit(drawn, (right - left, bottom - top)), (left, top))
    return Image.composite(whole, original, kept)
