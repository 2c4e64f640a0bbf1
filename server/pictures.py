"""Pictures as they travel: base64 PNG with A1111's infotext in it, and the JSON of what was used."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.version import VERSION
from ..fashion.photos import BadPhoto, PhotoFile, decode_photo
from ..runs.pictures import infotext
from .errors import NOT_HONOURED, NOT_THERE, Refusal
from .resize import filled

if TYPE_CHECKING:
    from PIL import Image

    from ..hosts.request import GenerationResult
    from .requests import DrawingOrder

CROP, FILL = 1, 2  # resize_mode
LONGEST = 2048  # pixels, of a picture that comes in


def fitted(image: Image.Image, size: tuple[int, int], resize_mode: int) -> Image.Image:
    """The picture, RGB, at the size to draw: stretched, cropped or filled up."""
    from PIL import ImageOps

    if resize_mode == CROP:
        return ImageOps.fit(image, size)
    if resize_mode == FILL:
        return filled(image, size)
    return image.resize(size)


def bytes_of(encoded: Any) -> bytes:
    """The file behind base64 or a data URI; Refusal where it is neither."""
    if not isinstance(encoded, str):
        raise Refusal(NOT_HONOURED, "Invalid encoded image")
    if encoded.startswith(("http://", "https://")):
        raise Refusal(NOT_HONOURED, "Requests not allowed")
    if encoded.startswith("data:image/"):
        encoded = encoded.partition(",")[2]
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(NOT_HONOURED, f"Invalid encoded image: {error}") from error


def decode(encoded: Any, side: int) -> Image.Image:
    """A client's picture, RGB, at most `side` pixels long; Refusal (422) where it can't be decoded."""
    data = bytes_of(encoded)
    try:
        return decode_photo(PhotoFile(Path("image"), data, hashlib.sha256(data).hexdigest()), side).image
    except BadPhoto as error:
        raise Refusal(NOT_HONOURED, f"Invalid encoded image: {error}") from error


def choose_start(init_images: Sequence[Any] | None, count: int) -> list[Any]:
    """One picture for each that is drawn; Refusal where there is none, or another number."""
    if not init_images:
        raise Refusal(NOT_THERE, "Init image not found")
    if len(init_images) not in (1, count):
        raise Refusal(NOT_HONOURED, f"{len(init_images)} init_images for {count} pictures; send one, or one for each")
    if not all(isinstance(image, str) for image in init_images):
        raise Refusal(NOT_HONOURED, "Invalid encoded image")
    return list(init_images) * (count if len(init_images) == 1 else 1)


def text_of(result: GenerationResult, order: DrawingOrder, strength: float | None, hires: str = "") -> str:
    """A1111's infotext of one picture, with the prompt as the client wrote it; `hires`: what hires fix adds."""
    settings = result.request.model_dump(mode="json") | {"prompt": order.prompt}
    more = "" if strength is None else f", Denoising strength: {strength:g}"
    return f"{infotext(settings, result.used.model_dump(mode='json'))}{more}{hires}, Version: modiste {VERSION}"


def encode(image: Image.Image, text: str = "") -> str:
    """Base64 PNG; `text` is what A1111's PNG Info shows."""
    from PIL.PngImagePlugin import PngInfo

    texts, data = PngInfo(), BytesIO()
    if text:
        texts.add_text("parameters", text)
    image.save(data, "PNG", pnginfo=texts)
    return base64.b64encode(data.getvalue()).decode()


def info_of(
    results: Sequence[GenerationResult],
    order: DrawingOrder,
    body: Any,
    texts: Sequence[str],
    strength: float | None,
    job: str,
) -> str:
    """`info`: what was used, of the pictures that were drawn; an interrupted job lists as many as it gave."""
    seeds = [result.used.seed for result in results]
    first, used = order.requests[0], results[0].used if results else None
    document = {
        "prompt": order.prompt,
        "all_prompts": [order.prompt] * len(results),
        "negative_prompt": order.negative_prompt,
        "all_negative_prompts": [order.negative_prompt] * len(results),
        "seed": first.seed,
        "all_seeds": seeds,
        "subseed": first.seed,
        "all_subseeds": seeds,
        "subseed_strength": 0,
        "width": used.width if used else first.width,
        "height": used.height if used else first.height,
        "sampler_name": first.sampler,
        "cfg_scale": first.cfg_scale,
        "steps": first.steps,
        "batch_size": body.batch_size,
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": used.checkpoint if used else "",
        "sd_model_hash": used.checkpoint_hash if used else None,
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": strength,
        "extra_generation_params": {} if strength is None else {"Denoising strength": strength},
        "index_of_first_image": 0,
        "infotexts": list(texts),
        "styles": [],
        "job_timestamp": job,
        "clip_skip": order.clip_skip,
        "is_using_inpainting_conditioning": False,
        "version": f"modiste {VERSION}",
    }
    if order.warnings:
        document["warnings"] = list(order.warnings)
    return json.dumps(document, ensure_ascii=False)
