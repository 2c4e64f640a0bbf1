"""What came back: the picture, what the server says it used, and a loud error where that is not what was requested.

`parameters` in the answer only repeats the request. `info` says what was used, except for the size, of which the
decoded picture alone is true.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ..errors import Interrupted, NotANumber, UnreadableAnswer, WrongResult
from ..request import UsedSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from ..request import GenerationRequest, LoraRef
    from .catalogue import Checkpoint

MOST_PIXELS = 50_000_000
SCHEDULE = re.compile(r"Schedule type: ([^,\n]+)")
LORA_HASHES = re.compile(r'Lora hashes: "([^"]*)"')


@dataclass(frozen=True)
class Txt2ImgResult:
    """One picture (PIL, RGB) and the server's own account of it."""

    image: Image.Image
    info: dict[str, Any]
    where: str
    elapsed_s: float = 0.0  # from the request that was answered to its answer: without earlier failures and waiting

    @classmethod
    def read(cls, document: Any, where: str) -> Txt2ImgResult:
        """The one picture of a txt2img answer, without the grid that may stand before it.

        Raises UnreadableAnswer, and Interrupted where there are fewer pictures than seeds.
        """
        try:
            images, info = document["images"], json.loads(document["info"])
            seeds, first = info["all_seeds"], info.get("index_of_first_image", 0)
            count = len(images or ()) - first
            seeds[0]
        except (LookupError, TypeError, ValueError, AttributeError):
            raise UnreadableAnswer("the answer lacks pictures or their info", where=where) from None
        if count < len(seeds):  # Forge appends pictures of its extensions: more are no error
            raise Interrupted(
                f"{max(count, 0)} pictures came for {len(seeds)} seeds",
                where=where,
                to_try="run the same command again and do not press Interrupt or Skip in the WebUI",
            )
        return cls(decode(images[first], where), info, where)

    @property
    def infotext(self) -> str:
        """The line of settings, without the prompt before it."""
        texts = self.info.get("infotexts") or [""]
        return str(texts[0]).rpartition("\n")[2]

    def used(self, loras: Sequence[LoraRef]) -> UsedSettings:
        """As every host reports it; of `loras` those that the server lists, or all where it lists none."""
        info, named = self.info, LORA_HASHES.search(self.infotext)
        hashed = [part.partition(":")[0].strip() for part in named[1].split(",")] if named else None
        version = str(info.get("version") or "unknown")
        return UsedSettings(
            seed=info["all_seeds"][0],
            steps=info["steps"],
            cfg_scale=info["cfg_scale"],
            width=self.image.width,
            height=self.image.height,
            sampler=info["sampler_name"],
            checkpoint=info.get("sd_model_name"),
            checkpoint_hash=info.get("sd_model_hash"),
            loras=tuple(lora for lora in loras if hashed is None or lora.name in hashed),
            backend=f"{'Forge' if version.startswith('f') else 'WebUI'} {version}",
        )

    def refuse_black(self) -> None:
        """NotANumber where no pixel has any light: Forge and --disable-nan-check make that of NaN, with 200."""
        if all(highest == 0 for _, highest in self.image.getextrema()):
            raise NotANumber(
                "an entirely black picture came, which a WebUI that does not look for NaN makes of an overflow",
                where=self.where,
                to_try="more precision; an NSFW filter among the extensions draws black too",
            )

    def refuse_replaced(self, request: GenerationRequest, checkpoint: Checkpoint | None) -> None:
        """WrongResult that names each thing the server used instead of what was requested."""
        info = self.info
        schedule = SCHEDULE.search(self.infotext)
        pairs = [
            ("sampler", request.sampler, info.get("sampler_name"), "GET /sdapi/v1/samplers lists the valid names"),
            ("seed", request.seed, info["all_seeds"][0], "an extension may change seeds"),
            ("steps", request.steps, info.get("steps"), "an extension may change steps"),
            ("CFG scale", request.cfg_scale, info.get("cfg_scale"), "an extension may change it"),
            (
                "clip skip",
                request.clip_skip,
                info.get("clip_skip", request.clip_skip),
                "the WebUI ignored the override",
            ),
            (
                "size",
                f"{request.width}×{request.height}",
                "×".join(map(str, self.image.size)),
                "multiples of 8 or of 64",
            ),
        ]
        if checkpoint is not None:
            model = info.get("sd_model_name")
            pairs.append(("model", checkpoint.name, model, "GET /sdapi/v1/sd-models lists the valid names"))
            if checkpoint.hash and info.get("sd_model_hash"):
                pairs.append(("model hash", checkpoint.hash, info["sd_model_hash"], "the file was replaced"))
        if request.scheduler != "Automatic" and schedule:
            known = "GET /sdapi/v1/schedulers lists the valid names"
            pairs.append(("schedule", request.scheduler, schedule[1].strip(), known))
        for what, expected, actual, to_try in pairs:
            if expected != actual:
                used = f"the WebUI used {what} {actual!r} although {expected!r} was asked"
                raise WrongResult(used, where=self.where, to_try=to_try)


def decode(encoded: Any, where: str) -> Image.Image:
    """Base64 of a PNG, JPEG or WebP file → RGB picture, decoded to the last pixel."""
    from PIL import Image

    if not isinstance(encoded, str):
        raise UnreadableAnswer("a picture came that is not text", where=where)
    try:
        # Some versions send a data URI.
        data = base64.b64decode(encoded.rpartition("base64,")[2], validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableAnswer("a picture came that is not base64", where=where) from None
    try:
        picture = Image.open(BytesIO(data), formats=["PNG", "JPEG", "WEBP"])
        if picture.width * picture.height > MOST_PIXELS:
            raise UnreadableAnswer(f"a picture of {picture.width}×{picture.height} pixels came", where=where)
        return picture.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableAnswer("a picture came that can't be decoded", where=where) from None
