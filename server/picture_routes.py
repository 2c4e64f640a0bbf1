"""Routes for pictures that are there already: what text a file holds, what it shows, and resizing."""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol

from .errors import NOT_HONOURED, NOT_THERE, Refusal
from .fields import (
    ExtrasBaseRequest,
    ExtrasBatchImagesRequest,
    ExtrasSingleImageRequest,
    InterrogateRequest,
    PNGInfoRequest,
)
from .pictures import bytes_of, decode, encode
from .resize import UPSCALERS, refuse_unknown_upscaler, resized

if TYPE_CHECKING:
    from fastapi import FastAPI
    from PIL import Image

LONGEST = 4096  # pixels, of a picture that is resized
LOOKED_AT = 1024  # pixels, of a picture that is described
FIELD = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')  # of an infotext's last line


class Interrogator(Protocol):
    """Says what a picture shows."""

    def caption(self, image: Image.Image) -> str:
        """A sentence."""

    def tags(self, image: Image.Image) -> str:
        """Labels, comma-separated."""


def add_picture_routes(app: FastAPI, interrogator: Interrogator | None) -> None:
    """png-info, interrogate and the two extras. They are plain functions: the framework runs them on other threads."""

    @app.post("/sdapi/v1/png-info")
    def png_info(body: PNGInfoRequest) -> dict[str, Any]:
        texts = texts_of(bytes_of(body.image))
        info = texts.get("parameters", "")
        return {"info": info, "items": texts, "parameters": read_infotext(info)}

    @app.post("/sdapi/v1/interrogate")
    def interrogate(body: InterrogateRequest) -> dict[str, str]:
        if interrogator is None or body.model not in ("clip", "deepdanbooru", "deepbooru"):
            raise Refusal(NOT_THERE, "Model not found")
        if not body.image:
            raise Refusal(NOT_THERE, "Image not found")
        image = decode(body.image, LOOKED_AT)
        return {"caption": interrogator.caption(image) if body.model == "clip" else interrogator.tags(image)}

    @app.post("/sdapi/v1/extra-single-image")
    def extra_single_image(body: ExtrasSingleImageRequest) -> dict[str, Any]:
        if not body.image:
            raise Refusal(NOT_THERE, "Image not found")
        return {"html_info": "", "image": encode(extra(body, body.image))}

    @app.post("/sdapi/v1/extra-batch-images")
    def extra_batch_images(body: ExtrasBatchImagesRequest) -> dict[str, Any]:
        return {"html_info": "", "images": [encode(extra(body, file.data)) for file in body.imageList]}

    @app.get("/sdapi/v1/upscalers")
    async def upscalers() -> list[dict[str, Any]]:
        nothing = {"model_name": None, "model_path": None, "model_url": None}
        return [{"name": name, **nothing, "scale": 4} for name in UPSCALERS]

    @app.get("/sdapi/v1/latent-upscale-modes")
    async def latent_upscale_modes() -> list[dict[str, str]]:
        return []


def extra(body: ExtrasBaseRequest, encoded: str) -> Image.Image:
    """One picture resized as the request says; Refusal for what needs a model that is not here."""
    if body.gfpgan_visibility or body.codeformer_visibility:
        raise Refusal(
            NOT_HONOURED, "faces are not restored here; leave gfpgan_visibility and codeformer_visibility at 0"
        )
    if body.extras_upscaler_2_visibility and body.upscaler_2 != "None":
        raise Refusal(NOT_HONOURED, "two upscalers are not mixed here; leave extras_upscaler_2_visibility at 0")
    refuse_unknown_upscaler(body.upscaler_1, "upscaler_1")
    image = decode(encoded, LONGEST)
    if body.upscaler_1 == "None":  # A1111 then leaves the picture as it is
        return image
    if body.resize_mode == 1:
        size = body.upscaling_resize_w, body.upscaling_resize_h
        return resized(image, size, body.upscaler_1, crop=body.upscaling_crop)
    size = int(image.width * body.upscaling_resize), int(image.height * body.upscaling_resize)
    return resized(image, size, body.upscaler_1, crop=True)


def texts_of(data: bytes) -> dict[str, str]:
    """A file's own texts by name; the picture itself is not decoded. Refusal where it is no picture."""
    from PIL import Image

    try:
        with Image.open(BytesIO(data), formats=["PNG", "JPEG", "WEBP"]) as image:
            return {name: value for name, value in image.info.items() if isinstance(value, str)}
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Refusal(NOT_HONOURED, "Invalid encoded image") from error


def read_infotext(text: str) -> dict[str, str]:
    """A1111's infotext as fields: prompt, negative prompt, and the settings of its last line; empty without any."""
    *lines, settings = text.strip().split("\n")
    fields = FIELD.findall(settings)
    if len(fields) < 3:  # as A1111: it is no line of settings
        lines, fields = [*lines, settings], []
    prompt, _, negative = "\n".join(lines).partition("\nNegative prompt:")
    words = {"Prompt": prompt.strip(), "Negative prompt": negative.strip()} if text else {}
    return words | {name: value.strip('"') for name, value in fields}
