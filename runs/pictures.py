"""Pictures as files that explain themselves: what was asked and used travels inside each PNG.

Two text chunks: `parameters`, which A1111's PNG Info reads, and `modiste`, JSON from which a lost journal
is rebuilt.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.errors import ModisteError

if TYPE_CHECKING:
    from PIL import Image

CHUNK = "modiste"
FOLDER = "images"


class Key(NamedTuple):
    """What one picture is: the photo it is for, the strategy of its prompt, the seed, the whole request."""

    image_sha256: str
    strategy_id: str
    seed: int
    request_hash: str


class PictureOrigin(NamedTuple):
    """What a picture's file says about itself. `run` is the fingerprint of the run's settings."""

    key: Key
    run: str
    request: dict[str, Any]
    used: dict[str, Any]


class UnusablePicture(ModisteError):
    """A drawn picture that can't be the answer to its request; drawing it again may help."""

    exit_code = 4


def file_of(key: Key) -> str:
    """The picture's place relative to the run's folder: a folder a photo, a readable and unique name."""
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    strategy = re.sub(r"[^A-Za-z0-9+_-]", "_", key.strategy_id)[:40]
    photo = re.sub(r"[^A-Za-z0-9]", "_", key.image_sha256[:12]) or "_"
    return f"{FOLDER}/{photo}/{strategy}-{key.seed}-{digest}.png"


def check(image: Image.Image, request: Mapping[str, Any]) -> None:
    """Raises UnusablePicture where the size is not the one asked for, or everything is black.

    All black is what the not-a-number of a half-precision model decodes to.
    """
    width, height = request.get("width", image.width), request.get("height", image.height)
    if image.size != (width, height):
        size = f"{image.width}×{image.height}"
        raise UnusablePicture(f"the picture is {size} although {width}×{height} was asked")
    if image.convert("L").getextrema()[1] == 0:
        raise UnusablePicture("the picture is entirely black", to_try="full precision for the VAE (--no-half-vae)")


def encode(image: Image.Image, origin: PictureOrigin) -> bytes:
    """The PNG with its texts, decoded again to be sure. The same picture and origin give the same bytes."""
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("parameters", infotext(origin.request, origin.used))
    texts.add_text(CHUNK, json.dumps({**origin._asdict(), "key": origin.key._asdict()}, sort_keys=True))
    buffer, picture = BytesIO(), image.convert("RGB")
    picture.save(buffer, "PNG", pnginfo=texts)
    data = buffer.getvalue()
    if _decode(data).tobytes() != picture.tobytes():
        raise UnusablePicture("the picture did not survive its own encoding")
    return data


def read_origin(path: Path) -> PictureOrigin | None:
    """What a picture's file says about itself; None where it is not there, not whole or not ours."""
    try:
        return origin_of(path.read_bytes())
    except OSError:
        return None


def origin_of(data: bytes) -> PictureOrigin | None:
    """What a picture says about itself, after decoding all of it; None where it is not whole or not ours."""
    from PIL import UnidentifiedImageError

    try:
        picture = _decode(data)
        origin = json.loads(picture.info[CHUNK])
        return PictureOrigin(Key(**origin["key"]), origin["run"], origin["request"], origin["used"])
    except (OSError, UnidentifiedImageError, SyntaxError, KeyError, TypeError, ValueError):
        return None


def _decode(data: bytes) -> Image.Image:
    from PIL import Image

    Image.open(BytesIO(data), formats=["PNG"]).verify()  # the checksums; decoding alone does not look at them
    picture = Image.open(BytesIO(data), formats=["PNG"])
    picture.load()
    return picture


def sha256_of(path: Path) -> str | None:
    """Hex digest of the file's content; None where there is no such file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def infotext(request: Mapping[str, Any], used: Mapping[str, Any]) -> str:
    """A1111's text of a picture: prompt, negative prompt, then one line of settings."""
    settings = {name: _quoted(value) for name, value in _settings(request, used) if value not in (None, "")}
    prompt = str(request.get("prompt", "")).replace("\0", "").strip()
    negative = str(request.get("negative_prompt", "")).replace("\0", "").strip()
    lines = [prompt, f"Negative prompt: {negative}" if negative else ""]
    last = ", ".join(f"{name}: {value}" for name, value in settings.items())
    return "\n".join([*filter(None, lines), last])


def _settings(request: Mapping[str, Any], used: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    both = {**request, **{name: value for name, value in used.items() if value is not None}}
    yield "Steps", both.get("steps")
    yield "Sampler", both.get("sampler")
    yield "Schedule type", both.get("scheduler")
    yield "CFG scale", both.get("cfg_scale")
    yield "Seed", both.get("seed")
    yield "Size", f"{both.get('width')}x{both.get('height')}"
    yield "Model hash", both.get("checkpoint_hash")
    yield "Model", re.split(r"[/\\]", str(both.get("checkpoint") or ""))[-1].removesuffix(".safetensors")
    yield "Clip skip", both.get("clip_skip") if both.get("clip_skip", 1) != 1 else None


def _quoted(value: Any) -> str:
    """A1111's own rule: a value with a comma, colon or line break is written as a JSON string."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r"[,:\n]", text) else text
